"""Whether a head of another package keeps to the contract of `heads.models.head`, on two windows of noise."""

from collections.abc import Mapping

import torch
from torch import Tensor

from heads.models.head import Head

_ROUNDING = 1e-3  # as a share of the largest logit: batches are multiplied in other orders


def find_fault(head: object, shape: tuple[int, int, int], seconds: int, is_trained: bool = False) -> str | None:
    """Say how a head breaks its contract; None if it keeps it.

    Two windows are predicted together and each by itself, by the head and by two heads of other weights in a
    stack, as in training. Nothing draws from torch's global random state. What the head raises is not caught.
    A head that is trained already only has to give logits.
    """
    if not isinstance(head, Head):
        return f"is a {type(head).__name__}; give a subclass of heads.models.head.Head"
    if not list(head.parameters()):
        return "has no parameters to train; set its layers as attributes in __init__"
    generator = torch.Generator().manual_seed(0)
    windows = _draw_windows(shape, generator)
    uniforms = torch.full((2, 2, head.dropout_units), 0.5) if head.dropout_units else None
    buffers = {name: value.clone() for name, value in head.named_buffers()}
    alone = head(windows) if uniforms is None else head(windows, uniforms[0])
    changed = [name for name, value in head.named_buffers() if not torch.equal(value, buffers[name])]
    state = _stack_weights(head, generator)
    together = head.forward_stacked(state, head.precompute(windows), uniforms)
    for logits, expected in ((alone, (2, seconds)), (together, (2, 2, seconds))):
        if not isinstance(logits, Tensor) or logits.shape != expected:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            return f"gives {given} for windows {tuple(windows.shape)}, expected logits {expected}"
    if is_trained:
        return None
    if _depends_on_batch(head, state, windows):
        return (
            "gives a window other logits beside another window than alone; each window is judged by itself: no "
            "statistics of the batch (axis 0; nn.LayerNorm or nn.GroupNorm in place of nn.BatchNorm)"
        )
    if changed:
        return f"forward changes the buffer {changed[0]}; heads that train together cannot: compute it in __init__"
    return None


def _draw_windows(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Two windows ``(2, F, C, D)`` of other statistics; above 0, since a head may take logarithms."""
    noise = torch.randn(2, *shape, generator=generator).abs() + 0.1
    return noise * torch.tensor([1.0, 3.0])[:, None, None, None]


def _stack_weights(head: Head, generator: torch.Generator) -> dict[str, Tensor]:
    """State of two heads; the second is moved away from initial weights, which may be 0."""
    trained = {name for name, _ in head.named_parameters()}
    state = {}
    for name, value in head.state_dict().items():
        step = 0.1 * torch.randn(value.shape, generator=generator) if name in trained else torch.zeros(())
        state[name] = torch.stack([value.detach(), value.detach() + step.to(value.dtype)])
    return state


def _depends_on_batch(head: Head, state: Mapping[str, Tensor], windows: Tensor) -> bool:
    """Whether windows have other logits together than alone, beyond rounding."""

    def predict(some: Tensor) -> Tensor:
        copied = {name: value.clone() for name, value in state.items()}
        with torch.no_grad():
            return head.forward_stacked(copied, head.precompute(some), None)

    together, alone = predict(windows), torch.cat([predict(window[None]) for window in windows], 1)
    largest = together[together.isfinite()].abs().max().item() if together.isfinite().any() else 0.0
    return not torch.allclose(together, alone, _ROUNDING, _ROUNDING * largest, equal_nan=True)
