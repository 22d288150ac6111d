"""Save and load trained heads: safetensors with the settings that rebuild them."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from heads.models.head import Head
from heads.models.registry import HEADS, make_head, require_named
from heads.settings import POOLINGS, HeadSettings
from store import FeatureSpec
from store.runtime.atomic import write_bytes
from store.runtime.commands import command_line
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_settings

_CONTENT = "braincodec_seizure"  # the entry of the metadata
_DAMAGE = (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, RecursionError, OSError)


def save_head(path: Path, head: Head, settings: HeadSettings, spec: FeatureSpec, threshold: float) -> None:
    """Write a trained head, the settings that rebuild it and the spec of the features that it takes."""
    content = {
        "settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "spec": spec.to_json(),
        "threshold": repr(threshold),
        "head": f"{type(head).__module__}:{type(head).__qualname__}",
    }
    metadata = {_CONTENT: json.dumps(content)}  # safetensors writes several entries in random order
    tensors = {name: value.contiguous() for name, value in head.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata))  # save_file would hide it from other users


def load_head(path: Path, named: Collection[str | None] = ()) -> tuple[Head, FeatureSpec, float]:
    """Read a trained head, the spec of the features that it takes and its threshold.

    Parameters
    ----------
    path
    named
        Heads ``package.module:Name`` that the user named, whose code may run.

    Raises
    ------
    UserError
        If there is no such file, it holds no head of this project, or its head is of a package that is not here or
        that the user did not name.
    """
    if not path.is_file():
        raise UserError(f"{path}: not a trained head; give the head.safetensors of a finished fold")
    try:
        with safe_open(path, "pt") as file:
            metadata = _read_metadata(file.metadata() or {})
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
        spec, settings, threshold = _parse(metadata, state)
        shape = (spec.head_frames, *state["mean"].shape)
        if settings.head in HEADS:
            _require_shapes(settings, shape, spec.window_s, state)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path}: not a head that {command_line('heads.train')} wrote ({reason}); train it again"
        ) from error
    require_named(settings.head, named, path)
    try:
        head = make_head(settings, shape, spec.window_s, seed=0, is_trained=True)
        head.load_state_dict(state)
    except UserError as error:
        origin = metadata.get("head", "")
        note = f"; it was {origin} when it was trained" if origin and origin != settings.head else ""
        raise UserError(f"{path}: its head cannot be made: {error}{note}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: its weights do not fit {settings.head} ({reason}); train it again") from error
    return head, spec, threshold


def _read_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The entries of `save_head`; earlier versions wrote each of its own."""
    content = json.loads(metadata[_CONTENT]) if _CONTENT in metadata else dict(metadata)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError(f"{_CONTENT} holds other entries")
    return content


def _parse(metadata: Mapping[str, str], state: dict[str, Tensor]) -> tuple[FeatureSpec, HeadSettings, float]:
    """What the metadata say, held against what they can say; raise what is wrong."""
    spec = FeatureSpec.from_json(metadata["spec"])
    counts = (spec.frames, spec.dims, spec.window_s, spec.stride_s, spec.hop, spec.sample_rate_hz)
    if not all(type(count) is int and 1 <= count < 1 << 31 for count in counts):
        raise ValueError("spec holds no counts")
    if state["mean"].ndim != 2 or state["mean"].shape[0] != len(spec.channels):
        raise ValueError(f"mean is {tuple(state['mean'].shape)} for {len(spec.channels)} channels")
    context_s = int(state.pop("smoothing_s", 1))  # where files of before it was a setting hold it
    stored = {"context_s": context_s, **translate_settings(json.loads(metadata["settings"]))}
    settings = HeadSettings(**{field.name: stored[field.name] for field in dataclasses.fields(HeadSettings)})
    if not isinstance(settings.head, str) or settings.pooling not in POOLINGS:
        raise ValueError(f"head {settings.head!r} with pooling {settings.pooling!r}")
    stored_values = sum(value.numel() for value in state.values())
    for name in ("filters", "hidden"):
        value = getattr(settings, name)
        if type(value) is not int or not 1 <= value <= max(stored_values, getattr(HeadSettings, name)):
            raise ValueError(f"{name} is {value!r} of {stored_values} stored values")
    if type(settings.context_s) is not int or settings.context_s % 2 == 0 or settings.context_s < 1:
        raise ValueError(f"context_s is {settings.context_s!r}, expected an odd number")
    if not isinstance(settings.dropout, int | float) or not 0 <= settings.dropout < 1:
        raise ValueError(f"dropout is {settings.dropout!r}")
    threshold = float(metadata["threshold"])
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}")
    if unusable := [name for name, value in state.items() if not value.isfinite().all()]:
        raise ValueError(f"{unusable[0]} is not finite")
    return spec, settings, threshold


def _require_shapes(
    settings: HeadSettings, shape: tuple[int, int, int], seconds: int, state: Mapping[str, Tensor]
) -> None:
    """Raise what does not fit, before memory is taken for it."""
    with torch.device("meta"):
        head = HEADS[settings.head](settings, shape, seconds)
    for name, value in head.state_dict().items():
        if name not in state or state[name].shape != value.shape:
            given = tuple(state[name].shape) if name in state else "missing"
            raise ValueError(f"{name} is {given}, expected {tuple(value.shape)}")
