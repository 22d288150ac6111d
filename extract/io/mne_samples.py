"""Samples of BrainVision and EEGLAB files, as mne reads them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from extract.io.edf_header import SAMPLE_RATES_HZ
from extract.io.mne_lengths import check_length
from extract.io.signal_files import require_own_samples, require_signal_files
from store.runtime.errors import UserError

VOLTAGES = ("µV", "mV", "V")  # as mne names the units that it converts
_SUFFIXES = (".vhdr", ".set")
_BREAK = re.compile(r"New Segment\b.*|boundary", re.IGNORECASE)  # of the time, as the formats mark it
_EPOCHS = re.compile(r"number of trials is (?!1\b)([1-9]\d*)")  # as mne says of EEGLAB files


@dataclass(frozen=True)
class MneSamples:
    """Samples of a file that mne has opened."""

    path: Path
    raw: Any  # mne.io.BaseRaw

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(self.raw.ch_names)

    @property
    def start(self) -> str:
        """ISO date and time of the first sample, empty if not known."""
        measured = self.raw.info["meas_date"]
        return measured.replace(tzinfo=None).isoformat() if measured else ""

    def read_uv(self, channels: Sequence[int], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Samples ``[start, stop)`` of channels, ``(len(channels), stop - start)``, microvolts.

        Raises
        ------
        UserError
            If mne cannot read them, with its reason.
        """
        try:
            with np.errstate(all="ignore"):  # samples that are not numbers are looked for
                volts: npt.NDArray[np.float64] = self.raw.get_data(picks=list(channels), start=start, stop=stop)
        except Exception as error:  # each format's reader has its own
            raise _unreadable(self.path, error) from error
        return volts * 1e6

    def close(self) -> None:
        """Close the file."""
        self.raw.close()

    def check_units(self, channels: Iterable[int]) -> None:
        """Refuse a channel that mne does not convert to volts; EEGLAB files name no unit and are in microvolts.

        Raises
        ------
        UserError
            If its unit is not a voltage.
        """
        for index in channels:
            name = self.names[index]
            if (unit := self.raw._orig_units.get(name, "µV")) not in VOLTAGES:
                raise UserError(f"{self.path}: unit of {name} is '{unit}'; allowed: {', '.join(VOLTAGES)}")

    def check_times(self) -> None:
        """Refuse rates of no EEG, data of another length than the header's, and breaks of the time.

        Raises
        ------
        UserError
            As `check_length`, or if the rate is none of EEG, or there is a mark of a break.
        """
        rate_hz, (lowest, highest) = float(self.raw.info["sfreq"]), SAMPLE_RATES_HZ
        if not lowest <= rate_hz <= highest:
            raise UserError(
                f"{self.path}: sampling rate is {rate_hz:g} Hz; allowed: {lowest:g} to {highest:g} Hz; correct "
                "the header"
            )
        check_length(self.path, self.raw)
        for onset_s, text in zip(self.raw.annotations.onset, self.raw.annotations.description, strict=True):
            if onset_s > 0 and _BREAK.fullmatch(text):
                raise UserError(
                    f"{self.path}: discontinuous, with a break at {onset_s:g} s ('{text}'); split it there"
                )


def open_with_mne(path: Path) -> MneSamples:
    """Open a BrainVision or EEGLAB file.

    Raises
    ------
    UserError
        If it is of another kind, mne cannot read it, with its reason, or a file that belongs to it is not there or
        is of another recording.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(
            f"{path}: its name is not that of an EEG file; allowed: .edf, .bdf, {', '.join(_SUFFIXES)}"
        )
    import mne  # here, since EDF files are read without it and it takes a second

    require_signal_files(path)
    try:
        samples = MneSamples(path, mne.io.read_raw(path, preload=False, verbose="ERROR"))
    except Exception as error:  # each format's reader has its own
        raise _unreadable(path, error) from error
    try:
        require_own_samples(path, filter(None, samples.raw.filenames))
    except UserError:
        samples.close()
        raise
    return samples


def _unreadable(path: Path, error: Exception) -> UserError:
    """What mne says of a file; of what its readers did not expect, that it is damaged or of another form."""
    reason = " ".join(str(error).split())
    if epochs := _EPOCHS.search(reason):
        return UserError(f"{path}: epoched, of {epochs[1]} epochs; give the continuous recording")
    if not reason or "<class " in reason or not isinstance(error, (ValueError, RuntimeError, OSError)):
        reason = f"damaged, or of a form that mne does not read: {type(error).__name__} in mne"
    return UserError(f"{path}: cannot be read ({reason}); export it again, as EDF")
