"""Cut recordings into windows, and turn seizure events into 1-Hz labels."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from extract.io.antialias import low_passed
from store import FeatureSpec
from store.schema import Event, count_seconds, count_windows

MICROSECONDS = 1_000_000


def label_seconds(events: Sequence[Event], duration_s: float) -> npt.NDArray[np.uint8]:
    """Mark the seconds of which seizures, taken together, cover more than half.

    A last part-second is judged on what exists. Times are compared in whole microseconds, so that exactly
    half is exact.

    Returns
    -------
    (T,) uint8, 1 where seizure

    >>> label_seconds([Event(0.5, 1.6, "sz")], 3.2)
    array([0, 1, 0, 0], dtype=uint8)
    """
    edges = np.arange(count_seconds(duration_s) + 1, dtype=np.int64) * MICROSECONDS
    edges[-1] = round(duration_s * MICROSECONDS)
    covered = np.zeros(len(edges) - 1, np.int64)
    reached = 0
    for event in sorted(events, key=lambda event: event.onset_s):
        start = max(round(event.onset_s * MICROSECONDS), reached)
        stop = round((event.onset_s + event.duration_s) * MICROSECONDS)
        covered += np.maximum(np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1]), 0)
        reached = max(reached, stop)
    return (2 * covered > np.diff(edges)).astype(np.uint8)


def resample(windows_uv: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
    """Resample each window on its own by linear interpolation, as BrainCodec does.

    Parameters
    ----------
    windows_uv : (..., N) float32
    samples : int
        Samples of a resampled window; equal to N gives the input back.

    Returns
    -------
    (..., samples) float32
    """
    *leading, length = windows_uv.shape
    if length == samples:
        return windows_uv
    import torch  # here, so that what only reads labels starts without it

    rows = torch.from_numpy(windows_uv.reshape(1, -1, length))
    resampled = torch.nn.functional.interpolate(rows, size=samples, mode="linear", align_corners=False)
    return resampled.numpy().reshape(*leading, samples)


class WindowShape(NamedTuple):
    """Length and distance of windows in seconds, and the rate to which they are brought."""

    window_s: int
    stride_s: int
    sample_rate_hz: float

    @classmethod
    def of(cls, spec: FeatureSpec) -> "WindowShape":
        """Windows as a spec has them."""
        return cls(spec.window_s, spec.stride_s, spec.sample_rate_hz)

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.sample_rate_hz)


def window_blocks(
    read: Callable[[int, int], npt.NDArray[np.float32]],
    samples: int,
    sample_rate_hz: float,
    shape: WindowShape,
    block: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """Cut a recording to windows, at most `block` of them in memory; a higher rate than theirs is low-passed.

    Window k begins at second ``k * stride_s``. The last one may reach past the end: it is filled by mirroring
    the signal that it has. Overlapping windows share what was read.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives the samples ``[start, stop)``, (C, stop - start) float32, microvolts.
    samples, sample_rate_hz
        Length and rate of the recording.

    Yields
    ------
    (B, C, N) float32, microvolts, with ``N = shape.samples``
    """
    read = low_passed(read, samples, sample_rate_hz, shape.sample_rate_hz)
    windows = count_windows(count_seconds(samples / sample_rate_hz), shape.window_s, shape.stride_s)
    length = round(shape.window_s * sample_rate_hz)
    starts = [_first_sample(k, samples, sample_rate_hz, shape.stride_s) for k in range(windows)]
    held_uv, held_start = np.empty((0, 0), np.float32), 0
    for first in range(0, windows, block):
        begins = starts[first : first + block]
        held_uv, held_start = held_uv[:, begins[0] - held_start :], begins[0]
        held_stop, stop = held_start + held_uv.shape[1], min(begins[-1] + length, samples)
        if stop > held_stop:
            more_uv = read(held_stop, stop)
            held_uv = np.concatenate([held_uv, more_uv], axis=1) if held_uv.size else more_uv
        windows_uv = [held_uv[:, begin - held_start : begin - held_start + length] for begin in begins]
        windows_uv[-1] = _filled(windows_uv[-1], length)
        yield resample(np.stack(windows_uv), shape.samples)


def cut_window(
    read: Callable[[int, int], npt.NDArray[np.float32]],
    samples: int,
    sample_rate_hz: float,
    shape: WindowShape,
    index: int,
) -> npt.NDArray[np.float32]:
    """One window, ``(C, N)``, as `window_blocks` gives it."""
    read = low_passed(read, samples, sample_rate_hz, shape.sample_rate_hz)
    begin = _first_sample(index, samples, sample_rate_hz, shape.stride_s)
    length = round(shape.window_s * sample_rate_hz)
    window_uv = _filled(read(begin, min(begin + length, samples)), length)
    return resample(window_uv, shape.samples)


def _first_sample(index: int, samples: int, sample_rate_hz: float, stride_s: int) -> int:
    """Where a window begins."""
    # at a broken rate the last second may hold less than half a sample: its window begins with the last one
    return min(round(index * stride_s * sample_rate_hz), samples - 1)


def _filled(window_uv: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """A window of full length: one that the recording ends in is filled by mirroring what it has."""
    return np.pad(window_uv, ((0, 0), (0, length - window_uv.shape[1])), mode="symmetric")
