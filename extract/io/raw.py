"""EEG files: checked whole, then read as microvolts piece by piece. The only reader of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt

from extract.io import edf_header as edf
from extract.io.montage import CHANNELS, Montage, derive
from extract.io.windows import window_blocks
from store import FeatureSpec
from store.runtime.errors import UserError

VOLTAGES = ("µV", "mV", "V")  # as mne names the units that it converts
AMPLITUDES_UV = (0.5, 5000.0)  # of any scalp EEG: noise alone has more, artefacts throughout have less
DUPLICATE_TOLERANCE_UV = 1.0  # two gains may round one signal differently
SCAN_S = 60


@dataclass(frozen=True)
class EegFile:
    """An EEG file that was checked whole and is read from disk piece by piece."""

    path: Path
    sample_rate_hz: float
    samples: int
    start: str  # ISO date and time of the first sample, empty if not known
    montage: Montage
    raw: mne.io.BaseRaw = field(repr=False)
    rows: Mapping[int, int] = field(repr=False)  # index in the montage -> row of `raw`

    def __enter__(self) -> "EegFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz

    @property
    def channel_mask(self) -> tuple[bool, ...]:
        """``(18,)``, False where the channel is missing and read as zeros."""
        return self.montage.mask

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Samples ``[start, stop)`` of the 18 channels, (18, stop - start) float32, microvolts."""
        return self.montage.apply(self.read_raw(self.montage.used, start, stop))

    def read_raw(self, indices: Sequence[int], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Samples of raw channels as the file has them, (len(indices), stop - start), microvolts."""
        rows = [self.rows[index] for index in indices]
        raw_v: npt.NDArray[np.float64] = self.raw.get_data(picks=rows, start=start, stop=stop)
        return raw_v * 1e6

    def windows(self, spec: FeatureSpec, block: int) -> Iterator[npt.NDArray[np.float32]]:
        """Windows as the spec has them, at most `block` at a time; see `window_blocks`."""
        shape = (spec.window_s, spec.stride_s, spec.sample_rate_hz)
        return window_blocks(self.read, self.samples, self.sample_rate_hz, *shape, block)


def read_duration(path: Path) -> float:
    """Seconds of an EEG file by its header alone; 0 if that is no use, which opening the signal will explain."""
    try:
        if path.suffix.lower() in edf.SAMPLE_BYTES:
            header = edf.read_header(path)
            seconds = header.records * header.record_s
        else:
            raw = _open_raw(path)
            seconds = raw.n_times / raw.info["sfreq"]
    except (OSError, ValueError):
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def read_start(path: Path) -> str:
    """ISO date and time of the first sample of an EEG file by its header alone, empty if it is not known."""
    with _open_raw(path) as raw:
        return _format_start(raw)


def open_signal(path: Path, missing: str = "error") -> EegFile:
    """Open an EEG file and check all of its signal in one streamed pass.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision (vhdr) or EEGLAB (set) file.
    missing : "error" | "zero"
        What to do when a channel is not there or flat from beginning to end: refuse, or read it as zeros.

    Raises
    ------
    UserError
        If there is no such file.
    OSError
        If it cannot be read.
    UserError
        If its signal is not what it should be: montage, sampling, length, gaps, unit, amplitude, values.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix.lower() in edf.SAMPLE_BYTES:
        header = edf.read_header(path)
        names, montage = header.names, _derive(path, header.names, missing)
        edf.check_file(path, header, montage.needed)
        # only what is needed: one channel at a higher rate would have mne resample all others
        kept = {names[index] for index in montage.needed}
        raw = _open_raw(path, include=list(kept), stim_channel=None, encoding="latin1")
        rows = {index: row for row, index in enumerate(i for i, name in enumerate(names) if name in kept)}
    else:
        raw = _open_raw(path)
        names = tuple(raw.ch_names)
        montage, rows = _derive(path, names, missing), {index: index for index in range(len(names))}
        _check_units(path, raw, [names[index] for index in montage.needed])
    signal = EegFile(path, float(raw.info["sfreq"]), int(raw.n_times), _format_start(raw), montage, raw, rows)
    flat = _check_signal(signal, names)
    if flat and missing == "error":
        raise UserError(
            f"{path}: flat from beginning to end: {', '.join(CHANNELS[row] for row in flat)}; "
            "to encode zeros in their place use --missing zero"
        )
    return replace(signal, montage=montage.without(flat))


def _format_start(raw: mne.io.BaseRaw) -> str:
    measured = raw.info["meas_date"]
    return measured.replace(tzinfo=None).isoformat() if measured else ""


def _derive(path: Path, names: Sequence[str], missing: str) -> Montage:
    try:
        return derive(names, missing)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _open_raw(path: Path, **options: object) -> mne.io.BaseRaw:
    try:
        return mne.io.read_raw(path, preload=False, verbose="ERROR", **options)
    except Exception as error:  # each format's reader has its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); export it again, as EDF") from error


def _check_units(path: Path, raw: mne.io.BaseRaw, names: Sequence[str]) -> None:
    """Refuse a channel that mne does not convert to volts; EEGLAB files name no unit and are in microvolts."""
    for name in names:
        if (unit := raw._orig_units.get(name, "µV")) not in VOLTAGES:
            raise UserError(f"{path}: unit of {name} is '{unit}'; allowed: {', '.join(VOLTAGES)}")


def _check_signal(signal: EegFile, names: Sequence[str]) -> tuple[int, ...]:
    """Read all of a signal, a minute at a time, and give the rows of channels that are flat.

    Raises
    ------
    UserError
        If a sample is not finite, duplicates disagree, or the amplitude is none of scalp EEG.
    """
    montage, needed = signal.montage, signal.montage.needed
    used = [needed.index(index) for index in montage.used]
    first_uv = signal.read_raw(needed, 0, 1)
    origin_uv = montage.apply(first_uv[used])
    moving = np.zeros(len(needed), bool)
    total, squares = np.zeros(len(CHANNELS)), np.zeros(len(CHANNELS))
    step = math.ceil(SCAN_S * signal.sample_rate_hz)
    for start in range(0, signal.samples, step):
        raw_uv = signal.read_raw(needed, start, min(start + step, signal.samples))
        _check_samples(signal, names, raw_uv, start)
        moving |= (raw_uv != first_uv).any(axis=1)
        away_uv = (montage.apply(raw_uv[used]) - origin_uv).astype(np.float64)
        total += away_uv.sum(axis=1)
        squares += (away_uv**2).sum(axis=1)
    dead = {index for index, moves in zip(needed, moving, strict=True) if not moves}
    sources = list(zip(montage.plus, montage.minus, strict=True))
    alive = [row for row in np.flatnonzero(squares) if not dead.intersection(sources[row])]
    if not alive:
        raise UserError(f"{signal.path}: all channels are flat from beginning to end; export the file again")
    variance = squares[alive] / signal.samples - (total[alive] / signal.samples) ** 2
    amplitude_uv = float(np.median(np.sqrt(variance)))
    lowest, highest = AMPLITUDES_UV
    if not lowest <= amplitude_uv <= highest:
        raise UserError(
            f"{signal.path}: standard deviation is {amplitude_uv:.3g} uV (median of channels), scalp EEG has "
            f"{lowest:g} to {highest:g}: the unit in the header is probably wrong (V, mV, uV); correct it"
        )
    return tuple(row for row, present in enumerate(montage.mask) if present and row not in alive)


def _check_samples(signal: EegFile, names: Sequence[str], raw_uv: npt.NDArray[np.float64], start: int) -> None:
    """Refuse samples that are not finite, and duplicates that disagree, in what was read from `start`."""
    needed = signal.montage.needed
    if not np.isfinite(raw_uv).all():
        row, sample = np.argwhere(~np.isfinite(raw_uv))[0]
        raise UserError(
            f"{signal.path}: {names[needed[row]]} is not a finite number at "
            f"{(start + sample) / signal.sample_rate_hz:.2f} s; export the file again without such samples"
        )
    for index, other in signal.montage.duplicates:
        apart_uv = np.abs(raw_uv[needed.index(index)] - raw_uv[needed.index(other)]).max()
        if apart_uv > DUPLICATE_TOLERANCE_UV:
            raise UserError(
                f"{signal.path}: {names[index]} is there twice and differs by up to {apart_uv:.1f} uV "
                f"(allowed: {DUPLICATE_TOLERANCE_UV} uV); rename or remove one of them"
            )
