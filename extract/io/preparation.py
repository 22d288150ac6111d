"""A recording as an encoder was trained to take it: filtered, re-referenced, resampled, normalised, in its unit.

What is read does not depend on how a recording is cut into blocks: filters are symmetric and finite, and each
block is read with as much around it as they need. Beyond its ends a recording is mirrored.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, reduce

import numpy as np
import numpy.typing as npt

from extract.io.antialias import Read, low_pass_taps, read_mirrored
from store import FeatureSpec
from store.runtime.errors import UserError

LINEAR, POLYPHASE = "linear, each window", "polyphase"
REFERENCES = ("as-recorded", "average")
UNITS = {"uV": 1.0, "0.1mV": 0.01, "mV": 1e-3, "V": 1e-6}  # of one microvolt
_TINY = 1e-8
_LARGEST_TERM = 50_000  # of a ratio of rates: some 3 million taps, and minutes of signal read at once
_DRIFT_SAMPLES_PER_HOUR = 0.5
_NOTCH_WIDTH_HZ, _NOTCH_TRANSITION_HZ = 1 / 200, 0.5  # the first of the notch's frequency; as mne's notch_filter


def prepare(
    read: Read, samples: int, sample_rate_hz: float, channel_mask: Sequence[bool], spec: FeatureSpec
) -> tuple[Read, int, float]:
    """A reader of the signal as the spec says, with its length and rate; windows are still to be normalised.

    Parameters
    ----------
    read
        ``read(start, stop)`` gives the samples ``[start, stop)``, (C, stop - start) float32, microvolts.
    samples, sample_rate_hz
        Length and rate of the recording.
    channel_mask
        False where a channel is missing: it stays zero.

    Raises
    ------
    UserError
        If the rate of the spec is no fraction of the recording's that can be resampled to.
    """
    taps = filter_taps(sample_rate_hz, spec.high_pass_hz, spec.low_pass_hz, spec.notch_hz)
    if taps is not None:
        read = _filtered(read, samples, taps)
    if spec.reference == "average":
        read = _average_referenced(read, np.asarray(channel_mask))
    if spec.resampling == POLYPHASE and sample_rate_hz != spec.sample_rate_hz:
        read, samples = _resampled(read, samples, sample_rate_hz, spec.sample_rate_hz)
        sample_rate_hz = spec.sample_rate_hz
    return read, samples, sample_rate_hz


def _z_score(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each channel of each window with mean 0 and standard deviation 1; one that is constant becomes 0."""
    scores: npt.NDArray[np.float32] = windows - windows.mean(-1, keepdims=True)
    scores /= windows.std(-1, keepdims=True) + np.float32(_TINY)
    return scores


def _by_percentile(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each channel of each window over the 95th percentile of its absolute values, as BIOT's authors do."""
    largest = np.quantile(np.abs(windows), 0.95, axis=-1, keepdims=True).astype(np.float32)
    return windows / (largest + np.float32(_TINY))


NORMALISATIONS: dict[str, Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]] = {
    "none": lambda windows: windows,
    "z-score": _z_score,
    "percentile-95": _by_percentile,
}


def normalise(windows_uv: npt.NDArray[np.float32], spec: FeatureSpec) -> npt.NDArray[np.float32]:
    """Windows ``(B, C, N)`` in microvolts, normalised and in the unit of the spec."""
    normalised = NORMALISATIONS[spec.normalisation](windows_uv)
    scale = UNITS[spec.unit]
    return normalised if scale == 1 else normalised * np.float32(scale)


@lru_cache(maxsize=8)
def filter_taps(
    sample_rate_hz: float, high_pass_hz: float, low_pass_hz: float, notch_hz: float
) -> npt.NDArray[np.float64] | None:
    """Symmetric taps of band-pass and notch, as mne designs them by default; None where nothing is filtered.

    A frequency of 0 is none. What lies above half of the rate is not in the recording, and is left out.
    """
    nyquist_hz = sample_rate_hz / 2
    high_pass = high_pass_hz or None
    low_pass = low_pass_hz if 0 < low_pass_hz < nyquist_hz else None
    parts = []
    if high_pass is not None or low_pass is not None:
        parts.append(_design(sample_rate_hz, high_pass, low_pass))
    half_width_hz = notch_hz * _NOTCH_WIDTH_HZ / 2
    edges_hz = [notch_hz + sign * (half_width_hz + _NOTCH_TRANSITION_HZ) for sign in (-1, 1)]
    if notch_hz and edges_hz[1] + _NOTCH_TRANSITION_HZ < nyquist_hz:
        parts.append(_design(sample_rate_hz, edges_hz[1], edges_hz[0], _NOTCH_TRANSITION_HZ))
    return reduce(np.convolve, parts) if parts else None


def _design(
    sample_rate_hz: float, low_hz: float | None, high_hz: float | None, transition_hz: float | str = "auto"
) -> npt.NDArray[np.float64]:
    from mne.filter import create_filter  # here, since it takes a second

    taps: npt.NDArray[np.float64] = create_filter(
        None,
        sample_rate_hz,
        low_hz,
        high_hz,
        l_trans_bandwidth=transition_hz,
        h_trans_bandwidth=transition_hz,
        verbose="ERROR",
    )
    return taps


def _filtered(read: Read, samples: int, taps: npt.NDArray[np.float64]) -> Read:
    half = len(taps) // 2

    def read_filtered(start: int, stop: int) -> npt.NDArray[np.float32]:
        from scipy.signal import oaconvolve

        around = read_mirrored(read, samples, start - half, stop + half)
        filtered: npt.NDArray[np.float64] = oaconvolve(around, taps[None], mode="valid", axes=1)
        return filtered.astype(np.float32)

    return read_filtered


def _average_referenced(read: Read, channel_mask: npt.NDArray[np.bool_]) -> Read:
    def read_average(start: int, stop: int) -> npt.NDArray[np.float32]:
        signal_uv = read(start, stop).copy()
        signal_uv[channel_mask] -= signal_uv[channel_mask].mean(axis=0)
        return signal_uv

    return read_average


def find_ratio(sample_rate_hz: float, target_rate_hz: float) -> Fraction:
    """Samples after resampling for each one before: as the rates say, or a shorter fraction that drifts by little.

    >>> find_ratio(256, 200), find_ratio(256 / 1.0001, 200)
    (Fraction(25, 32), Fraction(10001, 12800))

    Raises
    ------
    UserError
        If each shorter fraction drifts by more than half a sample in an hour.
    """
    ratio = Fraction(target_rate_hz).limit_denominator(10_000) / Fraction(sample_rate_hz).limit_denominator(10_000)
    if max(ratio.numerator, ratio.denominator) <= _LARGEST_TERM:
        return ratio
    exact = Fraction(target_rate_hz) / Fraction(sample_rate_hz)
    ratio = exact.limit_denominator(int(_LARGEST_TERM * min(1, sample_rate_hz / target_rate_hz)))
    drift_samples = abs(ratio / exact - 1) * 3600 * Fraction(target_rate_hz)
    if drift_samples > _DRIFT_SAMPLES_PER_HOUR:
        raise UserError(
            f"sampling rate is {sample_rate_hz:.9g} Hz, which cannot be resampled to {target_rate_hz:g} Hz: by "
            f"{ratio} it drifts by {float(drift_samples):.2g} samples in an hour (allowed: "
            f"{_DRIFT_SAMPLES_PER_HOUR}); correct the rate, or resample the recording"
        )
    return ratio


def _resampled(read: Read, samples: int, sample_rate_hz: float, target_rate_hz: float) -> tuple[Read, int]:
    """A reader at another rate, and its length: polyphase, nothing left above half of the lower rate."""
    ratio = find_ratio(sample_rate_hz, target_rate_hz)
    up, down = ratio.numerator, ratio.denominator
    taps = low_pass_taps(sample_rate_hz * up, min(sample_rate_hz, target_rate_hz))
    around = down * -(-(len(taps) // 2) // (up * down))  # samples, a whole number of them after resampling too

    def read_resampled(start: int, stop: int) -> npt.NDArray[np.float32]:
        from scipy.signal import resample_poly

        first, last = start // up, -(-stop // up)  # periods, of `down` samples before and `up` after
        signal_uv = read_mirrored(read, samples, first * down - around, last * down + around)
        resampled: npt.NDArray[np.float64] = resample_poly(signal_uv, up, down, axis=1, window=taps)
        begin = around * up // down + start - first * up
        return resampled[:, begin : begin + stop - start].astype(np.float32)

    return read_resampled, -(-samples * up // down)
