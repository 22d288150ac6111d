"""Encoders by name: built in, of an installed package, of a checkpoint file, or of a person's own module.

A package adds encoders by the entry points ``braincodec_seizure.encoders``, a name and ``package.module:factory``
each; on the command line ``--encoder package.module:factory`` does without. `protocol` says what a factory is.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from extract.encoders.checked import CheckedEncoder, follows_settings
from extract.encoders.protocol import LOW_PASSED, EncoderFactory, EncoderSettings, FeatureExtractor, is_low_passed
from extract.encoders.shipped import SHIPPED
from extract.io.preparation import POLYPHASE
from extract.io.raw import read_outline
from store import FeatureSpec
from store.runtime.errors import UserError
from store.runtime.names import is_bare
from store.runtime.options import suggest
from store.runtime.plugins import correct_reference, import_named, import_object, load_plugin, plugin_names

GROUP = "braincodec_seizure.encoders"
BUILT_IN = {  # imported only when asked for, since they load torch
    **dict.fromkeys(SHIPPED, "extract.encoders.braincodec:shipped"),
    "random": "extract.encoders.braincodec:untrained",
    "bandpower": "extract.encoders.bandpower:BandpowerEncoder",
}
BUILT_IN_RATE_HZ = 512
BRAINDECODE = "braindecode:"  # begins the names of its models
_CHECKPOINT = "extract.encoders.braincodec:from_file"
_BRAINDECODE = "extract.encoders.braindecode:BraindecodeEncoder"


@lru_cache(maxsize=1)
def load_encoder(settings: EncoderSettings) -> FeatureExtractor:
    """Make the encoder that the settings name; a process makes it once.

    Raises
    ------
    UserError
        If there is no such encoder, its checkpoint or the device cannot be used, or another person's encoder
        cannot be imported or is not what `protocol` asks for.
    """
    encoder = _load(settings)
    if settings.low_passed:
        encoder.spec = replace(encoder.spec, resampling=encoder.spec.resampling + LOW_PASSED)
    if follows_settings(encoder.spec, settings):
        montage = settings.input_montage
        encoder.spec = replace(encoder.spec, montage=montage.name, derivations=montage.rows)
    return encoder


def needs_low_pass(settings: EncoderSettings, signals: Iterable[Path], stored: FeatureSpec | None = None) -> bool:
    """Whether the spec of a data set's features says that recordings above the encoder's rate are low-passed.

    They always are, and only they; a data set without such a recording keeps the spec that it has always had.

    Parameters
    ----------
    signals
        EEG files of the whole data set, so that every part of it has the same spec.
    stored
        Spec of the store that is added to.
    """
    if stored is not None and is_low_passed(stored):
        return True
    rate_hz = BUILT_IN_RATE_HZ
    if settings.encoder not in BUILT_IN:  # of which nothing is loaded
        spec = load_encoder(settings).spec
        if spec.resampling == POLYPHASE:  # which low-passes by itself
            return False
        rate_hz = spec.sample_rate_hz
    return max((read_outline(path).sample_rate_hz for path in signals), default=0.0) > rate_hz


def _load(settings: EncoderSettings) -> FeatureExtractor:
    name = settings.encoder
    if name in BUILT_IN:
        return _make(BUILT_IN[name], settings)
    if name.startswith(BRAINDECODE):
        return CheckedEncoder(import_object(_BRAINDECODE), settings, thorough=False)  # its tests are
    if factory := load_plugin(GROUP, name):
        return CheckedEncoder(factory, settings)
    if Path(name).is_file() and Path(name).suffix != ".py":
        return _make(_CHECKPOINT, settings)
    if ":" in name:
        return CheckedEncoder(import_named(name), settings)
    if corrected := correct_reference(name):
        raise UserError(f"encoder {name}: a module, not an encoder; give the class or function in it, {corrected}")
    known = (*BUILT_IN, *plugin_names(GROUP))
    what = f'no encoder "{name}"{suggest(name, known)}' if is_bare(name) else f"encoder {name}: no such file"
    raise UserError(
        f"{what}; allowed: {', '.join(known)}, {BRAINDECODE}NAME, a checkpoint file, or package.module:factory"
    )


def _make(reference: str, settings: EncoderSettings) -> FeatureExtractor:
    return cast(EncoderFactory, import_object(reference))(settings)  # of our own, so it is one
