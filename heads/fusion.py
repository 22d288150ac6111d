"""Spatial filters of many heads on the same frames, and what the frames of each second have in common."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

from heads.pieces import Pieces, whole


def fuse_and_pool(features: Tensor, weight: Tensor, seconds: int, pieces: Pieces | None = None) -> Tensor:
    """Largest response of each filter in each second: ``(B, F, P)`` and ``(K, N, P)`` -> ``(K, B, S, N)`` float32.

    The product is in the precision of features and weight.

    Parameters
    ----------
    pieces
        What is wanted; the rest is any finite number, without gradient. None wants everything.
    """
    if features.shape[1] == seconds:
        return _respond(features, weight, seconds)[:, :, 0].float().permute(2, 0, 1, 3)
    if features.device.type != "cpu":
        return _respond(features, weight, seconds).amax(2).float().permute(2, 0, 1, 3)
    return _FuseAndPool.apply(features, weight, seconds, pieces or whole(len(features), len(weight)))


def fuse_and_vary(
    features: Tensor, weight: Tensor, seconds: int, pieces: Pieces | None = None
) -> tuple[Tensor, Tensor]:
    """Largest response of each filter in each second and variance of its responses, each as `fuse_and_pool`."""
    if features.device.type == "cpu":
        return _FuseAndVary.apply(features, weight, seconds, pieces or whole(len(features), len(weight)))
    responses = _respond(features, weight, seconds).float()
    largest, variance = (x.permute(2, 0, 1, 3) for x in (responses.amax(2), responses.var(2, correction=0)))
    return largest, variance


class _FuseAndVary(Function):
    """The same for a CPU, by pieces. Frames that share the maximum share its gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, seconds: int, pieces: Pieces) -> tuple[Tensor, Tensor]:
        slots, filters, _ = weight.shape
        largest, variance = torch.zeros(2, slots, len(features), seconds, filters)
        scratch = _scratch(features, weight, pieces)
        kept = []
        for windows, some in pieces:
            responses = _respond(features[windows], weight[some], seconds)
            kept.append(responses)
            values = _widen(responses, scratch)
            largest[some, windows] = values.amax(2).permute(2, 0, 1, 3)
            centred = values.sub_(values.mean(2, keepdim=True))
            variance[some, windows] = centred.square_().mean(2).permute(2, 0, 1, 3)
        if ctx.needs_input_grad[1]:
            ctx.pieces = pieces
            ctx.save_for_backward(features, weight, largest, *kept)
        return largest, variance

    @staticmethod
    def backward(ctx: Any, of_largest: Tensor, of_variance: Tensor) -> tuple[None, Tensor, None, None]:
        features, weight, largest, *kept = ctx.saved_tensors
        total = torch.zeros(weight.shape)
        product = torch.empty_like(weight)
        scratch, mask = (_scratch(features, weight, ctx.pieces) for _ in range(2))
        for (windows, some), responses in zip(ctx.pieces, kept, strict=True):
            peak, spread, top = (
                x[some, windows].permute(1, 2, 0, 3)[:, :, None] for x in (of_largest, of_variance, largest)
            )
            values, highest = _widen(responses, scratch), _widen(responses, mask).eq_(top)
            values.sub_(values.mean(2, keepdim=True)).mul_(spread * (2 / values.shape[2]))
            values.addcmul_(highest, peak / highest.sum(2, keepdim=True))
            rows = responses.copy_(values).flatten(3).flatten(0, 2)
            torch.mm(rows.mT, features[windows].flatten(0, 1), out=product[some].flatten(0, 1))
            total[some] += product[some]
        return None, total.to(features.dtype), None, None


class _FuseAndPool(Function):
    """The same for a CPU, by pieces.

    Only the frame with the maximum has a gradient, so the gradient of a filter is a weighted sum of one frame a
    second: an eighth of the work of a product, if a second has eight frames.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, seconds: int, pieces: Pieces) -> Tensor:
        slots, filters, _ = weight.shape
        pooled = torch.zeros(slots, len(features), seconds, filters)
        scratch = _scratch(features, weight, pieces)
        chosen = []
        for windows, some in pieces:
            responses = _respond(features[windows], weight[some], seconds)
            values = _widen(responses, scratch)
            pooled[some, windows] = values.amax(2).permute(2, 0, 1, 3)
            if ctx.needs_input_grad[1]:
                chosen.append(_largest(values).permute(2, 3, 0, 1).contiguous())
        ctx.pieces = pieces
        ctx.save_for_backward(features, weight, *chosen)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None, None]:
        features, weight, *chosen = ctx.saved_tensors
        total = torch.zeros(weight.shape)
        for (windows, some), frame in zip(ctx.pieces, chosen, strict=True):
            frames = features[windows].flatten(0, 1)
            seconds = frame.shape[2:].numel()
            first = torch.arange(0, len(frames), len(frames) // seconds, dtype=torch.int32)
            row = frame.flatten(2).flatten(0, 1) + first
            share = gradient[some, windows].to(frames.dtype).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
            own = embedding_bag(row, frames, mode="sum", per_sample_weights=share)
            total[some] += own.view_as(total[some])
        return None, total.to(features.dtype), None, None


def _respond(features: Tensor, weight: Tensor, seconds: int) -> Tensor:
    """Responses of all filters to all frames, ``(B, S, F / S, K, N)``."""
    responses = features.flatten(0, 1) @ weight.flatten(0, 1).mT
    return responses.view(len(features), seconds, -1, *weight.shape[:2])


def _scratch(features: Tensor, weight: Tensor, pieces: Pieces) -> Tensor:
    """Memory for the float32 responses of any piece: one for all, since fresh memory costs more than a pass."""
    most = max((windows.stop - windows.start) * (some.stop - some.start) for windows, some in pieces)
    return torch.empty(most * features.shape[1] * weight.shape[1])


def _widen(responses: Tensor, scratch: Tensor) -> Tensor:
    """The responses in float32, in the scratch memory."""
    return scratch[: responses.numel()].view_as(responses).copy_(responses)


def _largest(responses: Tensor) -> Tensor:
    """Which frame of ``(B, S, L, K, N)`` holds the maximum, ``(B, S, K, N)`` int32; overwrites the responses.

    The number of the frame replaces the last bits of the value, so that one maximum finds both, ten times faster
    than ``argmax``. Values that differ in these bits alone count as equal; those of bfloat16 have none.
    """
    length = responses.shape[2]
    bits = (1 << (length - 1).bit_length()) - 1
    number = torch.arange(length, dtype=torch.int32)[:, None, None]
    packed = responses.view(torch.int32).bitwise_and_(~bits).bitwise_or_(number)
    found = packed.view(torch.float32).amax(2).view(torch.int32).bitwise_and_(bits)
    return found.clamp_(max=length - 1)  # what is not finite has any bits
