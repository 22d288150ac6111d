"""What spatial filters of many heads make of frames, in torch operations, piece by piece.

Everything is ``(K, B, S, N)``: heads, windows, seconds, filters; zero where no piece is. A frame is chosen by its
number, counted from the first of all windows. `heads.ops.avx512_impl` has the same functions, compiled.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from heads.ops.blocks import Pieces


def pool(
    features: Tensor, weight: Tensor, seconds: int, pieces: Pieces, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Largest response of each second, and the frame that has it, int32, if it is to be kept for the gradient.

    Parameters
    ----------
    features
        ``(B, F, P)``.
    weight
        ``(K, N, P)``, of the same type.
    """
    largest = torch.zeros(len(weight), len(features), seconds, weight.shape[1])
    chosen = torch.zeros_like(largest, dtype=torch.int32) if keep else None
    scratch = _scratch(features, weight, pieces)
    for windows, some in pieces:
        values = _widen(respond(features[windows], weight[some], seconds), scratch)
        largest[some, windows] = values.amax(2).permute(2, 0, 1, 3)
        if chosen is not None:
            chosen[some, windows] = _choose(values, windows.start)
    return largest, chosen


def pool_and_vary(
    features: Tensor, weight: Tensor, seconds: int, pieces: Pieces, keep: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Largest response and variance of each second, and what is to be kept for the gradient.

    That is the chosen frames and, of each piece, the responses less their mean, ``(windows * F, slots * N)`` in
    the precision of the features.
    """
    largest, variance = torch.zeros(2, len(weight), len(features), seconds, weight.shape[1])
    chosen = torch.zeros_like(largest, dtype=torch.int32) if keep else None
    scratch, centred = _scratch(features, weight, pieces), []
    for windows, some in pieces:
        responses = respond(features[windows], weight[some], seconds)
        values = _widen(responses, scratch)
        largest[some, windows] = values.amax(2).permute(2, 0, 1, 3)
        mean = values.mean(2, keepdim=True)
        if chosen is not None:
            chosen[some, windows] = _choose(values, windows.start)
            _widen(responses, scratch)
        values.sub_(mean)
        if keep:
            centred.append(responses.copy_(values).flatten(3).flatten(0, 2))
        variance[some, windows] = values.square_().mean(2).permute(2, 0, 1, 3)
    return largest, variance, [] if chosen is None else [chosen, *centred]


def gather(features: Tensor, chosen: Tensor, gradient: Tensor, pieces: Pieces) -> Tensor:
    """Gradient of the weights from that of the largest responses, ``(K, N, P)`` float32.

    Only one frame a second has a gradient, so that of a filter is a weighted sum of these: an eighth of the work
    of a product, if a second has eight frames.
    """
    slots, _, _, filters = chosen.shape
    total = torch.zeros(slots, filters, features.shape[2])
    for windows, some in pieces:
        first = windows.start * features.shape[1]
        frames = (chosen[some, windows] - first).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
        share = gradient[some, windows].to(features.dtype).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
        own = embedding_bag(frames, features[windows].flatten(0, 1), mode="sum", per_sample_weights=share)
        total[some] += own.view_as(total[some])
    return total


def weigh(
    features: Tensor, kept: Sequence[Tensor], of_largest: Tensor, of_variance: Tensor, pieces: Pieces
) -> Tensor:
    """Gradient of the weights from those of largest and variance, as `gather`; overwrites what was kept."""
    chosen, *centred = kept
    slots, _, seconds, filters = chosen.shape
    total = torch.zeros(slots, filters, features.shape[2])
    product = torch.empty_like(total, dtype=features.dtype)
    for (windows, some), rows in zip(pieces, centred, strict=True):
        count, length = windows.stop - windows.start, features.shape[1] // seconds
        values = rows.view(count, seconds, length, -1, filters)
        first = windows.start * features.shape[1]
        frame = torch.arange(first, first + len(rows), dtype=torch.int32).view(count, seconds, length, 1, 1)
        own, peak, wide = (
            x[some, windows].permute(1, 2, 0, 3)[:, :, None] for x in (chosen, of_largest, of_variance)
        )
        values.copy_(torch.where(own == frame, peak, 0.0).addcmul_(values.float(), wide, value=2 / length))
        torch.mm(rows.mT, features[windows].flatten(0, 1), out=product[some].flatten(0, 1))
        total[some] += product[some]
    return total


def respond(features: Tensor, weight: Tensor, seconds: int) -> Tensor:
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


def _choose(responses: Tensor, first_window: int) -> Tensor:
    """Which frame of ``(B, S, L, K, N)`` holds the maximum, ``(K, B, S, N)`` int32; overwrites the responses.

    The number of the frame replaces the last bits of the value, so that one maximum finds both, ten times faster
    than ``argmax``. Values that differ in these bits alone count as equal; those of bfloat16 have none.
    """
    largest = torch.finfo(responses.dtype).max
    responses.clamp_(-largest, largest)  # with other last bits, what is infinite is no number
    windows, seconds, length = responses.shape[:3]
    bits = (1 << (length - 1).bit_length()) - 1
    number = torch.arange(length, dtype=torch.int32)[:, None, None]
    packed = responses.view(torch.int32).bitwise_and_(~bits).bitwise_or_(number)
    found = packed.view(torch.float32).amax(2).view(torch.int32).bitwise_and_(bits)
    found.clamp_(max=length - 1)  # what is no number has any bits
    first = length * torch.arange(windows * seconds, dtype=torch.int32).view(windows, seconds, 1, 1)
    return found.add_(first + first_window * seconds * length).permute(2, 0, 1, 3)
