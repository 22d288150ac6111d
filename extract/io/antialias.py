"""The low-pass filter before resampling to a lower rate."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Read = Callable[[int, int], npt.NDArray[np.float32]]

_PASS = 0.8  # of the lower rate's highest frequency, kept
_STOP_DB = 80.0  # by which what would alias is weakened


def low_passed(read: Read, samples: int, sample_rate_hz: float, target_rate_hz: float) -> Read:
    """A reader whose signal has nothing left above half of the target rate; the same one for a target not lower.

    The filter is symmetric, so no phase is shifted, and finite, so what is read does not depend on how a recording
    is cut into blocks. Beyond its ends a recording is mirrored.

    Parameters
    ----------
    read
        ``read(start, stop)`` gives the samples ``[start, stop)``, (C, stop - start) float32.
    samples
        Length of the recording.
    """
    if sample_rate_hz <= target_rate_hz:
        return read
    taps = low_pass_taps(sample_rate_hz, target_rate_hz)
    half = len(taps) // 2

    def read_filtered(start: int, stop: int) -> npt.NDArray[np.float32]:
        from scipy.signal import upfirdn

        padded = read_mirrored(read, samples, start - half, stop + half)
        filtered: npt.NDArray[np.float64] = upfirdn(taps, padded, axis=1)
        return filtered[:, 2 * half : 2 * half + stop - start].astype(np.float32)

    return read_filtered


def read_mirrored(read: Read, samples: int, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Samples ``[start, stop)``, (C, stop - start), of a recording that is mirrored beyond its ends."""
    first, last = max(start, 0), min(stop, samples)
    within = read(first, last).astype(np.float64)
    return np.pad(within, ((0, 0), (first - start, stop - last)), mode="symmetric")


@lru_cache(maxsize=8)
def low_pass_taps(sample_rate_hz: float, target_rate_hz: float) -> npt.NDArray[np.float64]:
    """An odd number of symmetric taps: all up to 80 % of half the target rate passes, above half of it -80 dB.

    >>> taps = low_pass_taps(2000, 512)
    >>> len(taps), round(float(taps.sum()), 6)
    (199, 1.0)
    """
    from scipy.signal import firwin, kaiserord

    stop_hz = target_rate_hz / 2
    width_hz = (1 - _PASS) * stop_hz
    count, beta = kaiserord(_STOP_DB, width_hz / (sample_rate_hz / 2))
    taps: npt.NDArray[np.float64] = firwin(
        count | 1, stop_hz - width_hz / 2, window=("kaiser", beta), fs=sample_rate_hz
    )
    return taps
