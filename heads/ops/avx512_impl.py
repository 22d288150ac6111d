"""The functions of `heads.ops.torch_impl` in C (``csrc/kernel.h``), for processors with AVX-512."""

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from heads.ops import torch_impl
from heads.ops.blocks import WorkBlock
from store.runtime.device import can_use_avx512_kernels

COMPILED = find_spec("heads.ops._kernel") is not None  # not without a C compiler, or on other processors
_FEATURE_BYTES = 300_000  # of a block: with a panel of weights less than half of the second cache
_SLICE_BYTES = 32_768  # of the frames that a gradient is summed from: the first cache
_VERSION = 2  # of kernel.h
_WORK = (  # members of Work in kernel.h
    *("blocks", "count", "windows", "seconds", "length", "inner", "filters", "columns", "bfloat16"),
    *("features", "panels", "maximum", "max_frame", "variance", "centred", "response_grads", "pairs", "gradient"),
    *("scratch", "scratch_bytes", "started", "next"),
)


def can_run(features: Tensor) -> bool:
    """Whether these functions run here for features of this type, and are the fastest that do."""
    if not COMPILED or features.device.type != "cpu":
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
        _, size = _split_blocks(
            blocks, weight.shape[1], len(features), lambda windows: windows * features.shape[1]
        )
        saved["max_frame"] = torch.zeros_like(maximum, dtype=torch.int32)
        saved["centred"] = torch.empty(size, dtype=features.dtype)
    _filter_responses(features, weight, blocks, maximum=maximum, variance=variance, **saved)
    return maximum, variance, list(saved.values())


def weight_grad_max(features: Tensor, max_frame: Tensor, grad_max: Tensor, blocks: Sequence[WorkBlock]) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    kernel = _load_kernel()
    if features.dtype != torch.bfloat16:
        return torch_impl.weight_grad_max(features, max_frame, grad_max, blocks)
    trials, _, seconds, filters = max_frame.shape
    frames, inner = features.shape[1:]
    most = max(1, _SLICE_BYTES // (2 * kernel.SLICE * frames))
    split, pairs = _split_blocks(blocks, filters, most, lambda windows: (windows * seconds + 1) // 2)
    total = torch.empty(trials, filters, inner)
    tensors = {"max_frame": max_frame, "maximum": grad_max.contiguous(), "gradient": total}
    tensors["pairs"] = torch.empty(pairs, kernel.PAIR_BYTES, dtype=torch.uint8)
    scratch_bytes = 2 * kernel.SLICE * (2 * trials * filters + most * frames)
    for stage in (kernel.pair_max_frames, kernel.weight_grad_max):
        _run(stage, features, split, scratch_bytes, **tensors)
    return total


def weight_grad_max_and_variance(
    features: Tensor, saved: Sequence[Tensor], grad_max: Tensor, grad_variance: Tensor, blocks: Sequence[WorkBlock]
) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    kernel = _load_kernel()
    max_frame, centred = saved
    trials, _, _, filters = max_frame.shape
    frames = features.shape[1]
    split, _ = _split_blocks(blocks, filters, len(features), lambda windows: windows * frames)
    total = torch.empty(trials, filters, features.shape[2])
    tensors = {"max_frame": max_frame, "maximum": grad_max.contiguous(), "variance": grad_variance.contiguous()}
    tensors |= {"centred": centred, "response_grads": torch.empty_like(centred), "gradient": total}
    scratch_bytes = 4 * kernel.SLICE * (trials * filters + int(split[:, 1].max()) * frames)
    for stage in (kernel.response_grads, kernel.weight_grad):
        _run(stage, features, split, scratch_bytes, **tensors)
    return total


@cache
def _load_kernel() -> Any:
    """The compiled module.

    Raises
    ------
    ImportError
        If it was compiled from an older source.
    """
    kernel = importlib.import_module("heads.ops._kernel")
    if getattr(kernel, "VERSION", 1) != _VERSION or 8 * len(_WORK) != kernel.WORK_BYTES:
        raise ImportError("heads.ops._kernel was compiled from an older source; install the package again")
    return kernel


def _filter_responses(features: Tensor, weight: Tensor, blocks: Sequence[WorkBlock], **outputs: Tensor) -> None:
    kernel = _load_kernel()
    columns, seconds = kernel.COLUMNS, outputs["maximum"].shape[2]
    rows = pad(weight.flatten(0, 1), (0, 0, 0, -weight.shape[:2].numel() % columns))
    rows = rows.contiguous().view(torch.int32)  # two of bfloat16
    panels = rows.view(-1, columns, rows.shape[1]).mT.contiguous()
    most = max(1, _FEATURE_BYTES // features[0].nbytes)
    split, _ = _split_blocks(blocks, weight.shape[1], most, lambda windows: windows * features.shape[1])
    scratch_bytes = 4 * columns * (features.shape[1] // seconds + kernel.ROWS)
    _run(kernel.filter_responses, features, split, scratch_bytes, panels=panels, **outputs)


def _split_blocks(
    blocks: Sequence[WorkBlock], filters: int, most: int, saved_rows: Callable[[int], int]
) -> tuple[NDArray[np.int64], int]:
    """Rows of ``Block`` in kernel.h: blocks of at most ``most`` windows; and the values saved of them all."""
    rows, offset = [], 0
    for windows, trials in blocks:
        columns = (trials.stop - trials.start) * filters
        for start in range(windows.start, windows.stop, most):
            count = min(most, windows.stop - start)
            rows.append((start, count, trials.start * filters, columns, offset))
            offset += saved_rows(count) * columns
    return np.array(rows, np.int64), offset


def _run(
    stage: Callable[[int, int], None],
    features: Tensor,
    blocks: NDArray[np.int64],
    scratch_bytes: int,
    **tensors: Tensor,
) -> None:
    """Run one stage of kernel.h on all blocks, with as many threads as torch uses."""
    trials, windows, seconds, filters = tensors["maximum"].shape
    threads = torch.get_num_threads()
    tensors["features"] = features.contiguous()
    tensors["scratch"] = torch.empty(threads, scratch_bytes, dtype=torch.uint8)
    members = {name: tensor.data_ptr() for name, tensor in tensors.items()} | {
        "blocks": blocks.ctypes.data,
        "count": len(blocks),
        "windows": windows,
        "seconds": seconds,
        "length": features.shape[1] // seconds,
        "inner": features.shape[2],
        "filters": filters,
        "columns": trials * filters,
        "bfloat16": features.dtype == torch.bfloat16,
        "scratch_bytes": scratch_bytes,
    }
    work = np.array([members.get(name, 0) for name in _WORK], np.int64)
    stage(work.ctypes.data, threads)
