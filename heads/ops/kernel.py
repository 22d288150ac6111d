"""Call the stages of ``csrc/kernel.h``, which is compiled as ``heads.ops._kernel`` where there is a C compiler."""

import importlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.ops.blocks import WorkBlock

COMPILED = find_spec("heads.ops._kernel") is not None  # not without a C compiler, or on other processors
_VERSION = 3  # of kernel.h
_WORK = (  # members of Work in kernel.h
    *("blocks", "count", "windows", "seconds", "length", "inner", "filters", "columns", "bfloat16"),
    *("features", "panels", "maximum", "max_frame", "variance", "centred", "response_grads", "pairs", "gradient"),
    *("scratch", "scratch_bytes", "started", "next"),
)


@cache
def load_kernel() -> Any:
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


def split_blocks(
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


def run_stage(
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
