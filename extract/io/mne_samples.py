"""Samples of BrainVision and EEGLAB files, as mne reads them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from store.runtime.errors import UserError

VOLTAGES = ("µV", "mV", "V")  # as mne names the units that it converts


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
        """Samples ``[start, stop)`` of channels, ``(len(channels), stop - start)``, microvolts."""
        volts: npt.NDArray[np.float64] = self.raw.get_data(picks=list(channels), start=start, stop=stop)
        return volts * 1e6

    def close(self) -> None:
        """Close the file."""
        self.raw.close()

    def check_units(self, channels: Iterable[int]) -> None:
        """Refuse a channel that mne does not convert to volts; EEGLAB files name no unit and are in microvolts.

        Raises
        ------
        UserError
            If its unit is no voltage.
        """
        for index in channels:
            name = self.names[index]
            if (unit := self.raw._orig_units.get(name, "µV")) not in VOLTAGES:
                raise UserError(f"{self.path}: unit of {name} is '{unit}'; allowed: {', '.join(VOLTAGES)}")


def open_with_mne(path: Path) -> MneSamples:
    """Open a file of any format that mne reads.

    Raises
    ------
    UserError
        If mne cannot read it, with its reason.
    """
    import mne  # here, since EDF files are read without it and it takes a second

    try:
        return MneSamples(path, mne.io.read_raw(path, preload=False, verbose="ERROR"))
    except Exception as error:  # each format's reader has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); export it again, as EDF") from error
