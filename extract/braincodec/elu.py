"""The elementwise pass between two convolutions of BrainCodec: sum, ELU and reflected borders in one.

With torch operations it is three passes and half of an encoder's time on a CPU. ``csrc/activation.c`` makes it
one, for decoders, in training and where `avx512` cannot run. On a GPU and without a compiler torch fills the
borders in place, which spares a copy.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    # torch.compile and torch.export follow the operations of torch alone.
    if max(left, right) >= x.shape[-1] or torch.compiler.is_compiling():
        return reflect(F.elu(x if added is None else x + added), left, right)
    one_pass: Callable[[Tensor, Tensor | None, int, int], Tensor] = _PaddedElu.apply
    return one_pass(x, added, left, right)


class _PaddedElu(torch.autograd.Function):
    """`padded_elu` into channels-last memory; its gradient follows from the output alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Tensor | None, left: int, right: int) -> Tensor:
        rows, width, _, length = x.shape
        out = x.new_empty(rows, 1, left + length + right, width).permute(0, 3, 1, 2)
        fill = _fill_compiled if _compiled_can_run(x) and _compiled_can_run(added) else _fill
        fill(out, x, added, left, right)
        ctx.borders = left, right
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (out,) = ctx.saved_tensors
        left, right = ctx.borders
        length = out.shape[-1] - left - right
        inner = _fold_borders(gradient, left, right)
        inner = torch.ops.aten.elu_backward(inner, 1.0, 1.0, 1.0, True, out[..., left : left + length])
        return inner, inner if ctx.needs_input_grad[1] else None, None, None


def _fold_borders(gradient: Tensor, left: int, right: int) -> Tensor:
    """Gradient of `reflect`: what reaches the borders is added to the frames that they repeat."""
    length = gradient.shape[-1] - left - right
    inner = gradient[..., left : left + length]
    if left or right:
        inner = inner.clone(memory_format=torch.channels_last)
        inner[..., 1 : 1 + left] += gradient[..., :left].flip(-1)
        inner[..., length - 1 - right : length - 1] += gradient[..., left + length :].flip(-1)
    return inner


def _fill_compiled(out: Tensor, x: Tensor, added: Tensor | None, left: int, right: int) -> None:
    _activation = import_module("extract.braincodec._activation")
    rows, width, _, length = x.shape
    frames = [tensor.permute(0, 2, 3, 1).contiguous() for tensor in (x, added) if tensor is not None]
    addresses = [tensor.data_ptr() for tensor in (*frames, out)]
    if added is None:
        addresses.insert(1, 0)
    _activation.padded_elu(*addresses, rows, length, width, left, right, x.dtype == torch.bfloat16)


def _fill(out: Tensor, x: Tensor, added: Tensor | None, left: int, right: int) -> None:
    length = x.shape[-1]
    inner = out[..., left : left + length]
    torch.ops.aten.elu.out(x if added is None else x + added, out=inner)
    out[..., :left] = inner[..., 1 : 1 + left].flip(-1)
    out[..., left + length :] = inner[..., length - 1 - right : length - 1].flip(-1)


def _compiled_can_run(x: Tensor | None) -> bool:
    if x is None:
        return True
    return COMPILED and x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
