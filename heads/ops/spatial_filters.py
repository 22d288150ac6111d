"""Spatial filters of many heads over standardised frames, and what the frames of each second have in common."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from heads.ops import avx512_impl as kernel
from heads.ops import torch_impl as responses
from heads.ops.blocks import Pieces, whole
from store.runtime.errors import UserError


def fuse_and_pool(
    features: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, seconds: int, pieces: Pieces | None = None
) -> Tensor:
    """Largest response of each filter in each second, ``(K, B, S, N)`` float32.

    Features are multiplied as they are, in their precision; the standardisation is folded into the weights.

    Parameters
    ----------
    features
        ``(B, F, P)``.
    weight
        ``(K, N, P)``, for features less ``mean (K, P)``, times ``scale (K, P)``.
    pieces
        What is wanted; the rest may be any number and must not be used. None, and an empty list, want everything.

    Raises
    ------
    UserError
        If the frames do not divide into seconds.
    """
    _check(features, seconds)
    if features.device.type == "cpu" and features.shape[1] > seconds:
        pieces = pieces or whole(len(features), len(weight))
        return _FuseAndPool.apply(features, weight, mean, scale, seconds, pieces)
    scaled, shift = _fold(weight, mean, scale, features.dtype)
    values = responses.respond(features, scaled, seconds)
    return values.amax(2).float().permute(2, 0, 1, 3) - shift


def fuse_and_vary(
    features: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, seconds: int, pieces: Pieces | None = None
) -> tuple[Tensor, Tensor]:
    """Largest response of each filter in each second and variance of its responses, each as `fuse_and_pool`."""
    _check(features, seconds)
    if features.device.type == "cpu":
        pieces = pieces or whole(len(features), len(weight))
        return _FuseAndVary.apply(features, weight, mean, scale, seconds, pieces)
    scaled, shift = _fold(weight, mean, scale, features.dtype)
    values = responses.respond(features, scaled, seconds).float()
    largest, variance = (x.permute(2, 0, 1, 3) for x in (values.amax(2), values.var(2, correction=0)))
    return largest - shift, variance


class _FuseAndPool(Function):
    """The same for a CPU, by pieces. Of equal frames one has the gradient."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, seconds: int, pieces: Pieces
    ) -> Tensor:
        scaled, shift = _fold(weight, mean, scale, features.dtype)
        largest, chosen = _form(features).pool(features, scaled, seconds, pieces, keep=ctx.needs_input_grad[1])
        ctx.pieces = pieces
        ctx.save_for_backward(features, mean, scale, chosen)
        return largest.sub_(shift)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None, None, None, None]:
        features, mean, scale, chosen = ctx.saved_tensors
        of_scaled = _form(features).gather(features, chosen, gradient, ctx.pieces)
        return None, _unfold(of_scaled, gradient, mean, scale), None, None, None, None


class _FuseAndVary(Function):
    """The same for a CPU, by pieces. Of equal frames one has the gradient of the maximum."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, seconds: int, pieces: Pieces
    ) -> tuple[Tensor, Tensor]:
        scaled, shift = _fold(weight, mean, scale, features.dtype)
        largest, variance, kept = _form(features).pool_and_vary(
            features, scaled, seconds, pieces, keep=ctx.needs_input_grad[1]
        )
        ctx.pieces = pieces
        ctx.save_for_backward(features, mean, scale, *kept)
        return largest.sub_(shift), variance

    @staticmethod
    def backward(ctx: Any, of_largest: Tensor, of_variance: Tensor) -> tuple[None, Tensor, None, None, None, None]:
        features, mean, scale, *kept = ctx.saved_tensors
        of_scaled = _form(features).weigh(features, kept, of_largest, of_variance, ctx.pieces)
        return None, _unfold(of_scaled, of_largest, mean, scale), None, None, None, None


def _check(features: Tensor, seconds: int) -> None:
    if features.shape[1] % seconds:
        raise UserError(f"{features.shape[1]} frames a window do not divide into {seconds} seconds")


def _form(features: Tensor) -> Any:
    """The module that computes with such features."""
    return kernel if kernel.takes(features) else responses


def _fold(weight: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights for features as they are, and what is to be taken from all responses to them, ``(K, 1, 1, N)``."""
    scaled = (weight * scale[:, None]).to(dtype)
    return scaled, (scaled.float() @ mean[..., None]).mT[:, None]


def _unfold(of_scaled: Tensor, of_largest: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Gradient of the weights, in the place of that of scaled weights."""
    of_shift = of_largest.sum((1, 2))[..., None]
    return of_scaled.addcmul_(of_shift, mean[:, None], value=-1).mul_(scale[:, None])
