"""Encoders by name: built in, of an installed package, of a checkpoint file, or of a person's own module.

A package adds encoders by the entry points ``braincodec_seizure.encoders``, a name and ``package.module:factory``
each; on the command line ``--encoder package.module:factory`` does without. `protocol` says what a factory is.
"""

from functools import lru_cache
from pathlib import Path
from typing import cast

from extract.encoders.checked import CheckedEncoder
from extract.encoders.protocol import EncoderFactory, EncoderSettings, FeatureExtractor
from store.runtime.errors import UserError
from store.runtime.plugins import import_object, load_plugin, plugin_names

GROUP = "braincodec_seizure.encoders"
BUILT_IN = {  # imported only when asked for, since they load torch
    "braincodec": "extract.encoders.braincodec:shipped",
    "random": "extract.encoders.braincodec:untrained",
    "bandpower": "extract.encoders.bandpower:BandpowerEncoder",
}
_CHECKPOINT = "extract.encoders.braincodec:from_file"


@lru_cache(maxsize=1)
def load_encoder(settings: EncoderSettings) -> FeatureExtractor:
    """Make the encoder that the settings name; a process makes it once.

    Raises
    ------
    UserError
        If there is no such encoder, its checkpoint or the device cannot be used, or another person's encoder
        cannot be imported or is not what `protocol` asks for.
    """
    name = settings.encoder
    if name in BUILT_IN:
        return _make(BUILT_IN[name], settings)
    if factory := load_plugin(GROUP, name):
        return CheckedEncoder(factory, settings)
    if Path(name).is_file():
        return _make(_CHECKPOINT, settings)
    if ":" in name:
        return CheckedEncoder(import_object(name), settings)
    names = ", ".join((*BUILT_IN, *plugin_names(GROUP)))
    raise UserError(
        f"encoder {name}: no such file; allowed: {names}, a checkpoint file, or package.module:factory"
    )


def _make(reference: str, settings: EncoderSettings) -> FeatureExtractor:
    return cast(EncoderFactory, import_object(reference))(settings)
