"""Responses of spatial filters of many heads, pooled to seconds, in torch operations, block by block.

Outputs are ``(K, B, S, N)``: heads, windows, seconds, filters; zero outside the blocks. A frame has a number,
counted from the first of all windows. `heads.ops.avx512_impl` has the same functions, compiled.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from heads.ops.blocks import WorkBlock


def response_max(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor | None]:
    """Largest response of each second, and the frame that has it, int32, if the gradient needs it.

    Parameters
    ----------
    features
        ``(B, F, P)``.
    weight
        ``(K, N, P)``, of the same type.
    """
    maximum = torch.zeros(len(weight), len(features), seconds, weight.shape[1])
    max_frame = torch.zeros_like(maximum, dtype=torch.int32) if save else None
    sizes = response_sizes(features, weight.shape[1], blocks)
    responses, scratch = features.new_empty(max(sizes)), torch.empty(max(sizes))
    for (windows, trials), size in zip(blocks, sizes, strict=True):
        of_block = filter_responses(features[windows], weight[trials], seconds, responses[:size])
        values = _to_float32(of_block, scratch)
        maximum[trials, windows] = values.amax(2).permute(2, 0, 1, 3)
        if max_frame is not None:
            max_frame[trials, windows] = _find_max_frame(values, windows.start)
    return maximum, max_frame


def response_max_and_variance(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Largest response and variance of each second, and what the gradient needs.

    That is the frames of the maxima and the responses less their mean, in the precision of the features. These are
    ``(windows * F, trials * N)`` of each block, one after the other in one array: many small ones that live for a
    step would leave the memory in pieces.
    """
    maximum, variance = torch.zeros(2, len(weight), len(features), seconds, weight.shape[1])
    max_frame = torch.zeros_like(maximum, dtype=torch.int32) if save else None
    sizes = response_sizes(features, weight.shape[1], blocks)
    centred, scratch = features.new_empty(sum(sizes) if save else max(sizes)), torch.empty(max(sizes))
    places = torch.split(centred, sizes) if save else [centred[:size] for size in sizes]
    for (windows, trials), place in zip(blocks, places, strict=True):
        responses = filter_responses(features[windows], weight[trials], seconds, place)
        values = _to_float32(responses, scratch)
        maximum[trials, windows] = values.amax(2).permute(2, 0, 1, 3)
        mean = values.mean(2, keepdim=True)
        if max_frame is not None:
            max_frame[trials, windows] = _find_max_frame(values, windows.start)
            _to_float32(responses, scratch)
        values.sub_(mean)
        if save:
            responses.copy_(values)
        variance[trials, windows] = values.square_().mean(2).permute(2, 0, 1, 3)
    return maximum, variance, [] if max_frame is None else [max_frame, centred]


def weight_grad_max(features: Tensor, max_frame: Tensor, grad_max: Tensor, blocks: Sequence[WorkBlock]) -> Tensor:
    """Gradient of the weights from that of the largest responses, ``(K, N, P)`` float32.

    Only one frame a second has a gradient, so that of a filter is a weighted sum of these: an eighth of the work
    of a product, if a second has eight frames.
    """
    trials_total, _, _, filters = max_frame.shape
    total = torch.zeros(trials_total, filters, features.shape[2])
    for windows, trials in blocks:
        first = windows.start * features.shape[1]
        frames = (max_frame[trials, windows] - first).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
        frame_grad = grad_max[trials, windows].to(features.dtype).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
        block_grad = embedding_bag(
            frames, features[windows].flatten(0, 1), mode="sum", per_sample_weights=frame_grad
        )
        total[trials] += block_grad.view_as(total[trials])
    return total


def weight_grad_max_and_variance(
    features: Tensor, saved: Sequence[Tensor], grad_max: Tensor, grad_variance: Tensor, blocks: Sequence[WorkBlock]
) -> Tensor:
    """Gradient of the weights from those of maximum and variance, as `weight_grad_max`; overwrites ``saved``."""
    max_frame, centred = saved
    trials_total, _, seconds, filters = max_frame.shape
    total = torch.zeros(trials_total, filters, features.shape[2])
    product = torch.empty_like(total, dtype=features.dtype)
    sizes = response_sizes(features, filters, blocks)
    scratch = torch.empty(2, max(sizes))
    for (windows, trials), place in zip(blocks, torch.split(centred, sizes), strict=True):
        count, length = windows.stop - windows.start, features.shape[1] // seconds
        values = place.view(count, seconds, length, -1, filters)
        rows = values.flatten(3).flatten(0, 2)
        first = windows.start * features.shape[1]
        frame = torch.arange(first, first + len(rows), dtype=torch.int32).view(count, seconds, length, 1, 1)
        block_frame, block_max, block_variance = (
            x[trials, windows].permute(1, 2, 0, 3)[:, :, None] for x in (max_frame, grad_max, grad_variance)
        )
        of_max, of_variance = (part[: len(place)].view_as(values) for part in scratch)
        torch.where(block_frame == frame, block_max, torch.zeros(()), out=of_max)
        values.copy_(of_max.addcmul_(of_variance.copy_(values), block_variance, value=2 / length))
        torch.mm(rows.mT, features[windows].flatten(0, 1), out=product[trials].flatten(0, 1))
        total[trials] += product[trials]
    return total


def filter_responses(features: Tensor, weight: Tensor, seconds: int, out: Tensor | None = None) -> Tensor:
    """Responses of all filters to all frames, ``(B, S, F / S, K, N)``, in ``out`` of so many elements if given."""
    rows, columns = features.flatten(0, 1), weight.flatten(0, 1).mT
    responses = torch.mm(rows, columns, out=None if out is None else out.view(len(rows), -1))
    return responses.view(len(features), seconds, -1, *weight.shape[:2])


def response_sizes(features: Tensor, filters: int, blocks: Sequence[WorkBlock]) -> list[int]:
    """Number of responses of each block. Memory is taken for the largest: fresh memory costs more than a pass."""
    each = features.shape[1] * filters
    return [each * (windows.stop - windows.start) * (trials.stop - trials.start) for windows, trials in blocks]


def _to_float32(responses: Tensor, scratch: Tensor) -> Tensor:
    """The responses in float32, in the scratch memory."""
    return scratch[: responses.numel()].view_as(responses).copy_(responses)


def _find_max_frame(responses: Tensor, first_window: int) -> Tensor:
    """Which frame of ``(B, S, L, K, N)`` holds the maximum, ``(K, B, S, N)`` int32; overwrites the responses.

    The number of the frame replaces the last bits of the value, so that one maximum finds both, ten times faster
    than ``argmax``. Values that differ in these bits alone count as equal; those of bfloat16 have none.
    """
    finite_max = torch.finfo(responses.dtype).max
    responses.clamp_(-finite_max, finite_max)  # an infinity with other last bits would be a nan
    windows, seconds, length = responses.shape[:3]
    bits = (1 << (length - 1).bit_length()) - 1
    number = torch.arange(length, dtype=torch.int32)[:, None, None]
    packed = responses.view(torch.int32).bitwise_and_(~bits).bitwise_or_(number)
    frame = packed.view(torch.float32).amax(2).view(torch.int32).bitwise_and_(bits)
    frame.clamp_(max=length - 1)  # of a nan the last bits may be anything
    first = length * torch.arange(windows * seconds, dtype=torch.int32).view(windows, seconds, 1, 1)
    return frame.add_(first + first_window * seconds * length).permute(2, 0, 1, 3)
