"""The elementwise pass between two convolutions of BrainCodec: sum, ELU and reflected borders in one.

With torch operations it is three passes and half of an encoder's time on a CPU. ``csrc/activation.c`` makes it
one, for decoders and where `avx512` cannot run. On a GPU, in training and without a
compiler torch does it.
"""

from importlib import import_module
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

COMPILED = find_spec("extract.braincodec._activation") is not None  # not without a C compiler


def reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Pad the last axis by reflection; an input too short to reflect is zero-extended first."""
    if not left and not right:
        return x
    missing = max(0, max(left, right) + 1 - x.shape[-1])
    padded = F.pad(F.pad(x, (0, missing)), (left, right, 0, 0), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]


def padded_elu(x: Tensor, added: Tensor | None = None, left: int = 0, right: int = 0) -> Tensor:
    """``reflect(elu(x + added), left, right)``, ``(N, C, 1, L) -> (N, C, 1, left + L + right)``.

    Parameters
    ----------
    x, added : Tensor
        Of one shape and type; fastest in channels-last memory.
    """
    tensors = [x] if added is None else [x, added]
    if not all(_compiled_can_run(tensor, max(left, right)) for tensor in tensors):
        return reflect(F.elu(x if added is None else x + added), left, right)
    _activation = import_module("extract.braincodec._activation")
    rows, width, _, length = x.shape
    frames = [tensor.permute(0, 2, 3, 1).contiguous() for tensor in tensors]
    out = frames[0].new_empty(rows, 1, left + length + right, width)
    addresses = [tensor.data_ptr() for tensor in (*frames, out)]
    if added is None:
        addresses.insert(1, 0)
    _activation.padded_elu(*addresses, rows, length, width, left, right, x.dtype == torch.bfloat16)
    return out.permute(0, 3, 1, 2)


def _compiled_can_run(x: Tensor, border: int) -> bool:
    return (
        COMPILED
        and not x.requires_grad
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and border < x.shape[-1]
    )
