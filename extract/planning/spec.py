"""Whether a store's features are those that settings ask for, told without loading an encoder."""

from dataclasses import replace
from pathlib import Path

import safetensors

from extract.encoders.protocol import EncoderSettings
from store.schema import FeatureSpec

_SHIPPED = Path(__file__).parents[1] / "weights" / "braincodec.safetensors"


def compare_settings(stored: FeatureSpec, settings: EncoderSettings) -> str | None:
    """Say how what is stored differs from what is asked for; empty if it does not, None if only the encoder knows.

    Where the precision is chosen by the machine, any that is stored will do.
    """
    if settings.encoder in ("random", "bandpower"):
        weights_sha256: str | None = stored.weights_sha256
    else:
        path = _SHIPPED if settings.encoder == "braincodec" else Path(settings.encoder)
        weights_sha256 = _read_weights_sha256(path)
    if weights_sha256 is None:
        return None
    is_given = settings.precision != "auto" and settings.encoder != "bandpower"
    asked = replace(
        stored,
        encoder=settings.encoder if settings.encoder in ("braincodec", "random", "bandpower") else path.name,
        weights_sha256=weights_sha256,
        features=settings.features,
        stride_s=settings.stride,
        precision=settings.precision if is_given else stored.precision,
    )
    return stored.difference(asked)


def _read_weights_sha256(path: Path) -> str | None:
    """Checksum that our own checkpoints carry; None if it is none of ours."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
