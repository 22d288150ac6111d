"""The shipped weights, found by name or by the checksum in stores and runs. Does not import torch."""

from dataclasses import replace
from pathlib import Path

import safetensors

from store import FeatureSpec
from store.runtime.errors import UserError
from store.runtime.options import suggest

_FOLDER = Path(__file__).parents[1] / "weights"
FAMILY = "braincodec"  # the encoder's name in the spec of every store made with weights that ship
SHIPPED = {
    "braincodec": _FOLDER / "braincodec-clips.safetensors",
    "braincodec-any-eeg": _FOLDER / "braincodec-any-eeg.safetensors",
    "braincodec-any-eeg-v1": _FOLDER / "braincodec-any-eeg-v1.safetensors",
    "braincodec-clips": _FOLDER / "braincodec-clips.safetensors",
}
WEIGHTS = SHIPPED[FAMILY]


def shipped_path(name: str, sha256: str = "") -> Path:
    """File of weights that ship.

    Parameters
    ----------
    name
        One of `SHIPPED`; `FAMILY` means those of the checksum, and the default ones where none have it.
    sha256
        Of the store that is added to, or that a head was trained on; empty for a new store.
    """
    if name == FAMILY and sha256:
        for path in SHIPPED.values():
            if read_sha256(path) == sha256:
                return path
    return SHIPPED[name]


def find_weights(name_or_file: str) -> Path:
    """File of weights that ship, by name, or the file that is named.

    Raises
    ------
    UserError
        If there is neither.
    """
    path = SHIPPED.get(name_or_file) or Path(name_or_file)
    if not path.exists():
        raise UserError(
            f"{name_or_file}: no such file, and no weights that ship{suggest(name_or_file, list(SHIPPED))}; "
            f"allowed: {', '.join(SHIPPED)}, or a checkpoint file"
        )
    return path


def read_sha256(path: Path) -> str | None:
    """Checksum of the tensors that our own checkpoints carry; None if it is not one of ours."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None


def describe_difference(stored: FeatureSpec, expected: FeatureSpec) -> str:
    """As `FeatureSpec.difference`, with weights that ship by their names."""
    weights = [spec.weights_sha256 for spec in (stored, expected)]
    names = {read_sha256(path): name for name, path in SHIPPED.items() if name != FAMILY}
    if stored.encoder != expected.encoder or weights[0] == weights[1] or not names.keys() & {*weights}:
        return stored.difference(expected)
    first, second = (names.get(sha256) or f"others (sha256 {sha256[:12]}...)" for sha256 in weights)
    rest = stored.difference(replace(expected, weights_sha256=stored.weights_sha256))
    return "; ".join(filter(None, [f"weights are {first}, wanted {second}", rest]))
