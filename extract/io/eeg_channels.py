"""Read every EEG channel of a file, whatever its montage, one channel at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from extract.io import edf_header as edf
from extract.io.antialias import low_passed
from extract.io.channels_table import find_channels_table, list_good_eeg
from extract.io.edf_samples import EdfSamples, check_times
from extract.io.mne_samples import open_with_mne
from extract.io.montage import ALIASES
from extract.io.signal_checks import Samples


@dataclass(frozen=True)
class EegChannels:
    """Channels of one rate of a recording."""

    names: tuple[str, ...]
    sample_rate_hz: float
    signal_uv: npt.NDArray[np.float32]  # (C, samples) microvolts


def read_eeg_channels(path: Path, highest_hz: float) -> list[EegChannels]:
    """Read all EEG channels of a file into memory, those of one rate together.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision (vhdr) or EEGLAB (set) file of a BIDS data set.
    highest_hz
        Channels sampled faster are low-passed for this rate; they keep theirs.

    Raises
    ------
    UserError
        If the file cannot be read, was cut off or has gaps, or an EEG channel's unit is no voltage or its rate
        none of EEG.
    """
    if path.suffix.lower() in edf.SAMPLE_BYTES:
        header = edf.read_header(path)
        edf.check_size(path, header)
        samples = EdfSamples(path, header)
        check_times(samples)
        channels = [c for c in find_eeg(path, header.names) if header.record_samples[c]]
        groups: dict[float, list[int]] = {}
        for channel in channels:
            edf.check_channels(path, header, [channel])
            groups.setdefault(header.rate_hz(channel), []).append(channel)
        return [
            _read(
                samples, header.names, group, rate_hz, header.records * header.record_samples[group[0]], highest_hz
            )
            for rate_hz, group in groups.items()
        ]
    opened = open_with_mne(path)
    try:
        channels = find_eeg(path, opened.names)
        opened.check_units(channels)
        opened.check_times()
        rate_hz, length = float(opened.raw.info["sfreq"]), int(opened.raw.n_times)
        return [_read(opened, opened.names, channels, rate_hz, length, highest_hz)] if channels else []
    finally:
        opened.close()


def find_eeg(path: Path, names: Sequence[str]) -> list[int]:
    """Indices of the EEG channels of a file: as its channels.tsv says, else by their names.

    The table's type has to be EEG and its status not bad. Without a table, a name counts that begins with an
    electrode of the 10-05 system, as in ``EEG Fp1-REF``, and is that of no ECG, EMG or EOG.

    Raises
    ------
    UserError
        If the table cannot be read, or has no columns for names and types.
    """
    table_path = find_channels_table(path)
    if table_path is None:
        return [index for index, name in enumerate(names) if is_eeg_name(name)]
    good = list_good_eeg(table_path)
    return [index for index, name in enumerate(names) if name.strip() in good]


def is_eeg_name(name: str) -> bool:
    """Whether a channel's name is that of an electrode, or of two.

    >>> [is_eeg_name(name) for name in ("EEG Fp1-REF", "T8-P8", "AFF5h", "ECG", "EMG Cz", "EOG1", "Fp1-EOG", "-")]
    [True, True, True, False, False, False, False, False]
    """
    words = re.findall(r"[A-Z0-9]+", name.upper())
    if words[:1] == ["EEG"]:
        words = words[1:]
    if not words or any(word.startswith(("ECG", "EKG", "EMG", "EOG")) for word in words):
        return False
    return ALIASES.get(words[0], words[0]) in _electrodes()


@cache
def _electrodes() -> frozenset[str]:
    """Names of the 10-05 system, older ones included, in capitals."""
    import mne  # here, since it takes a second

    known = mne.channels.get_builtin_montages()
    newer, older = "colin27_1005", "standard_1005"  # renamed in mne 1.13
    montage = mne.channels.make_standard_montage(newer if newer in known else older)
    return frozenset(name.upper() for name in montage.ch_names)


def _read(
    samples: Samples,
    names: Sequence[str],
    channels: Sequence[int],
    rate_hz: float,
    length: int,
    highest_hz: float,
) -> EegChannels:
    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        return samples.read_uv(channels, start, stop).astype(np.float32)

    read_filtered = low_passed(read, length, rate_hz, highest_hz)
    return EegChannels(tuple(names[c] for c in channels), rate_hz, read_filtered(0, length))
