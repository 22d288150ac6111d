"""Logistic regression of many training sets and strengths at once, by L-BFGS."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from heads.closed_form.ridge_lda import LinearModels
from store.runtime.errors import UserError

_MEMORY = 10
_TOLERANCE = 1e-6  # of the largest gradient component
_ITERATIONS = 500
_HALVINGS = 30


def fit_logistic(
    x: Tensor, y: Tensor, trains: Tensor, mean: Tensor, scale: Tensor, strengths: Tensor
) -> LinearModels:
    """Minimise ``mean(loss) + strength / 2 * |w|^2`` on standardised features, K problems on the same rows.

    Parameters
    ----------
    x, y : (N, P), (N,) float64
        Features and labels, 0 or 1.
    trains : (K, N) float64
        1 where a row is of the training set of a problem.
    mean, scale : (K, P) float64
        Standardisation of each problem.
    strengths : (K,) float64

    Returns
    -------
    LinearModels
        ``weight (P, K)`` and ``bias (K,)`` for raw features.
    """
    share = trains / trains.sum(1, keepdim=True)

    def raw(parameters: Tensor) -> tuple[Tensor, Tensor]:
        weight = scale * parameters[:, :-1]
        return weight, parameters[:, -1] - (weight * mean).sum(1)

    def objective(parameters: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = raw(parameters)
        logits = weight @ x.mT + bias[:, None]
        ridge = strengths * parameters[:, :-1].square().sum(1) / 2
        value = (share * (softplus(logits) - y * logits)).sum(1) + ridge
        residual = share * (logits.sigmoid() - y)
        total = residual.sum(1)
        gradient = scale * (residual @ x - mean * total[:, None]) + strengths[:, None] * parameters[:, :-1]
        return value, torch.cat([gradient, total[:, None]], 1)

    weight, bias = raw(minimise(objective, x.new_zeros(len(trains), x.shape[1] + 1)))
    return LinearModels(weight.mT, bias)


def minimise(objective: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor) -> Tensor:
    """Minimise K convex functions by L-BFGS (Nocedal and Wright, algorithm 7.4) with step halving.

    Parameters
    ----------
    objective
        ``(K, P)`` -> values ``(K,)`` and gradients ``(K, P)``.

    Raises
    ------
    UserError
        If one does not converge.
    """
    at, pairs = start, deque[tuple[Tensor, Tensor, Tensor]](maxlen=_MEMORY)
    value, gradient = objective(at)
    for _ in range(_ITERATIONS):
        moving = gradient.abs().amax(1) > _TOLERANCE
        if not moving.any():
            return at
        direction = -_scaled(gradient, pairs) * moving[:, None]
        slope = (direction * gradient).sum(1)
        step = torch.ones_like(value) if pairs else 1 / gradient.norm(dim=1).clamp(min=1)
        for _ in range(_HALVINGS):
            candidate = at + step[:, None] * direction
            new_value, new_gradient = objective(candidate)
            fine = new_value <= value + 1e-4 * step * slope + 1e-14
            if fine.all():
                break
            step = torch.where(fine, step, step / 2)
        moved, turned = candidate - at, new_gradient - gradient
        curvature = (moved * turned).sum(1)
        pairs.append((moved, turned, torch.where(curvature > 0, 1 / curvature, 0.0)))
        at, value, gradient = candidate, new_value, new_gradient
    raise UserError(f"logistic regression: no convergence in {_ITERATIONS} iterations; use larger strengths")


def _scaled(gradient: Tensor, pairs: deque[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The inverse Hessian as the last steps show it, times the gradient."""
    scaled, weights = gradient, []
    for moved, turned, inverse in reversed(pairs):
        weights.append(inverse * (moved * scaled).sum(1))
        scaled = scaled - weights[-1][:, None] * turned
    if pairs:
        moved, turned, inverse = pairs[-1]
        scaled = scaled * torch.where(inverse > 0, 1 / (inverse * turned.square().sum(1)), 1.0)[:, None]
    for (moved, turned, inverse), weight in zip(pairs, reversed(weights), strict=True):
        scaled = scaled + (weight - inverse * (turned * scaled).sum(1))[:, None] * moved
    return scaled
