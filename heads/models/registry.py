"""Heads by name: those of this project, those of installed packages, and any by its import path."""

import shlex
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from heads.models.head import Head, HeadBuilder
from heads.models.linear import LinearHead
from heads.models.pooled_linear import PooledLinearHead
from heads.models.spatial_fusion import SpatialFusionHead
from heads.settings import HeadSettings
from store.runtime.errors import UserError
from store.runtime.options import suggest
from store.runtime.plugins import import_named, load_plugin, plugin_names

GROUP = "braincodec_seizure.heads"  # entry points of installed packages
HEADS: dict[str, HeadBuilder] = {
    "spatial-fusion": SpatialFusionHead,
    "linear": LinearHead,
    "pooled-linear": PooledLinearHead,
}

_SEEDING = threading.Lock()  # torch's random state is one for all threads


def find_head(name: str, others: Sequence[str] = ()) -> HeadBuilder:
    """Find what builds a head: by a name of this project, by an entry point, or as ``package.module:Name``.

    Parameters
    ----------
    name
    others
        What else is allowed there, to name in the error.

    Raises
    ------
    UserError
        If there is no such head, or it cannot be imported.
    """
    if name in HEADS:
        return HEADS[name]
    builder: Any = import_named(name) if ":" in name else load_plugin(GROUP, name)
    if builder is None:
        known = (*HEADS, *plugin_names(GROUP), *others)
        raise UserError(
            f"head {name!r} is unknown{suggest(name, known)}; allowed: {', '.join(known)}, or package.module:Name"
        )
    if not callable(builder):
        raise UserError(f"head {name}: is a {type(builder).__name__}; give a subclass of heads.models.head.Head")
    return cast(HeadBuilder, builder)  # a user's: `make_head` tries out what it builds


def require_named(head: str, named: Collection[str | None], path: Path) -> None:
    """Refuse a head that a file names as ``package.module:Name`` unless the user does too: its code would run.

    Parameters
    ----------
    head
        By the file.
    named
        On the command line.
    path
        The file, or the run.

    Raises
    ------
    UserError
        Naming the option to add.
    """
    if ":" in head and head not in named:
        raise UserError(
            f"{path}: its head {head} is code of another package; add --head {shlex.quote(head)} to run that code"
        )


def make_head(settings: HeadSettings, shape: tuple[int, int, int], seconds: int, seed: int) -> Head:
    """Build a head with seeded initial weights; the global random state is left as it was.

    Raises
    ------
    UserError
        If there is no such head, or one of another package does not keep to the contract of `heads.models.head`.
    """
    builder = find_head(settings.head)
    with _SEEDING, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        is_ours = settings.head in HEADS
        head = builder(settings, shape, seconds) if is_ours else _make_tried(builder, settings, shape, seconds)
    head.context_s = settings.context_s
    return head


def _make_tried(builder: HeadBuilder, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> Head:
    """Build a head of another package and try it out."""
    try:
        head = builder(settings, shape, seconds)
        _try_out(head, shape, seconds)
    except Exception as error:  # whatever the code of other people raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if "vmap: called random operation" in reason:
            reason = "forward draws random numbers, as nn.Dropout does; let it decide by dropout_uniforms"
        raise UserError(f"head {settings.head}: cannot be used ({reason})") from error
    return head


def _try_out(head: Head, shape: tuple[int, int, int], seconds: int) -> None:
    """Predict two windows, alone and by two heads together, as training does.

    Raises
    ------
    TypeError
        If what the head gives is not what its contract says.
    Whatever the head raises.
    """
    if not isinstance(head, Head):
        raise TypeError(f"made a {type(head).__name__}, expected a heads.models.head.Head")
    if not list(head.parameters()):
        raise TypeError("has no parameters to train")
    features, uniforms = torch.zeros(2, *shape), None
    if head.dropout_units:
        uniforms = torch.full((2, 2, head.dropout_units), 0.5)
    alone = head(features) if uniforms is None else head(features, uniforms[0])
    state = {name: torch.stack([value.detach()] * 2) for name, value in head.state_dict().items()}
    together = head.forward_stacked(state, head.precompute(features), uniforms)
    for logits, expected in ((alone, (2, seconds)), (together, (2, 2, seconds))):
        if not isinstance(logits, torch.Tensor) or logits.shape != expected:
            given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise TypeError(f"gives {given} for windows {tuple(features.shape)}, expected logits {expected}")
