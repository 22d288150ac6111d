"""The functions of `heads.ops.torch_impl` for processors with AMX: torch multiplies bfloat16, C does the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from heads.ops import kernel
from heads.ops.blocks import WorkBlock
from heads.ops.kernel import load_kernel, run_stage, split_blocks
from heads.ops.torch_impl import filter_responses, response_sizes
from store.runtime.device import has_amx

_POOLED_WINDOWS = 4  # by a thread at a time


def can_run(features: Tensor) -> bool:
    """Whether these functions run here for features of this type, and are the fastest that do."""
    if not kernel.COMPILED or features.device.type != "cpu" or features.dtype != torch.bfloat16:
        return False
    return features.shape[1] % 2 == 0 and has_amx()


def response_max(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor | None]:
    """As in `heads.ops.torch_impl`."""
    maximum = torch.zeros(len(weight), len(features), seconds, weight.shape[1])
    saved = {"max_frame": torch.zeros_like(maximum, dtype=torch.int32)} if save else {}
    sizes = response_sizes(features, weight.shape[1], blocks)
    responses = features.new_empty(max(sizes))
    _pool(features, weight, blocks, [responses[:size] for size in sizes], maximum=maximum, **saved)
    return maximum, saved.get("max_frame")


def response_max_and_variance(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """As in `heads.ops.torch_impl`."""
    maximum, variance = torch.zeros(2, len(weight), len(features), seconds, weight.shape[1])
    saved = {"max_frame": torch.zeros_like(maximum, dtype=torch.int32)} if save else {}
    sizes = response_sizes(features, weight.shape[1], blocks)
    centred = features.new_empty(sum(sizes) if save else max(sizes))
    places = torch.split(centred, sizes) if save else [centred[:size] for size in sizes]
    _pool(features, weight, blocks, places, maximum=maximum, variance=variance, **saved)
    return maximum, variance, [*saved.values(), centred] if save else []


def weight_grad_max(features: Tensor, max_frame: Tensor, grad_max: Tensor, blocks: Sequence[WorkBlock]) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    return _weight_grad(features, blocks, max_frame=max_frame, maximum=grad_max.contiguous())


def weight_grad_max_and_variance(
    features: Tensor, saved: Sequence[Tensor], grad_max: Tensor, grad_variance: Tensor, blocks: Sequence[WorkBlock]
) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    max_frame, centred = saved
    grads = {"maximum": grad_max.contiguous(), "variance": grad_variance.contiguous()}
    return _weight_grad(features, blocks, max_frame=max_frame, centred=centred, **grads)


def _pool(
    features: Tensor, weight: Tensor, blocks: Sequence[WorkBlock], places: Sequence[Tensor], **outputs: Tensor
) -> None:
    """Multiply each block in its place, and pool it there while it is in the cache."""
    features, seconds = features.contiguous(), outputs["maximum"].shape[2]
    for (windows, trials), place in zip(blocks, places, strict=True):
        filter_responses(features[windows], weight[trials], seconds, place)
        split, _ = split_blocks(
            [WorkBlock(windows, trials)], weight.shape[1], _POOLED_WINDOWS, lambda count: count * features.shape[1]
        )
        run_stage(load_kernel().pool_responses, features, split, 0, centred=place, **outputs)


def _weight_grad(features: Tensor, blocks: Sequence[WorkBlock], **tensors: Tensor) -> Tensor:
    """One product of all windows: its sums stay in the cache, those of each block would be read and written again.

    Outside the blocks the gradients of responses are 0, and so is their part of the sums, whatever the features.
    """
    trials, _, _, filters = tensors["maximum"].shape
    features, frames = features.contiguous(), features.shape[1]
    response_grads = features.new_zeros(trials * filters, len(features) * frames)
    split, _ = split_blocks(blocks, filters, len(features), lambda windows: windows * frames)
    run_stage(load_kernel().response_grads, features, split, 0, response_grads=response_grads, **tensors)
    rows = features.flatten(0, 1)
    total = torch.mm(response_grads, rows).float()
    if not total.sum().isfinite():
        total = torch.mm(response_grads, rows.nan_to_num(0, 0, 0)).float()
    return total.view(trials, filters, -1)
