"""Trained heads in files: safetensors with the settings that rebuild them."""

import dataclasses
import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open

from heads.models.head import Head
from heads.models.registry import make_head
from heads.settings import HeadSettings
from store import FeatureSpec
from store.runtime.atomic import write_bytes
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_settings


def save_head(path: Path, head: Head, settings: HeadSettings, spec: FeatureSpec, threshold: float) -> None:
    """Write a trained head, the settings that rebuild it and the spec of the features that it takes."""
    metadata = {
        "settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "spec": spec.to_json(),
        "threshold": repr(threshold),
        "head": f"{type(head).__module__}:{type(head).__qualname__}",
    }
    tensors = {name: value.contiguous() for name, value in head.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata))  # save_file would hide it from other users


def load_head(path: Path) -> tuple[Head, FeatureSpec, float]:
    """Read a trained head, the spec of the features that it takes and its threshold.

    Raises
    ------
    UserError
        If there is no such file, or if it holds no head of this project.
    """
    if not path.is_file():
        raise UserError(f"{path}: no trained head; python -m heads.train --fold final makes one")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        spec = FeatureSpec.from_json(metadata["spec"])
        stored = translate_settings(json.loads(metadata["settings"]))
        settings = HeadSettings(**{field.name: stored[field.name] for field in dataclasses.fields(HeadSettings)})
        channels, dims = state["mean"].shape
        threshold = float(metadata["threshold"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a head that python -m heads.train wrote ({reason}); train it again"
        ) from error
    try:
        head = make_head(settings, (spec.frames, channels, dims), spec.window_s, seed=0)
        head.load_state_dict(state)
    except UserError as error:
        origin = metadata.get("head", "")
        note = f"; it was {origin} when it was trained" if origin and origin != settings.head else ""
        raise UserError(f"{path}: its head cannot be made: {error}{note}") from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: its weights do not fit {settings.head} ({reason}); train it again") from error
    return head, spec, threshold
