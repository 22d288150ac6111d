"""Logistic regressions on many sets of persons at once, by Newton's method with conjugate gradients.

Ours, since scikit-learn fits one at a time: the probe of 12 persons of CHB-MIT (3.8 h) took 44 s of processor time
with its `LogisticRegression`, and takes 9 s with these, whose logits agree with it to 1e-3.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.closed_form.moments import inverse_deviation
from heads.closed_form.ridge_lda import LinearModels
from heads.closed_form.threads import single_threads
from store.runtime.errors import UserError

_TOLERANCE = 1e-6  # of the largest partial derivative, in units of the sum of weights
_NEWTON_STEPS = 100
_GRADIENT_STEPS = 500  # of conjugate gradients in a Newton step
_RESIDUAL = 1e-2  # of a Newton step, squared
_BLOCK_SECONDS = 4096  # of float64 at once; larger blocks would leave the memory in pieces
_MOST_BYTES = 1 << 27  # of all sets fitted at once: curvature of seconds, and coefficients for each person


@dataclass(frozen=True)
class TrainingSeconds:
    """Seconds of one person to train on: features ``(N, P)``, labels and counts ``(N,)``, all float32.

    Missing features are nan; they count as the mean of a training set. ``count`` is the number of seconds that a
    second stands for.
    """

    x: Tensor
    y: Tensor
    count: Tensor

    @property
    def weights(self) -> Tensor:
        """One over the root of the person's seconds, for each that a second stands for; ``(N,)``."""
        return self.count / self.count.sum().sqrt()


def fit_logistic(
    persons: Sequence[TrainingSeconds], trains: NDArray[np.bool_], inverse_strengths: NDArray[np.float64]
) -> list[LinearModels]:
    """Minimise ``sum(weights * loss) + |w|^2 / (2 * C)`` on standardised features, for each set and C.

    Each C begins at the solution of the one before. A set's models depend on the seconds of its own persons alone;
    how many there are of others decides how many sets are fitted at once, and so the rounding.

    Parameters
    ----------
    trains : (K, persons)
        Which persons are in which set. Each set has its own standardisation.
    inverse_strengths : (K, R)
        C of each set, as scikit-learn names it, ascending.

    Returns
    -------
    list of LinearModels
        Of each set, ``weight (P, R)`` and ``bias (R,)`` for raw features.

    Raises
    ------
    UserError
        If one does not converge.
    """
    models: list[LinearModels] = []
    at_once = max(1, _MOST_BYTES // sum(4 * len(person.y) + 32 * (person.x.shape[1] + 1) for person in persons))
    with single_threads() as pool:
        for start in range(0, len(trains), at_once):
            part = slice(start, start + at_once)
            models += _StackedRegression(persons, trains[part], pool).fit_path(inverse_strengths[part])
    return models


class _Person:
    """Seconds of a person as columns, centred by the person's mean, and the k sets that it is in.

    Standardised features of a set are ``(x + offset) * scale``; ``offset (k, P)`` is the mean of the person less
    that of the set. So float32 is exact enough, whatever the mean of a feature.
    """

    def __init__(self, seconds: TrainingSeconds, sets: Tensor, mean: Tensor, scale: Tensor) -> None:
        self.x = torch.empty_like(seconds.x)  # (N, P)
        missing = seconds.x.isnan()
        own_mean = seconds.x.nansum(0, dtype=torch.float64) / (~missing).sum(0).clamp(min=1)
        for x, centred in zip(*(torch.split(x, _BLOCK_SECONDS) for x in (seconds.x, self.x)), strict=True):
            centred.copy_(x - own_mean)
        self.x.masked_fill_(missing, 0.0)
        self.missing = missing.float() if missing.any() else None  # (N, P)
        self.y, self.weight = seconds.y[:, None], seconds.weights[:, None]  # (N, 1)
        self.sets = sets  # (k,) int64
        self.offset, self.scale = own_mean - mean[sets], scale[sets]

    def logits(self, coefficients: Tensor) -> Tensor:
        """Logits of the seconds by coefficients of all sets ``(K, P + 1)``, ``(N, k)``."""
        weight = coefficients[self.sets, :-1] * self.scale
        by_offset = weight * self.offset
        bias = coefficients[self.sets, -1] + by_offset.sum(1)
        logits = torch.addmm(bias.float(), self.x, weight.float().mT)
        return logits if self.missing is None else logits - self.missing @ by_offset.float().mT

    def by_coefficients(self, by_logit: Tensor) -> Tensor:
        """Derivatives by coefficients, ``(k, P + 1)`` float64, of what has such derivatives by the logits."""
        by_bias = by_logit.sum(0, dtype=torch.float64)[:, None]
        by_offset = self._sum_present(by_logit, by_bias)
        by_weight = self.scale * ((by_logit.mT @ self.x).double() + self.offset * by_offset)
        return torch.cat([by_weight, by_bias], 1)

    def loss_derivatives(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the loss: gradient and diagonal of the Hessian ``(k, P + 1)``, and second derivatives by logits."""
        probability = self.logits(coefficients).sigmoid()
        curvature = self.weight * probability * (1 - probability)
        by_bias = curvature.sum(0, dtype=torch.float64)[:, None]
        squares, total = (curvature.mT @ self.x.square()).double(), (curvature.mT @ self.x).double()
        by_offset = self._sum_present(curvature, by_bias)
        by_weight = self.scale**2 * (squares + self.offset * (2 * total + self.offset * by_offset))
        gradient = self.by_coefficients(self.weight * (probability - self.y))
        return gradient, torch.cat([by_weight.clamp(min=0), by_bias], 1), curvature

    def _sum_present(self, by_logit: Tensor, total: Tensor) -> Tensor:
        """Sum of ``by_logit (N, k)`` over the seconds that have each feature, of the ``total`` over all."""
        return total if self.missing is None else total - (by_logit.mT @ self.missing).double()


class _StackedRegression:
    """Regressions of K sets: coefficients of standardised features and the intercept, ``(K, P + 1)`` float64."""

    def __init__(
        self, persons: Sequence[TrainingSeconds], trains: NDArray[np.bool_], pool: ThreadPoolExecutor
    ) -> None:
        self.pool = pool
        member = torch.from_numpy(trains)
        sums = pool.map(_sum_seconds, persons)
        count, present, total, squares, weight = (
            member.double() @ torch.stack(part) for part in zip(*sums, strict=True)
        )
        self.total_weight = weight
        self.mean = total / present.clamp(min=1)
        self.scale = inverse_deviation(self.mean, (squares - present * self.mean**2) / count[:, None])
        self.persons = [
            _Person(person, member[:, number].nonzero()[:, 0], self.mean, self.scale)
            for number, person in enumerate(persons)
            if trains[:, number].any() and len(person.y)
        ]

    def fit_path(self, inverse_strengths: NDArray[np.float64]) -> list[LinearModels]:
        """Models of each set, from the first C to the last."""
        coefficients, path = torch.zeros(len(self.mean), self.mean.shape[1] + 1, dtype=torch.float64), []
        for column in torch.from_numpy(inverse_strengths).T:
            coefficients = self._minimise(coefficients, column)
            path.append(self._raw(coefficients))
        weights, biases = (torch.stack(part, -1) for part in zip(*path, strict=True))  # (K, P, R), (K, R)
        means = (mean[:, None].expand_as(weights[0]) for mean in self.mean)
        return [LinearModels(*parts) for parts in zip(weights, biases, means, strict=True)]

    def _minimise(self, coefficients: Tensor, inverse_strength: Tensor) -> Tensor:
        """The coefficients of the least loss, by Newton's steps from given ones.

        A step that changes logits by R at most is shortened to ``log(1 + R) / R``, after which the loss of a
        logistic regression is always less (Sun and Tran-Dinh, Mathematical Programming 178, 2019).
        """
        penalty = torch.ones_like(coefficients) / inverse_strength[:, None]
        penalty[:, -1] = 0  # the intercept
        for _ in range(_NEWTON_STEPS):
            gradient, diagonal, curvature = self._derivatives(coefficients)
            gradient += penalty * coefficients
            active = gradient.abs().amax(1) > _TOLERANCE * self.total_weight
            if not active.any():
                return coefficients
            step = self._newton_step(gradient, diagonal + penalty, curvature, penalty, active)
            change = self._largest_logit(step)
            damping = torch.where(change > 0, change.log1p() / change.clamp(min=1e-30), 1.0)
            coefficients = coefficients + damping[:, None] * step
        strengths = sorted({f"{value:g}" for value in inverse_strength[active].tolist()})
        raise UserError(
            f"logistic regression with C = {', '.join(strengths)} has not converged in {_NEWTON_STEPS} steps; "
            "use --method lda"
        )

    def _newton_step(
        self, gradient: Tensor, diagonal: Tensor, curvature: Sequence[Tensor], penalty: Tensor, active: Tensor
    ) -> Tensor:
        """Solve ``Hessian @ step = -gradient`` of active sets by conjugate gradients; 0 for the others."""
        diagonal = diagonal.clamp(min=1e-30)
        step, residual = torch.zeros_like(gradient), -gradient
        direction = residual / diagonal
        size = first = (residual * direction).sum(1)
        for _ in range(_GRADIENT_STEPS):
            product = self._times_hessian(curvature, direction) + penalty * direction
            length = torch.where(active, size / (direction * product).sum(1).clamp(min=1e-300), 0.0)
            step += length[:, None] * direction
            residual -= length[:, None] * product
            scaled = residual / diagonal
            before, size = size, (residual * scaled).sum(1)
            active = active & (size > _RESIDUAL * first)
            if not active.any():
                break
            direction = scaled + (size / before.clamp(min=1e-300))[:, None] * direction
        return step

    def _derivatives(self, coefficients: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Of the loss: gradient and diagonal of the Hessian, ``(K, P + 1)``, and what `_times_hessian` takes."""
        parts = self.pool.map(lambda person: person.loss_derivatives(coefficients), self.persons)
        gradient, diagonal, curvature = zip(*parts, strict=True)
        return self._sum(gradient), self._sum(diagonal), list(curvature)

    def _times_hessian(self, curvature: Sequence[Tensor], direction: Tensor) -> Tensor:
        """Product of the Hessian of the loss with a direction of each set, ``(K, P + 1)``."""
        return self._sum(
            self.pool.map(
                lambda person, bent: person.by_coefficients(bent * person.logits(direction)),
                self.persons,
                curvature,
            )
        )

    def _largest_logit(self, coefficients: Tensor) -> Tensor:
        """Largest absolute logit of a training second of each set, ``(K,)``."""
        largest = coefficients.new_zeros(len(coefficients))
        parts = self.pool.map(lambda person: person.logits(coefficients).abs().amax(0), self.persons)
        for person, part in zip(self.persons, parts, strict=True):
            largest[person.sets] = torch.maximum(largest[person.sets], part.double())
        return largest

    def _raw(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``(K, P)`` and bias ``(K,)`` for raw features."""
        weight = coefficients[:, :-1] * self.scale
        return weight, coefficients[:, -1] - (weight * self.mean).sum(1)

    def _sum(self, by_person: Iterable[Tensor]) -> Tensor:
        """Sum of what each person gives its sets, ``(k, P + 1)``: ``(K, P + 1)``."""
        total = self.mean.new_zeros(len(self.mean), self.mean.shape[1] + 1)
        for person, part in zip(self.persons, by_person, strict=True):
            total[person.sets] += part
        return total


def _sum_seconds(person: TrainingSeconds) -> tuple[Tensor, ...]:
    """Count of seconds, of those with each feature, sums of features and squares, sum of weights; float64."""
    size = person.x.shape[1]
    present, total, squares = torch.zeros(3, size, dtype=torch.float64)
    parts = (torch.split(part, _BLOCK_SECONDS) for part in (person.x, person.count))
    for values, count in ((x.double(), count.double()) for x, count in zip(*parts, strict=True)):
        present += count @ values.isnan().logical_not().double()
        known = values.nan_to_num(nan=0.0)
        total += count @ known
        squares += count @ known.square()
    return person.count.double().sum(), present, total, squares, person.weights.double().sum()
