"""Heads by name: those of this project, those of installed packages, and any by its import path."""

import dataclasses
import shlex
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from heads.models.contract import find_fault
from heads.models.head import Head, HeadBuilder
from heads.models.linear import LinearHead
from heads.models.pooled_linear import PooledLinearHead
from heads.models.spatial_fusion import SpatialFusionHead
from heads.settings import HeadSettings
from store.runtime.errors import UserError
from store.runtime.options import suggest
from store.runtime.plugins import correct_reference, import_named, load_plugin, plugin_names

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
        meant = f"; give {corrected}" if (corrected := correct_reference(name)) else suggest(name, known)
        raise UserError(f"head {name!r} is unknown{meant}; allowed: {', '.join(known)}, or package.module:Name")
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


def make_head(
    settings: HeadSettings, shape: tuple[int, int, int], seconds: int, seed: int, is_trained: bool = False
) -> Head:
    """Build a head with seeded initial weights; the global random state is left as it was.

    With ``is_trained``, trained weights will replace them: a head of another package is then tried out less.

    Raises
    ------
    UserError
        If there is no such head, or one of another package does not keep to the contract of `heads.models.head`.
    """
    builder = find_head(settings.head)
    with _SEEDING, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        if settings.head in HEADS:
            head = builder(settings, shape, seconds)
        else:
            head = _make_tried(builder, settings, shape, seconds, is_trained)
    head.context_s = settings.context_s
    return head


def _make_tried(
    builder: HeadBuilder, settings: HeadSettings, shape: tuple[int, int, int], seconds: int, is_trained: bool
) -> Head:
    """Build a head of another package and try it out; it sees the settings that its file will hold, no more."""
    head_settings = HeadSettings(
        **{field.name: getattr(settings, field.name) for field in dataclasses.fields(HeadSettings)}
    )
    try:
        head = builder(head_settings, shape, seconds)
        fault = find_fault(head, shape, seconds, is_trained)
    except UserError as error:
        raise UserError(f"head {settings.head}: {error}") from error
    except Exception as error:  # whatever the code of other people raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if "vmap: called random operation" in reason:
            reason = "forward draws random numbers, as nn.Dropout does; let it decide by dropout_uniforms"
        raise UserError(f"head {settings.head}: cannot be used ({reason}); --debug shows where") from error
    if fault:
        raise UserError(f"head {settings.head}: {fault}")
    return head
