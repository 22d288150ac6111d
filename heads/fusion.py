"""Spatial filters of many heads on the same frames, and the maximum over the frames of each second."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

_BLOCK_WINDOWS = 32  # what the filters make of a block stays in the processor's cache


def fuse_and_pool(features: Tensor, weight: Tensor, seconds: int) -> Tensor:
    """Largest response of each filter in each second: ``(B, F, P)`` and ``(N, P)`` -> ``(B, S, N)`` float32.

    The product is in the precision of features and weight.
    """
    if features.device.type != "cpu" or features.shape[1] == seconds:
        fused = features.flatten(0, 1) @ weight.mT
        return fused.view(len(features), seconds, -1, len(weight)).amax(2).float()
    return _FuseAndPool.apply(features, weight, seconds)


class _FuseAndPool(Function):
    """The same for a CPU, by blocks of windows.

    Only the frame with the maximum has a gradient, so the gradient of a filter is a weighted sum of one frame a
    second: an eighth of the work of a product, if a second has eight frames.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, seconds: int) -> Tensor:
        pooled = torch.empty(len(features), seconds, len(weight))
        frame = torch.empty(pooled.shape, dtype=torch.int32) if ctx.needs_input_grad[1] else None
        for start in range(0, len(features), _BLOCK_WINDOWS):
            block = slice(start, start + _BLOCK_WINDOWS)
            fused = features[block].flatten(0, 1) @ weight.mT
            fused = fused.view(-1, features.shape[1] // seconds, len(weight)).unflatten(0, (-1, seconds))
            pooled[block] = fused.amax(2)
            if frame is not None:
                frame[block] = _largest(fused)
        ctx.save_for_backward(features, frame)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        features, frame = ctx.saved_tensors
        windows, seconds, filters = frame.shape
        length = features.shape[1] // seconds
        total = torch.zeros(filters, features.shape[2])
        for start in range(0, windows, _BLOCK_WINDOWS):
            block = slice(start, start + _BLOCK_WINDOWS)
            frames = features[block].flatten(0, 1)
            second = torch.arange(0, len(frames), length, dtype=torch.int32)
            row = (frame[block].flatten(0, 1) + second[:, None]).mT.contiguous()
            share = gradient[block].flatten(0, 1).to(frames.dtype).mT.contiguous()
            total += embedding_bag(row, frames, mode="sum", per_sample_weights=share)
        return None, total.to(features.dtype), None


def _largest(fused: Tensor) -> Tensor:
    """Which frame of ``(B, S, L, N)`` holds the maximum, ``(B, S, N)`` int32; overwrites ``fused``.

    The number of the frame replaces the last bits of the value, so that one maximum finds both, ten times faster
    than ``argmax``. In float32, values that differ in these bits alone count as equal; bfloat16 has no such bits.
    """
    length = fused.shape[2]
    bits = (1 << (length - 1).bit_length()) - 1
    packed = fused.float()
    number = torch.arange(length, dtype=torch.int32)[:, None]
    packed.view(torch.int32).bitwise_and_(~bits).bitwise_or_(number)
    found = packed.amax(2).view(torch.int32).bitwise_and_(bits)
    return found.clamp_(max=length - 1)  # what is not finite has any bits
