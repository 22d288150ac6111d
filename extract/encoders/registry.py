"""Encoders by name."""

from functools import lru_cache
from pathlib import Path

from extract.encoders.bandpower import BandpowerEncoder
from extract.encoders.braincodec import from_file, shipped, untrained
from extract.encoders.protocol import EncoderSettings, FeatureExtractor
from store.runtime.errors import UserError

_BUILT_IN = {"braincodec": shipped, "random": untrained, "bandpower": BandpowerEncoder}


@lru_cache(maxsize=1)
def load_encoder(settings: EncoderSettings) -> FeatureExtractor:
    """Make the encoder that the settings name; a process makes it once.

    Raises
    ------
    UserError
        If there is no such encoder, or its checkpoint or the device cannot be used.
    """
    if factory := _BUILT_IN.get(settings.encoder):
        return factory(settings)
    if not Path(settings.encoder).is_file():
        raise UserError(
            f"encoder {settings.encoder}: no such file; allowed: {', '.join(_BUILT_IN)} or a checkpoint"
        )
    return from_file(settings)
