"""Read segments of the recordings of BIDS data sets by name."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from extract.io.bids import find_recordings
from extract.io.montage import Montage
from extract.io.raw import EegFile
from extract.io.recorded_channels import open_recording
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun


class SnippetReader:
    """Reads stretches of recordings; the recording that was read last stays open.

    Parameters
    ----------
    names : mapping of Path to mapping of str to str
        Recordings that will be asked for, in the folder of each data set: the name in question -> that in the data
        set.
    montage : Montage
        Its channels are read.

    Raises
    ------
    UserError
        If there is no such data set, or it lacks one of its recordings.
    """

    def __init__(self, names: Mapping[Path, Mapping[str, str]], montage: Montage) -> None:
        self._montage = montage
        self._paths = {name: path for bids in names for name, path in _find_paths(bids, names[bids])}
        self._opened: EegFile | None = None

    def read(self, name: str, start_s: float, stop_s: float) -> tuple[npt.NDArray[np.float32], EegFile]:
        """Samples of the montage from start to stop, (C, N) microvolts, within the recording; and its file.

        Raises
        ------
        UserError
            If the file cannot be used.
        """
        file = self._open(self._paths[name])
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


def _find_paths(bids: Path, names: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Names in question, and the files of the recordings."""
    paths = {recording.name: recording.path for recording in find_recordings(bids)}
    if lacking := sorted(set(names.values()) - paths.keys()):
        raise UserError(
            f"{bids}: lacks {len(lacking)} of {count_noun(len(names), 'recording')}, the first is "
            f"{lacking[0]}; give the data set that the store was extracted from"
        )
    yield from ((name, paths[bids_name]) for name, bids_name in names.items())
