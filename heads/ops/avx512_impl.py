"""The functions of `heads.ops.torch_impl` in C (``csrc/kernel.h``), for processors with AVX-512."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from heads.ops import kernel, torch_impl
from heads.ops.blocks import WorkBlock
from heads.ops.kernel import load_kernel, run_stage, split_blocks
from store.runtime.device import can_use_avx512_kernels

_FEATURE_BYTES = 300_000  # of a block: with a panel of weights less than half of the second cache
_SLICE_BYTES = 32_768  # of the frames that a gradient is summed from: the first cache


def can_run(features: Tensor) -> bool:
    """Whether these functions run here for features of this type, and are the fastest that do."""
    if not kernel.COMPILED or features.device.type != "cpu":
        return False
    if features.dtype == torch.bfloat16:
        return features.shape[1] % 2 == features.shape[2] % 2 == 0 and can_use_avx512_kernels("bfloat16")
    return features.dtype == torch.float32 and can_use_avx512_kernels("float32")


def response_max(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor | None]:
    """As in `heads.ops.torch_impl`."""
    maximum = torch.zeros(len(weight), len(features), seconds, weight.shape[1])
    saved = {"max_frame": torch.zeros_like(maximum, dtype=torch.int32)} if save else {}
    _filter_responses(features, weight, blocks, maximum=maximum, **saved)
    return maximum, saved.get("max_frame")


def response_max_and_variance(
    features: Tensor, weight: Tensor, seconds: int, blocks: Sequence[WorkBlock], save: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """As in `heads.ops.torch_impl`."""
    maximum, variance = torch.zeros(2, len(weight), len(features), seconds, weight.shape[1])
    saved = {}
    if save:
        _, size = split_blocks(blocks, weight.shape[1], len(features), lambda windows: windows * features.shape[1])
        saved["max_frame"] = torch.zeros_like(maximum, dtype=torch.int32)
        saved["centred"] = torch.empty(size, dtype=features.dtype)
    _filter_responses(features, weight, blocks, maximum=maximum, variance=variance, **saved)
    return maximum, variance, list(saved.values())


def weight_grad_max(features: Tensor, max_frame: Tensor, grad_max: Tensor, blocks: Sequence[WorkBlock]) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    compiled = load_kernel()
    if features.dtype != torch.bfloat16:
        return torch_impl.weight_grad_max(features, max_frame, grad_max, blocks)
    trials, _, seconds, filters = max_frame.shape
    frames, inner = features.shape[1:]
    most = max(1, _SLICE_BYTES // (2 * compiled.SLICE * frames))
    split, pairs = split_blocks(blocks, filters, most, lambda windows: (windows * seconds + 1) // 2)
    total = torch.empty(trials, filters, inner)
    tensors = {"max_frame": max_frame, "maximum": grad_max.contiguous(), "gradient": total}
    tensors["pairs"] = torch.empty(pairs, compiled.PAIR_BYTES, dtype=torch.uint8)
    scratch_bytes = 2 * compiled.SLICE * (2 * trials * filters + most * frames)
    for stage in (compiled.pair_max_frames, compiled.weight_grad_max):
        run_stage(stage, features, split, scratch_bytes, **tensors)
    return total


def weight_grad_max_and_variance(
    features: Tensor, saved: Sequence[Tensor], grad_max: Tensor, grad_variance: Tensor, blocks: Sequence[WorkBlock]
) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    compiled = load_kernel()
    max_frame, centred = saved
    trials, _, _, filters = max_frame.shape
    frames = features.shape[1]
    split, _ = split_blocks(blocks, filters, len(features), lambda windows: windows * frames)
    total = torch.empty(trials, filters, features.shape[2])
    tensors = {"max_frame": max_frame, "maximum": grad_max.contiguous(), "variance": grad_variance.contiguous()}
    tensors |= {"centred": centred, "gradient": total}
    tensors["response_grads"] = features.new_empty(trials * filters, len(features) * frames)
    scratch_bytes = 4 * compiled.SLICE * (trials * filters + int(split[:, 1].max()) * frames)
    for stage in (compiled.response_grads, compiled.weight_grad):
        run_stage(stage, features, split, scratch_bytes, **tensors)
    return total


def _filter_responses(features: Tensor, weight: Tensor, blocks: Sequence[WorkBlock], **outputs: Tensor) -> None:
    compiled = load_kernel()
    columns, seconds = compiled.COLUMNS, outputs["maximum"].shape[2]
    rows = pad(weight.flatten(0, 1), (0, 0, 0, -weight.shape[:2].numel() % columns))
    rows = rows.contiguous().view(torch.int32)  # two of bfloat16
    panels = rows.view(-1, columns, rows.shape[1]).mT.contiguous()
    most = max(1, _FEATURE_BYTES // features[0].nbytes)
    split, _ = split_blocks(blocks, weight.shape[1], most, lambda windows: windows * features.shape[1])
    scratch_bytes = 4 * columns * (features.shape[1] // seconds + compiled.ROWS)
    run_stage(compiled.filter_responses, features, split, scratch_bytes, panels=panels, **outputs)
