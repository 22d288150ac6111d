"""Resolve encoder settings that depend on the data set or the store: montage and low-pass."""

from collections.abc import Callable
from dataclasses import replace

from extract.encoders.protocol import EncoderSettings, is_low_passed
from extract.encoders.registry import needs_low_pass
from extract.io.bids import DataSet, find_data_set
from extract.io.montage import AS_RECORDED, Montage, from_spec
from extract.io.montage_table import find_montage
from extract.io.recorded_channels import find_shared_montage
from store import FeatureSpec


def resolve_settings(
    settings: EncoderSettings,
    data: DataSet,
    stored: FeatureSpec | None,
    *,
    is_whole: bool,
    is_changed: bool,
    take_common: bool,
    tell: Callable[..., object],
) -> EncoderSettings:
    """The encoder's settings for a data set.

    Parameters
    ----------
    stored
        Spec of the store that is added to.
    is_whole
        Whether ``data`` is of all subjects.
    is_changed
        Whether a recording is to be encoded; else the store decides.
    take_common
        With the montage as-recorded, take the channels that all recordings have.
    tell
        Told who has which channels, a line each, where recordings differ.

    Raises
    ------
    UserError
        If there is no such montage, or recordings differ in their channels.
    """
    before = stored if stored is not None and settings.montage == stored.montage == AS_RECORDED else None
    if not is_changed:
        montage = from_spec(before) if before else _find(settings, data, take_common, tell)
        return replace(settings, resolved=montage, low_passed=stored is not None and is_low_passed(stored))
    montage = _find(settings, data, take_common, tell)
    if montage is not None and before is not None:
        had, has = set(before.input_channels), set(montage.channels)
        if had == has or (take_common and had < has):
            montage = from_spec(before)
    settings = replace(settings, resolved=montage)
    everything = data if is_whole else find_data_set(data.path)
    paths = [recording.path for recording in everything.recordings if recording.is_fetched]
    return replace(settings, low_passed=needs_low_pass(settings, paths, stored))


def _find(
    settings: EncoderSettings, data: DataSet, take_common: bool, tell: Callable[..., object]
) -> Montage | None:
    """The montage that is asked for; None where that is left to the encoder."""
    if settings.montage is None:
        return None
    if named := find_montage(settings.montage):
        return named
    montage, table = find_shared_montage(data.recordings or data.misnamed, take_common)
    tell(*table)
    return montage
