"""Spatial filters of many heads on the same frames, and what the frames of each second have in common."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

_BLOCK_WINDOWS = 32  # what the filters make of a block stays in the processor's cache


def fuse_and_pool(features: Tensor, weight: Tensor, seconds: int) -> Tensor:
    """Largest response of each filter in each second: ``(B, F, P)`` and ``(K, N, P)`` -> ``(K, B, S, N)`` float32.

    The product is in the precision of features and weight.
    """
    if features.shape[1] == seconds:
        return _respond(features, weight, seconds)[:, :, 0].float().permute(2, 0, 1, 3)
    if features.device.type != "cpu":
        return _respond(features, weight, seconds).amax(2).float().permute(2, 0, 1, 3)
    return _FuseAndPool.apply(features, weight, seconds)


def fuse_and_vary(features: Tensor, weight: Tensor, seconds: int) -> tuple[Tensor, Tensor]:
    """Largest response of each filter in each second and variance of its responses, each as `fuse_and_pool`."""
    if features.device.type == "cpu":
        return _FuseAndVary.apply(features, weight, seconds)
    responses = _respond(features, weight, seconds).float()
    largest, variance = (x.permute(2, 0, 1, 3) for x in (responses.amax(2), responses.var(2, correction=0)))
    return largest, variance


class _FuseAndVary(Function):
    """The same for a CPU, by blocks of windows. Frames that share the maximum share its gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, seconds: int) -> tuple[Tensor, Tensor]:
        slots, filters, _ = weight.shape
        largest, variance = torch.empty(2, slots, len(features), seconds, filters)
        kept = []
        for start in range(0, len(features), _BLOCK_WINDOWS):
            block = slice(start, start + _BLOCK_WINDOWS)
            responses = _respond(features[block], weight, seconds)
            kept.append(responses)
            largest[:, block] = responses.amax(2).permute(2, 0, 1, 3)
            variance[:, block] = _centred(responses).square_().mean(2).permute(2, 0, 1, 3)
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(features, *kept)
        return largest, variance

    @staticmethod
    def backward(ctx: Any, of_largest: Tensor, of_variance: Tensor) -> tuple[None, Tensor, None]:
        features, *kept = ctx.saved_tensors
        slots, filters = of_largest.shape[0], of_largest.shape[3]
        total = torch.zeros(slots * filters, features.shape[2])
        for start, responses in zip(range(0, len(features), _BLOCK_WINDOWS), kept, strict=True):
            block = slice(start, start + _BLOCK_WINDOWS)
            peak, spread = (x[:, block].permute(1, 2, 0, 3)[:, :, None] for x in (of_largest, of_variance))
            gradient = _centred(responses).mul_(spread * (2 / responses.shape[2]))
            highest = responses == responses.amax(2, keepdim=True)
            gradient += highest * (peak / highest.sum(2, keepdim=True))
            rows = gradient.to(features.dtype).flatten(3).flatten(0, 2)
            total += rows.mT @ features[block].flatten(0, 1)
        return None, total.to(features.dtype).unflatten(0, (slots, filters)), None


def _centred(responses: Tensor) -> Tensor:
    """Responses less their mean over the frames of the second, float32."""
    values = responses.float()
    return values - values.mean(2, keepdim=True)


class _FuseAndPool(Function):
    """The same for a CPU, by blocks of windows.

    Only the frame with the maximum has a gradient, so the gradient of a filter is a weighted sum of one frame a
    second: an eighth of the work of a product, if a second has eight frames.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, seconds: int) -> Tensor:
        slots, filters, _ = weight.shape
        pooled = torch.empty(slots, len(features), seconds, filters)
        chosen = torch.empty(slots, filters, len(features), seconds, dtype=torch.int32)
        for start in range(0, len(features), _BLOCK_WINDOWS):
            block = slice(start, start + _BLOCK_WINDOWS)
            responses = _respond(features[block], weight, seconds)
            pooled[:, block] = responses.amax(2).permute(2, 0, 1, 3)
            if ctx.needs_input_grad[1]:
                chosen[:, :, block] = _largest(responses).permute(2, 3, 0, 1)
        ctx.save_for_backward(features, chosen)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        features, chosen = ctx.saved_tensors
        slots, filters, windows, seconds = chosen.shape
        first = torch.arange(0, windows * features.shape[1], features.shape[1] // seconds, dtype=torch.int32)
        first = first.view(windows, seconds)
        total = torch.zeros(slots * filters, features.shape[2])
        wide = torch.empty_like(total)  # one for all blocks: fresh memory costs more than the sum
        for start in range(0, windows, _BLOCK_WINDOWS):
            block = slice(start, start + _BLOCK_WINDOWS)
            frames = features[block].flatten(0, 1)
            row = (chosen[:, :, block] + first[: len(features[block])]).flatten(0, 1).flatten(1)
            share = gradient[:, block].to(frames.dtype).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
            total += wide.copy_(embedding_bag(row, frames, mode="sum", per_sample_weights=share))
        return None, total.to(features.dtype).unflatten(0, (slots, filters)), None


def _respond(features: Tensor, weight: Tensor, seconds: int) -> Tensor:
    """Responses of all filters to all frames, ``(B, S, F / S, K, N)``."""
    responses = features.flatten(0, 1) @ weight.flatten(0, 1).mT
    return responses.view(len(features), seconds, -1, *weight.shape[:2])


def _largest(responses: Tensor) -> Tensor:
    """Which frame of ``(B, S, L, K, N)`` holds the maximum, ``(B, S, K, N)`` int32; overwrites the responses.

    The number of the frame replaces the last bits of the value, so that one maximum finds both, ten times faster
    than ``argmax``. In float32, values that differ in these bits alone count as equal; bfloat16 has no such bits.
    """
    length = responses.shape[2]
    bits = (1 << (length - 1).bit_length()) - 1
    packed = responses.float()
    number = torch.arange(length, dtype=torch.int32)[:, None, None]
    packed.view(torch.int32).bitwise_and_(~bits).bitwise_or_(number)
    found = packed.amax(2).view(torch.int32).bitwise_and_(bits)
    return found.clamp_(max=length - 1)  # what is not finite has any bits
