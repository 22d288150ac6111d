"""`heads.ops.torch_impl` as `_kernel.h` computes it, on processors with AVX-512."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from heads.ops import torch_impl as responses
from heads.ops.blocks import Pieces
from store.runtime.device import can_use_avx512_kernels

COMPILED = find_spec("heads.ops._kernel") is not None  # not without a C compiler, or on other processors
_FEATURE_BYTES = 300_000  # of a block: with a panel of weights less than half of the second cache
_SLICE_BYTES = 32_768  # of the frames that sums are gathered from: the first cache
_WORK = (  # as `_kernel.h` has it
    *("blocks", "count", "windows", "seconds", "length", "inner", "filters", "columns", "bfloat16"),
    *("features", "panels", "largest", "chosen", "variance", "centred", "turned", "pairs", "gradient"),
    *("scratch", "scratch_bytes", "started", "next"),
)


def takes(features: Tensor) -> bool:
    """Whether these functions run here for such features, and nothing else does so faster."""
    if not COMPILED or features.device.type != "cpu":
        return False
    if features.dtype == torch.bfloat16:
        return features.shape[1] % 2 == features.shape[2] % 2 == 0 and can_use_avx512_kernels("bfloat16")
    return features.dtype == torch.float32 and can_use_avx512_kernels("float32")


def pool(
    features: Tensor, weight: Tensor, seconds: int, pieces: Pieces, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """As in `heads.ops.torch_impl`."""
    largest = torch.zeros(len(weight), len(features), seconds, weight.shape[1])
    kept = {"chosen": torch.zeros_like(largest, dtype=torch.int32)} if keep else {}
    _respond(features, weight, pieces, largest=largest, **kept)
    return largest, kept.get("chosen")


def pool_and_vary(
    features: Tensor, weight: Tensor, seconds: int, pieces: Pieces, keep: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """As in `heads.ops.torch_impl`."""
    largest, variance = torch.zeros(2, len(weight), len(features), seconds, weight.shape[1])
    kept = {}
    if keep:
        _, size = _blocks(pieces, weight.shape[1], len(features), lambda windows: windows * features.shape[1])
        kept["chosen"] = torch.zeros_like(largest, dtype=torch.int32)
        kept["centred"] = torch.empty(size, dtype=features.dtype)
    _respond(features, weight, pieces, largest=largest, variance=variance, **kept)
    return largest, variance, list(kept.values())


def gather(features: Tensor, chosen: Tensor, gradient: Tensor, pieces: Pieces) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    from heads.ops import _kernel

    if features.dtype != torch.bfloat16:
        return responses.gather(features, chosen, gradient, pieces)
    slots, _, seconds, filters = chosen.shape
    frames, inner = features.shape[1:]
    most = max(1, _SLICE_BYTES // (2 * _kernel.SLICE * frames))
    blocks, pairs = _blocks(pieces, filters, most, lambda windows: (windows * seconds + 1) // 2)
    total = torch.empty(slots, filters, inner)
    tensors = {"chosen": chosen, "largest": gradient.contiguous(), "gradient": total}
    tensors["pairs"] = torch.empty(pairs, _kernel.PAIR_BYTES, dtype=torch.uint8)
    scratch_bytes = 2 * _kernel.SLICE * (2 * slots * filters + most * frames)
    for stage in (_kernel.pair, _kernel.gather):
        _run(stage, features, blocks, scratch_bytes, **tensors)
    return total


def weigh(
    features: Tensor, kept: Sequence[Tensor], of_largest: Tensor, of_variance: Tensor, pieces: Pieces
) -> Tensor:
    """As in `heads.ops.torch_impl`."""
    from heads.ops import _kernel

    chosen, centred = kept
    slots, _, _, filters = chosen.shape
    frames = features.shape[1]
    blocks, _ = _blocks(pieces, filters, len(features), lambda windows: windows * frames)
    total = torch.empty(slots, filters, features.shape[2])
    tensors = {"chosen": chosen, "largest": of_largest.contiguous(), "variance": of_variance.contiguous()}
    tensors |= {"centred": centred, "turned": torch.empty_like(centred), "gradient": total}
    scratch_bytes = 4 * _kernel.SLICE * (slots * filters + int(blocks[:, 1].max()) * frames)
    for stage in (_kernel.share, _kernel.weigh):
        _run(stage, features, blocks, scratch_bytes, **tensors)
    return total


def _respond(features: Tensor, weight: Tensor, pieces: Pieces, **outputs: Tensor) -> None:
    from heads.ops import _kernel

    columns, seconds = _kernel.COLUMNS, outputs["largest"].shape[2]
    rows = pad(weight.flatten(0, 1), (0, 0, 0, -weight.shape[:2].numel() % columns))
    rows = rows.contiguous().view(torch.int32)  # two of bfloat16
    panels = rows.unflatten(0, (-1, columns)).mT.contiguous()
    most = max(1, _FEATURE_BYTES // features[0].nbytes)
    blocks, _ = _blocks(pieces, weight.shape[1], most, lambda windows: windows * features.shape[1])
    scratch_bytes = 4 * columns * (features.shape[1] // seconds + _kernel.ROWS)
    _run(_kernel.respond, features, blocks, scratch_bytes, panels=panels, **outputs)


def _blocks(pieces: Pieces, filters: int, most: int, kept: Callable[[int], int]) -> tuple[NDArray[np.int64], int]:
    """Blocks of `_kernel.h`: pieces cut to few windows; and the sum of what is kept of their columns."""
    blocks, offset = [], 0
    for windows, some in pieces:
        columns = (some.stop - some.start) * filters
        for start in range(windows.start, windows.stop, most):
            count = min(most, windows.stop - start)
            blocks.append((start, count, some.start * filters, columns, offset))
            offset += kept(count) * columns
    return np.array(blocks, np.int64), offset


def _run(
    stage: Callable[[int, int], None],
    features: Tensor,
    blocks: NDArray[np.int64],
    scratch_bytes: int,
    **tensors: Tensor,
) -> None:
    """One stage of `_kernel.h` on all blocks, with as many threads as torch uses."""
    slots, windows, seconds, filters = tensors["largest"].shape
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
        "columns": slots * filters,
        "bfloat16": features.dtype == torch.bfloat16,
        "scratch_bytes": scratch_bytes,
    }
    work = np.array([members.get(name, 0) for name in _WORK], np.int64)
    stage(work.ctypes.data, threads)
