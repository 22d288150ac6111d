"""Turn live samples into the same windows that a file with these samples gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from extract.io.edf_header import SAMPLE_RATES_HZ
from extract.io.montage import Montage, derive
from extract.io.preparation import normalise, prepare
from extract.io.signal_checks import SCAN_S, Remedies, check_samples, scan
from extract.io.windows import WindowShape, cut_window
from store import FeatureSpec
from store.runtime.errors import UserError
from store.schema import count_seconds, count_windows

STANDARD_INPUT = Path("standard input")  # as errors name it
_WANTED = "send float32, little-endian, microvolts, all channels of a sample, then those of the next"
_REMEDIES = Remedies(
    values=_WANTED,
    flat="check the sender",
    amplitude=_WANTED,
    duplicate="rename one of them in --channel-names",
)
_READ_BYTES = 1 << 16
_ENDLESS = 1 << 60  # samples of a recording whose end has not come
_FAR = 1000  # index of a window far from the beginning


class ByteSource(Protocol):
    """What bytes are read from."""

    def read1(self, size: int, /) -> bytes:
        """At most that many bytes as soon as there are any, none at the end."""


class SampleStream:
    """A recording that is read from its beginning to its end once; what no later window needs is forgotten.

    The first minute is checked as a file is: unit, amplitude, channels that are flat. Later samples have to be
    finite.

    Parameters
    ----------
    source
        Gives float32, little-endian, microvolts: all channels of a sample, then those of the next one.
    names
        Of the channels, in this order.
    missing : "error" | "zero"
        What to do when a channel of the montage cannot be derived, or is flat or implausible for the first minute.

    Raises
    ------
    UserError
        If the channels of the montage cannot be derived, the rate is none of EEG, nothing comes, or the first
        minute is no EEG.
    """

    def __init__(
        self, source: ByteSource, sample_rate_hz: float, names: Sequence[str], missing: str, montage: Montage
    ) -> None:
        lowest, highest = SAMPLE_RATES_HZ
        if not lowest <= sample_rate_hz <= highest:
            raise UserError(f"sample rate is {sample_rate_hz:g} Hz; allowed: {lowest:g} to {highest:g}")
        try:
            sources = derive(names, missing, montage, remedy="give the run's channels by --channel-names")
        except UserError as error:
            raise UserError(f"{STANDARD_INPUT}: {error}") from error
        self.sample_rate_hz = sample_rate_hz
        self._source, self._names, self._bytes = source, tuple(names), b""
        self._held = np.empty((len(names), 0), np.float32)
        self._held_start, self._first_needed, self._ended = 0, _ENDLESS, False
        self._sources = sources
        self._check_first_minute(missing)

    @property
    def duration_s(self) -> float:
        """Seconds that have come."""
        return self._received / self.sample_rate_hz

    @property
    def has_ended(self) -> bool:
        """Whether `duration_s` is that of the whole recording."""
        return self._ended

    @property
    def channel_mask(self) -> tuple[bool, ...]:
        """``(C,)``, False where the channel is missing and read as zeros."""
        return self._sources.mask

    def windows(self, spec: FeatureSpec) -> Iterator[npt.NDArray[np.float32]]:
        """One window ``(1, C, N)`` after the other, as `EegFile.windows` gives them, each as soon as it has come.

        Raises
        ------
        UserError
            If a sample is not finite, or the last one does not have all channels.
        """
        index = 0
        while not (self._ended and index >= self._count_windows(spec)):
            self._first_needed = _ENDLESS
            try:
                window_uv = self._read_window(spec, index, self._received if self._ended else _ENDLESS)
            except EOFError:
                continue  # its end is known now: the window is mirrored there, or there is none
            self._forget(self._first_needed)
            yield normalise(window_uv, spec)
            index += 1

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Samples ``[start, stop)`` of the montage, ``(C, stop - start)``, microvolts; waits until they have come.

        Raises
        ------
        EOFError
            If the recording ends before ``stop``.
        """
        self._first_needed = min(self._first_needed, start)
        self._receive(stop)
        if self._received < stop:
            raise EOFError
        held = slice(start - self._held_start, stop - self._held_start)
        return self._sources.apply(self._held[list(self._sources.used), held])

    def read_uv(self, channels: Sequence[int], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Samples ``[start, stop)`` of channels as they came; none of them is forgotten yet."""
        held = slice(start - self._held_start, stop - self._held_start)
        return self._held[list(channels), held].astype(np.float64)

    def close(self) -> None:
        """Leave the source open: it is the caller's."""

    @property
    def _received(self) -> int:
        return self._held_start + self._held.shape[1]

    def _count_windows(self, spec: FeatureSpec) -> int:
        return count_windows(count_seconds(self.duration_s), spec.window_s, spec.stride_s)

    def _read_window(self, spec: FeatureSpec, index: int, samples: int) -> npt.NDArray[np.float32]:
        prepared = prepare(self.read, samples, self.sample_rate_hz, self.channel_mask, spec)
        return cut_window(*prepared, WindowShape.of(spec), index)[None]

    def _check_first_minute(self, missing: str) -> None:
        most = round(SCAN_S * self.sample_rate_hz)
        self._receive(most)
        if not self._received:
            raise UserError(f"{STANDARD_INPUT}: no samples received; {_WANTED}")
        length = min(self._received, most)
        part = Path(f"{STANDARD_INPUT}, first {SCAN_S} s")
        faults = scan(part, self, self._names, self._sources, length, self.sample_rate_hz, _REMEDIES)
        if faults.text and missing == "error":
            raise UserError(f"{part}: {faults.text}; to use zeros instead, add --missing zero")
        self._sources = self._sources.without((*faults.flat, *faults.implausible))

    def _receive(self, stop: int) -> None:
        """Read until there are ``stop`` samples, or no more."""
        parts, received, frame = [], self._received, 4 * len(self._names)
        while received < stop and not self._ended:
            come = self._source.read1(_READ_BYTES)
            self._ended = not come
            data = self._bytes + come
            whole = len(data) // frame * frame
            self._bytes = data[whole:]
            samples = np.frombuffer(data[:whole], "<f4").reshape(-1, len(self._names)).T
            if samples.shape[1]:
                self._check(samples, received)
                parts.append(samples)
                received += samples.shape[1]
        if parts:
            self._held = np.concatenate([self._held, *parts], axis=1)
        if self._ended and self._bytes:
            raise UserError(
                f"{STANDARD_INPUT}: ends after {len(self._bytes)} of the {frame} bytes of a sample of "
                f"{len(self._names)} channels as float32; check the number of --channel-names and the sender"
            )

    def _check(self, samples_uv: npt.NDArray[np.float32], start: int) -> None:
        with np.errstate(invalid="ignore"):  # numbers that are none are looked for
            needed = samples_uv[list(self._sources.needed)].astype(np.float64)
        at_s = start / self.sample_rate_hz
        check_samples(STANDARD_INPUT, self._names, self._sources, needed, at_s, self.sample_rate_hz, _REMEDIES)

    def _forget(self, before: int) -> None:
        """Drop samples that no later window reads: each reads from where the one before began, or later."""
        if before > self._held_start:
            self._held = self._held[:, before - self._held_start :].copy()
            self._held_start = before


def lookahead_s(spec: FeatureSpec, sample_rate_hz: float) -> float:
    """Seconds of EEG that filters and resampling need beyond the end of a window.

    Raises
    ------
    UserError
        If samples of this rate cannot be resampled to that of the spec.
    """
    last = 0

    def read(start: int, stop: int) -> npt.NDArray[np.float32]:
        nonlocal last
        last = max(last, stop)
        return np.zeros((len(spec.input_channels), stop - start), np.float32)

    channel_mask = [True] * len(spec.input_channels)
    try:
        prepared = prepare(read, _ENDLESS, sample_rate_hz, channel_mask, spec)
    except UserError as error:
        raise UserError(f"{STANDARD_INPUT}: {error}") from error
    cut_window(*prepared, WindowShape.of(spec), index=_FAR)
    return last / sample_rate_hz - (_FAR * spec.stride_s + spec.window_s)
