"""The encoder of a BrainCodec, frozen, as ``csrc/encoder.c`` runs it on processors with AVX-512.

Three or four outputs of a convolution are computed from five products (minimal filtering; Winograd, 1980), a third
less arithmetic than the plain sums, and all that is elementwise is done on what is in the cache.
"""

import importlib
import math
import threading
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from extract.braincodec.network import Conv, SEANetEncoder, paddings
from store.runtime.device import can_use_avx512_kernels

COMPILED = find_spec("extract.braincodec._encoder") is not None  # not without a C compiler, or on other processors
_BLOCK_BYTES = 400_000  # of inputs: less than half of the second cache
_GROUP_TILES = 256  # enough for full blocks
_POINTS = (0.5, -0.5, 1.5, -1.5)  # and infinity
_OUTPUTS = {2: 4, 3: 3}  # of a tile, by the taps of the kernel


_LAYER = (  # members of Layer in encoder.c
    *("bias", "panels", "length", "width", "out_length", "out_width", "stride", "taps", "left", "outputs"),
    *("reflected", "block", "group"),
)


@cache
def load_extension() -> Any:
    """Import the compiled module, once.

    Raises
    ------
    ImportError
        If it was compiled from a source whose `Layer` has other members than these.
    """
    extension = importlib.import_module("extract.braincodec._encoder")
    if len(_LAYER) * np.dtype(np.int64).itemsize != getattr(extension, "LAYER_BYTES", 0):
        raise ImportError(f"{extension.__name__} was compiled from another source; install the package again")
    return extension


def can_run(precision: str) -> bool:
    """Whether an `Avx512Encoder` of that precision runs on this machine, and torch has nothing faster."""
    return COMPILED and can_use_avx512_kernels(precision)


class Avx512Encoder:
    """The encoder network, compiled for AVX-512, for windows of one length; computes ``BrainCodec.encode``.

    Parameters
    ----------
    encoder : SEANetEncoder
        Its weights are copied.
    samples
        Length of a window.
    bfloat16
        Multiply in bfloat16, with sums and all else in float32.
    """

    def __init__(self, encoder: SEANetEncoder, samples: int, bfloat16: bool) -> None:
        self.samples, self.bfloat16 = samples, bfloat16
        self.products = 0  # multiplications for one row
        self._stages = len(encoder.downs)
        self._arrays: list[Tensor] = []
        self._scratch_bytes = self._buffer = 0
        convs = [encoder.first]
        for residual, down in zip(encoder.residuals, encoder.downs, strict=True):
            convs += [residual.narrow, residual.widen, down]
        layers, length = [], samples
        for conv in (*convs, encoder.last):
            layers.append(self._pack(conv, length))
            length = math.ceil(length / conv.stride)
        self._shape = length, len(encoder.last.weight)
        self._layers = np.array(layers, np.int64)
        self._per_thread = threading.local()

    def __call__(self, signal_uv: Tensor) -> Tensor:
        """``(N, 1, samples)`` microvolts -> ``(N, D, F)`` latents, both float32.

        Raises
        ------
        ValueError
            If the windows have another length.
        """
        if signal_uv.shape[1:] != (1, self.samples):
            raise ValueError(f"windows of shape {tuple(signal_uv.shape)}, expected (N, 1, {self.samples})")
        signal_uv = signal_uv.float().contiguous()
        rows = len(signal_uv)
        latents = torch.empty(rows, *self._shape)
        values = 3 * rows * self._buffer + self._scratch_bytes // 4
        scratch = getattr(self._per_thread, "scratch", None)
        if scratch is None or len(scratch) < values:
            scratch = self._per_thread.scratch = torch.empty(values)
        addresses = (tensor.data_ptr() for tensor in (signal_uv, latents, scratch))
        load_extension().encode(
            self._layers.ctypes.data, self._stages, rows, *addresses, rows * self._buffer, self.bfloat16
        )
        return latents.transpose(1, 2)

    def _pack(self, conv: Conv, length: int) -> list[int]:
        """The members of a Layer of ``csrc/encoder.c``."""
        extension = load_extension()
        width_out, width, kernel = conv.weight.shape
        taps, wide = kernel // conv.stride, conv.stride * width
        outputs = _OUTPUTS.get(taps, 1) if wide % extension.LANES == 0 else 1
        weight = conv.weight.double().permute(2, 1, 0).reshape(taps, wide, width_out)
        if outputs == 1:
            weight = weight.reshape(1, taps * wide, width_out)
        else:
            weight = torch.einsum("pt,tko->pko", weights_at_points(taps), weight)
        left, right = paddings(length, kernel, conv.stride)
        out_length = math.ceil(length / conv.stride)
        points, inner, _ = weight.shape
        row_bytes = points * math.ceil(inner / extension.DEPTH) * extension.PITCH
        block = min(max(_BLOCK_BYTES // row_bytes // extension.SUMS, 1), 64) * extension.SUMS
        tiles = math.ceil(out_length / outputs)
        arrays = [conv.bias.float().clone(), _panels(weight, self.bfloat16)]
        self._arrays += arrays
        self.products += tiles * weight.numel()
        frames = extension.STRETCH + (2 * outputs + taps) * wide
        self._scratch_bytes = max(self._scratch_bytes, block * row_bytes + 4 * frames)
        self._buffer = max(self._buffer, length * width, out_length * width_out)
        sizes = [length, width, out_length, width_out, conv.stride, taps, left, outputs]
        together = [max(length, left + 1, right + 1), block, math.ceil(_GROUP_TILES / tiles)]
        return [*(array.data_ptr() for array in arrays), *sizes, *together]


def weights_at_points(taps: int) -> Tensor:
    """What turns the taps of a kernel to its values at the points, ``(5, taps)`` float64.

    >>> weights_at_points(2)[0].tolist()
    [-0.5, -0.25]
    """
    rows = [[a**tap / math.prod(a - b for b in _POINTS if b != a) for tap in range(taps)] for a in _POINTS]
    return torch.tensor([*rows, [0.0] * (taps - 1) + [1.0]], dtype=torch.float64)


def _panels(weight: Tensor, bfloat16: bool) -> Tensor:
    """Weights ``(points, inner, outputs)`` in the order in which `multiply` of ``csrc/encoder.c`` reads them."""
    extension = load_extension()
    columns = extension.LANES if weight.shape[2] <= extension.LANES else 2 * extension.LANES
    padding = (0, -weight.shape[2] % columns, 0, weight.shape[1] % 2 if bfloat16 else 0)
    panels = []
    for panel in torch.split(pad(weight, padding), columns, 2):
        for point in panel:
            for chunk in point.split(extension.DEPTH):
                pairs = chunk.reshape(-1, 2, chunk.shape[1]).transpose(1, 2) if bfloat16 else chunk
                panels.append(pairs.flatten())
    return torch.cat(panels).to(torch.bfloat16 if bfloat16 else torch.float32)
