"""Open an EEG file: check all of it, then read microvolts a few seconds at a time."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from extract.io import edf_header as edf
from extract.io.annex import explain_absent_content
from extract.io.channel_names import may_be_eeg
from extract.io.edf_samples import EdfSamples, check_times
from extract.io.mne_lengths import check_length
from extract.io.mne_samples import MneSamples, open_with_mne
from extract.io.montage import DOUBLE_BANANA, ChannelSources, Montage, derive
from extract.io.preparation import normalise, prepare
from extract.io.signal_checks import Samples, scan
from extract.io.windows import WindowShape, window_blocks
from store import FeatureSpec
from store.runtime.errors import UserError


@dataclass(frozen=True)
class EegFile:
    """An EEG file that was checked whole and is read from disk a few seconds at a time."""

    path: Path
    sample_rate_hz: float
    samples: int
    start: str  # ISO date and time of the first sample, empty if not known
    names: tuple[str, ...]  # of the file's channels
    sources: ChannelSources
    raw: Samples

    def __enter__(self) -> "EegFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raw.close()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz

    @property
    def channel_mask(self) -> tuple[bool, ...]:
        """``(C,)``, False where the channel is missing and read as zeros."""
        return self.sources.mask

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Samples ``[start, stop)`` of the montage, (C, stop - start) float32, microvolts."""
        return self.sources.apply(self.raw.read_uv(self.sources.used, start, stop))

    def windows(self, spec: FeatureSpec, block: int) -> Iterator[npt.NDArray[np.float32]]:
        """Windows as the spec has them, at most `block` at a time; see `window_blocks` and `preparation`.

        Raises
        ------
        UserError
            If the recording cannot be resampled to the rate of the spec.
        """
        try:
            prepared = prepare(self.read, self.samples, self.sample_rate_hz, self.channel_mask, spec)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error
        blocks = window_blocks(*prepared, WindowShape.of(spec), block)
        return (normalise(windows_uv, spec) for windows_uv in blocks)


@dataclass(frozen=True)
class EegOutline:
    """What the header of an EEG file says; zeros if it is unusable, which opening the file will explain."""

    duration_s: float = 0.0
    sample_rate_hz: float = 0.0  # the highest of its EEG channels
    start: str = ""  # ISO date and time of the first sample, empty if not known


def read_outline(path: Path) -> EegOutline:
    """Read length, rate and start of an EEG file from its header alone."""
    if not path.is_file():  # a pipe would be waited for
        return EegOutline()
    try:
        if path.suffix.lower() in edf.SAMPLE_BYTES:
            header = edf.read_header(path)
            edf.check_size(path, header)
            rate_hz = _find_highest_rate(header)
            duration_s, start = header.records * header.record_s, header.start
        else:
            with closing(open_with_mne(path)) as with_mne:
                check_length(path, with_mne.raw)
                rate_hz = float(with_mne.raw.info["sfreq"])
                duration_s, start = with_mne.raw.n_times / rate_hz, with_mne.start
    except (OSError, ValueError):
        return EegOutline()
    usable = 0 < duration_s < math.inf and edf.SAMPLE_RATES_HZ[0] <= rate_hz <= edf.SAMPLE_RATES_HZ[1]
    return EegOutline(duration_s, rate_hz, start) if usable else EegOutline()


def _find_highest_rate(header: edf.EdfHeader) -> float:
    """Highest rate of the channels that may be EEG by their names; if none may be, of all but annotations."""
    channels = [channel for channel, name in enumerate(header.names) if name not in edf.ANNOTATIONS]
    eeg = [channel for channel in channels if may_be_eeg(header.names[channel])]
    return max((header.rate_hz(channel) for channel in eeg or channels), default=0.0)


def read_duration(path: Path) -> float:
    """Seconds of an EEG file by its header alone; 0 if it is unusable, which opening the signal will explain."""
    return read_outline(path).duration_s


def read_start(path: Path) -> str:
    """ISO date and time of the first sample of an EEG file by its header alone, empty if it is not known."""
    return read_outline(path).start


def open_signal(
    path: Path, missing: str = "error", montage: Montage = DOUBLE_BANANA, excluded: Collection[str] = ()
) -> EegFile:
    """Open an EEG file and check all of its signal in one streamed pass.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision (vhdr) or EEGLAB (set) file.
    missing : "error" | "zero"
        What to do when a channel is not in the file, flat from beginning to end, or of an amplitude that no
        electrode gives: refuse, or read it as zeros.
    montage
        Its channels are read.
    excluded
        Channels of the file that count as missing.

    Raises
    ------
    UserError
        If there is no such file, it cannot be read, or its signal is not what it should be: montage, sampling,
        length, gaps, unit, amplitude, values.
    """
    if reason := explain_absent_content(path):
        raise UserError(f"{path}: {reason}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise UserError(f"{path}: {kind}; give an EEG file" if path.exists() else f"{path}: no such file")
    is_edf = path.suffix.lower() in edf.SAMPLE_BYTES

    def find_sources(names: Sequence[str]) -> ChannelSources:
        try:
            return derive(names, missing, montage, (*excluded, *edf.ANNOTATIONS))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    opened = _open_edf(path, find_sources) if is_edf else _open_other(path, find_sources)
    try:
        faults = scan(path, opened.raw, opened.names, opened.sources, opened.samples, opened.sample_rate_hz)
        if faults.text and missing == "error":
            raise UserError(f"{path}: {faults.text}; to encode zeros instead, add --missing zero")
    except BaseException:
        opened.raw.close()
        raise
    return replace(opened, sources=opened.sources.without((*faults.flat, *faults.implausible)))


def _open_edf(path: Path, find_sources: Callable[[Sequence[str]], ChannelSources]) -> EegFile:
    header = edf.read_header(path)
    sources = find_sources(header.names)
    edf.check_size(path, header)
    edf.check_channels(path, header, sources.needed)
    samples = EdfSamples(path, header)
    check_times(samples)
    channel = sources.needed[0]
    length = header.records * header.record_samples[channel]
    return EegFile(path, header.rate_hz(channel), length, header.start, header.names, sources, samples)


def _open_other(path: Path, find_sources: Callable[[Sequence[str]], ChannelSources]) -> EegFile:
    samples = open_with_mne(path)
    try:
        return _check_other(path, samples, find_sources)
    except BaseException:
        samples.close()
        raise


def _check_other(
    path: Path, samples: MneSamples, find_sources: Callable[[Sequence[str]], ChannelSources]
) -> EegFile:
    names = samples.names
    sources = find_sources(names)
    samples.check_units(sources.needed)
    samples.check_times()
    rate_hz, length = float(samples.raw.info["sfreq"]), int(samples.raw.n_times)
    return EegFile(path, rate_hz, length, samples.start, names, sources, samples)
