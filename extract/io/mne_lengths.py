"""Whether the data of a BrainVision or EEGLAB file are as long as its header says.

mne takes the length of BrainVision data from the size of their file, and does not compare it with the header.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from extract.io.edf_header import name_fault_of_length
from extract.io.signal_files import holds_text, is_vectorized, read_data_points
from store.runtime.errors import UserError, os_errors

_FDT_SAMPLE_BYTES = 4
_BRAINVISION_SAMPLE_BYTES = (2, 4)


def check_length(path: Path, raw: Any) -> None:
    """Refuse data without samples, data that were cut off, and those of another header.

    Parameters
    ----------
    path
        The header.
    raw : mne.io.BaseRaw
        What mne made of it.

    Raises
    ------
    UserError
        If there are no samples, more or fewer than the header says, or it cannot say.
    """
    if not raw.n_times:
        raise UserError(f"{path}: holds no samples; export it again")
    for file in map(Path, filter(None, raw.filenames)):
        if path.suffix.lower() == ".vhdr":
            _check_brainvision(path, file, raw)
        elif file.resolve() == path.resolve():
            _check_matrix(path, raw)
        else:
            _check_fdt(file, raw)


def _check_brainvision(path: Path, file: Path, raw: Any) -> None:
    points, samples = read_data_points(path), raw.n_times
    if points is None and is_vectorized(path):
        raise UserError(
            f"{path}: VECTORIZED without DataPoints, so data that were cut off would move every channel; export "
            "it as MULTIPLEXED, or with DataPoints"
        )
    if points is not None and samples != points:
        raise UserError(
            f"{file}: {name_fault_of_length(samples, points)}: {samples} points, {points} by its header; fetch or "
            "export it again"
        )
    size, channels = _size_of(file), raw.info["nchan"]
    if not holds_text(path) and size not in [samples * channels * each for each in _BRAINVISION_SAMPLE_BYTES]:
        raise UserError(
            f"{file}: {size} bytes, which are not {samples} samples of {channels} channels: cut off, or of "
            "another header; export it again"
        )


def _check_fdt(file: Path, raw: Any) -> None:
    samples, channels, size = raw.n_times, raw.info["nchan"], _size_of(file)
    expected = samples * channels * _FDT_SAMPLE_BYTES
    if size != expected:
        raise UserError(
            f"{file}: {name_fault_of_length(size, expected)}: {size} bytes, {expected} by its header ({samples} "
            f"samples of {channels} channels); fetch or export it again"
        )


def _check_matrix(path: Path, raw: Any) -> None:
    """Hold the matrix in an EEGLAB file against its header: mne would take the first rows of a larger one."""
    expected, shape = (raw.info["nchan"], raw.n_times), _read_shape(path, raw)
    if shape is not None and shape != expected:
        raise UserError(
            f"{path}: holds {' x '.join(map(str, shape))} samples, which are not {expected[1]} of {expected[0]} "
            "channels; export it again"
        )


def _read_shape(path: Path, raw: Any) -> tuple[int, ...] | None:
    if raw.preload:
        return tuple(raw._data.shape)
    from scipy.io import whosmat  # here, since it is seldom needed

    # scipy tells no shape of MATLAB 7.3 files, and mne reads them only with pymatreader, which is no dependency
    with suppress(NotImplementedError):
        return next((tuple(shape) for name, shape, _ in whosmat(path) if name == "data"), None)
    return None


def _size_of(file: Path) -> int:
    with os_errors(file):
        return file.stat().st_size
