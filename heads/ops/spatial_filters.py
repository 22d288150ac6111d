"""Spatial filters of many heads over standardised frames, pooled over the frames of each second."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from heads.ops import amx_impl, avx512_impl, torch_impl
from heads.ops.blocks import WorkBlock, full_blocks


def filter_max(
    features: Tensor,
    weight: Tensor,
    mean: Tensor,
    scale: Tensor,
    seconds: int,
    blocks: Sequence[WorkBlock] | None = None,
) -> Tensor:
    """Largest response of each filter in each second, ``(K, B, S, N)`` float32.

    Features are multiplied as they are, in their precision; the standardisation is folded into the weights.

    Parameters
    ----------
    features
        ``(B, F, P)``.
    weight
        ``(K, N, P)``, for features less ``mean (K, P)``, times ``scale (K, P)``.
    blocks
        What to compute; the rest may be any number and must not be used. None, and an empty list, mean everything.

    Raises
    ------
    ValueError
        If the frames do not divide into seconds, or weights or blocks are of other features.
    """
    _check_shapes(features, weight, seconds, blocks)
    if features.device.type == "cpu" and features.shape[1] > seconds:
        blocks = blocks or full_blocks(len(features), len(weight))
        compiled: Callable[..., Tensor] = _FilterMax.apply
        return compiled(features, weight, mean, scale, seconds, blocks)
    scaled, shift = _scale_weights(weight, mean, scale, features.dtype)
    values = torch_impl.filter_responses(features, scaled, seconds)
    return values.amax(2).float().permute(2, 0, 1, 3) - shift


def filter_max_and_variance(
    features: Tensor,
    weight: Tensor,
    mean: Tensor,
    scale: Tensor,
    seconds: int,
    blocks: Sequence[WorkBlock] | None = None,
) -> tuple[Tensor, Tensor]:
    """Largest response of each filter in each second and variance of its responses, each as `filter_max`.

    Raises
    ------
    ValueError
        As `filter_max`.
    """
    _check_shapes(features, weight, seconds, blocks)
    if features.device.type == "cpu":
        blocks = blocks or full_blocks(len(features), len(weight))
        compiled: Callable[..., tuple[Tensor, Tensor]] = _FilterMaxAndVariance.apply
        return compiled(features, weight, mean, scale, seconds, blocks)
    scaled, shift = _scale_weights(weight, mean, scale, features.dtype)
    values = torch_impl.filter_responses(features, scaled, seconds).float()
    maximum, variance = (x.permute(2, 0, 1, 3) for x in (values.amax(2), values.var(2, correction=0)))
    return maximum - shift, variance


def shift_of_missing(weight: Tensor, mean: Tensor, scale: Tensor, missing: Tensor, dtype: torch.dtype) -> Tensor:
    """What to add to the responses if features of missing electrodes are set to 0, ``(K, B, 1, N)``.

    It takes back what the standardisation subtracts for these electrodes, ``missing (B, C)``, which then count as
    if they had their training mean.
    """
    scaled = (weight * scale[:, None]).to(dtype).float()
    by_electrode = (scaled * mean[:, None]).view(*weight.shape[:2], missing.shape[1], -1).sum(-1)  # (K, N, C)
    return torch.einsum("knc,bc->kbn", by_electrode, missing.float())[:, :, None]


class _FilterMax(Function):
    """`filter_max` on a CPU, by blocks. Of equal frames one has the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        mean: Tensor,
        scale: Tensor,
        seconds: int,
        blocks: Sequence[WorkBlock],
    ) -> Tensor:
        scaled, shift = _scale_weights(weight, mean, scale, features.dtype)
        implementation = _choose_implementation(features)
        maximum: Tensor
        maximum, max_frame = implementation.response_max(
            features, scaled, seconds, blocks, save=ctx.needs_input_grad[1]
        )
        ctx.blocks = blocks
        ctx.save_for_backward(features, mean, scale, max_frame)
        return maximum.sub_(shift)

    @staticmethod
    def backward(ctx: Any, grad_max: Tensor) -> tuple[None, Tensor, None, None, None, None]:
        features, mean, scale, max_frame = ctx.saved_tensors
        implementation = _choose_implementation(features)
        grad_scaled = implementation.weight_grad_max(features, max_frame, grad_max, ctx.blocks)
        return None, _unscale_gradient(grad_scaled, grad_max, mean, scale), None, None, None, None


class _FilterMaxAndVariance(Function):
    """`filter_max_and_variance` on a CPU, by blocks. Of equal frames one has the gradient of the maximum."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        mean: Tensor,
        scale: Tensor,
        seconds: int,
        blocks: Sequence[WorkBlock],
    ) -> tuple[Tensor, Tensor]:
        scaled, shift = _scale_weights(weight, mean, scale, features.dtype)
        maximum, variance, saved = _choose_implementation(features).response_max_and_variance(
            features, scaled, seconds, blocks, save=ctx.needs_input_grad[1]
        )
        ctx.blocks = blocks
        ctx.save_for_backward(features, mean, scale, *saved)
        return maximum.sub_(shift), variance

    @staticmethod
    def backward(ctx: Any, grad_max: Tensor, grad_variance: Tensor) -> tuple[None, Tensor, None, None, None, None]:
        features, mean, scale, *saved = ctx.saved_tensors
        implementation = _choose_implementation(features)
        grad_scaled = implementation.weight_grad_max_and_variance(
            features, saved, grad_max, grad_variance, ctx.blocks
        )
        return None, _unscale_gradient(grad_scaled, grad_max, mean, scale), None, None, None, None


def _check_shapes(features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock] | None) -> None:
    """Refuse what the compiled form would read or write beyond the end of an array."""
    if features.shape[1] % seconds:
        raise ValueError(f"{features.shape[1]} frames a window do not divide into {seconds} seconds")
    if weight.shape[2] != features.shape[2]:
        raise ValueError(f"weights are for {weight.shape[2]} features of a frame, which has {features.shape[2]}")
    for windows, trials in blocks or ():
        if windows.stop > len(features) or trials.stop > len(weight):
            ends, sizes = (windows.stop, trials.stop), (len(features), len(weight))
            raise ValueError(f"a block ends at window and head {ends}, of {sizes}")


def _choose_implementation(features: Tensor) -> Any:
    """The module that computes with features of this device and type."""
    return next((form for form in (amx_impl, avx512_impl) if form.can_run(features)), torch_impl)


def _scale_weights(weight: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights for features as they are, and what to subtract from all responses to them, ``(K, 1, 1, N)``."""
    scaled = (weight * scale[:, None]).to(dtype)
    return scaled, (scaled.float() @ mean[..., None]).mT[:, None]


def _unscale_gradient(grad_scaled: Tensor, grad_max: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Gradient of the weights, in the place of that of scaled weights."""
    grad_shift = grad_max.sum((1, 2))[..., None]
    return grad_scaled.addcmul_(grad_shift, mean[:, None], value=-1).mul_(scale[:, None])
