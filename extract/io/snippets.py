"""Read segments of the recordings of a BIDS data set by name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from extract.io.bids import Recording, find_recordings
from extract.io.montage import Montage
from extract.io.raw import EegFile
from extract.io.recorded_channels import open_recording
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun


class SnippetReader:
    """Reads stretches of recordings; the recording that was read last stays open.

    Parameters
    ----------
    bids : Path
        Folder of the data set.
    names : sequence of str
        Recordings that will be asked for.
    montage : Montage
        Its channels are read.

    Raises
    ------
    UserError
        If there is no such data set, or it lacks one of the recordings.
    """

    def __init__(self, bids: Path, names: Sequence[str], montage: Montage) -> None:
        self._montage = montage
        self._recordings: dict[str, Recording] = {item.name: item for item in find_recordings(bids)}
        if lacking := sorted(set(names) - self._recordings.keys()):
            raise UserError(
                f"{bids}: lacks {len(lacking)} of {count_noun(len(set(names)), 'recording')}, the first is "
                f"{lacking[0]}; give the data set that the store was extracted from"
            )
        self._opened: EegFile | None = None

    def read(self, name: str, start_s: float, stop_s: float) -> tuple[npt.NDArray[np.float32], EegFile]:
        """Samples of the montage from start to stop, (C, N) microvolts, within the recording; and its file.

        Raises
        ------
        UserError
            If the file cannot be used.
        """
        file = self._open(self._recordings[name].path)
        start, stop = (
            min(max(0, round(edge_s * file.sample_rate_hz)), file.samples) for edge_s in (start_s, stop_s)
        )
        return file.read(start, stop), file

    def close(self) -> None:
        """Close the recording that is open."""
        if self._opened is not None:
            self._opened.raw.close()
            self._opened = None

    def _open(self, path: Path) -> EegFile:
        if self._opened is None or self._opened.path != path:
            self.close()
            self._opened = open_recording(path, "zero", self._montage)
        return self._opened
