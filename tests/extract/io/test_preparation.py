"""Filters, reference, resampling, normalisation: against plain ways to the same, and at any cut into blocks."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from extract.io.preparation import NORMALISATIONS, UNITS, filter_taps, find_ratio, normalise, prepare
from store.runtime.errors import UserError
from tests.helpers.stores import SPEC

PLAIN = replace(SPEC, resampling="polyphase", sample_rate_hz=200)
MASK = (True, True, False)


def reader(signal_uv: NDArray[np.float32]):
    def read(start: int, stop: int) -> NDArray[np.float32]:
        assert 0 <= start <= stop <= signal_uv.shape[1]
        return signal_uv[:, start:stop]

    return read


def noise(samples: int) -> NDArray[np.float32]:
    signal_uv = np.random.default_rng(0).normal(0, 30, (3, samples)).astype(np.float32)
    signal_uv[2] = 0
    return signal_uv


@pytest.mark.parametrize(
    "changes",
    [
        {"high_pass_hz": 0.3, "low_pass_hz": 75.0, "notch_hz": 60.0},
        {"high_pass_hz": 0.5},
        {"low_pass_hz": 40.0},
        {"notch_hz": 50.0},
        {"reference": "average"},
        {"sample_rate_hz": 100},
        {"high_pass_hz": 1.0, "reference": "average", "sample_rate_hz": 512},
    ],
)
def test_blocks_do_not_matter(changes: dict[str, object]) -> None:
    signal_uv = noise(256 * 9 + 77)
    read, samples, rate_hz = prepare(reader(signal_uv), signal_uv.shape[1], 256, MASK, replace(PLAIN, **changes))
    assert rate_hz == changes.get("sample_rate_hz", 200)
    whole = read(0, samples)
    assert whole.shape == (3, samples)
    edges = [0, 1, 150, 151, 800, samples]
    parts = [read(start, stop) for start, stop in pairwise(edges)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-3)
    assert not whole[2].any()  # a missing channel stays zero


@pytest.mark.parametrize(("low", "high", "notch"), [(0.5, 40.0, 0.0), (1.0, 0.0, 60.0)])
def test_filters_are_those_of_mne(low: float, high: float, notch: float) -> None:
    signal_uv = noise(256 * 60)
    spec = replace(PLAIN, sample_rate_hz=256, high_pass_hz=low, low_pass_hz=high, notch_hz=notch)
    read, samples, _ = prepare(reader(signal_uv), signal_uv.shape[1], 256, MASK, spec)
    expected = mne.filter.filter_data(signal_uv.astype(float), 256, low or None, high or None, verbose="ERROR")
    if notch:
        expected = mne.filter.notch_filter(expected, 256, notch, verbose="ERROR")
    middle = slice(256 * 20, 256 * 40)  # mne extends the ends in another way
    np.testing.assert_allclose(read(0, samples)[:, middle], expected[:, middle], rtol=0, atol=2e-3)


def test_what_the_rate_does_not_hold_is_left_out() -> None:
    assert filter_taps(128, 0, 75, 0) is None
    assert filter_taps(100, 0, 0, 50) is None
    assert filter_taps(100, 0, 0, 0) is None
    np.testing.assert_array_equal(filter_taps(128, 0.5, 75, 0), filter_taps(128, 0.5, 0, 0))


@pytest.mark.parametrize(("rate_hz", "target_hz"), [(256, 200), (128, 200), (500, 200), (199.8, 200), (512, 128)])
def test_a_sine_is_resampled_to_itself_and_nothing_aliases(rate_hz: float, target_hz: int) -> None:
    times_s = np.arange(round(rate_hz * 20)) / rate_hz
    signal_uv = np.stack([np.sin(2 * np.pi * 11 * times_s), np.sin(2 * np.pi * 0.495 * rate_hz * times_s)])
    spec = replace(PLAIN, sample_rate_hz=target_hz)
    read, samples, _ = prepare(reader(signal_uv.astype(np.float32)), len(times_s), rate_hz, (True,) * 2, spec)
    assert samples == np.ceil(len(times_s) * target_hz / rate_hz)
    at_s = np.arange(samples) / target_hz
    middle = slice(target_hz * 2, target_hz * 18)
    resampled = read(0, samples)[:, middle]
    np.testing.assert_allclose(resampled[0], np.sin(2 * np.pi * 11 * at_s[middle]), rtol=0, atol=1e-3)
    if rate_hz > target_hz:
        assert np.abs(resampled[1]).max() < 1e-3


@pytest.mark.parametrize(
    ("samples", "record_s"), [(256, 1.0001), (256, 0.99987), (512, 0.999936), (3277, 12.8001)]
)
def test_rates_that_are_no_short_fraction(samples: int, record_s: float) -> None:
    rate_hz, target_hz = samples / record_s, 200
    ratio = find_ratio(rate_hz, target_hz)
    assert max(ratio.numerator, ratio.denominator) <= 50_000
    assert abs(float(ratio) * rate_hz - target_hz) * 3600 < 0.5
    signal_uv = np.sin(2 * np.pi * 11 * np.arange(round(rate_hz * 20)) / rate_hz)[None].astype(np.float32)
    read, count, _ = prepare(reader(signal_uv), signal_uv.shape[1], rate_hz, (True,), PLAIN)
    middle = np.arange(2 * target_hz, 18 * target_hz)
    resampled = read(0, count)[0, middle]
    np.testing.assert_allclose(resampled, np.sin(2 * np.pi * 11 * middle / target_hz), rtol=0, atol=1e-3)


def test_a_rate_that_only_a_long_fraction_gives_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"rate is 255.997\d+ Hz, which .* to 256 Hz: by 1 it drifts by 9.2 samples in an h"
    ):
        prepare(reader(noise(256)), 256, 256 / 1.00001, MASK, replace(PLAIN, sample_rate_hz=256))
    assert find_ratio(256 / 1.0000004, 256) == 1  # off by 0.4 samples in an hour


@pytest.mark.parametrize("rate_hz", [100, 199.8, 250, 256, 399.6, 400, 500, 512, 1000, 16385 / 64, 2048, 249.75])
@pytest.mark.parametrize("target_hz", [100, 128, 200, 250, 256, 512])
def test_ordinary_rates_are_resampled_as_they_say(rate_hz: float, target_hz: float) -> None:
    assert find_ratio(rate_hz, target_hz) == Fraction(target_hz) / Fraction(rate_hz).limit_denominator(10_000)


def test_resampling_is_that_of_scipy() -> None:
    signal_uv = noise(256 * 30)
    read, samples, _ = prepare(reader(signal_uv), signal_uv.shape[1], 256, MASK, PLAIN)
    plain = resample_poly(signal_uv.astype(float), 25, 32, axis=1)
    assert plain.shape[1] == samples
    lowest = [np.abs(np.fft.rfft(x[0]))[: samples * 60 // 200] for x in (read(0, samples), plain)]  # below 60 Hz
    np.testing.assert_allclose(lowest[0], lowest[1], rtol=0, atol=0.02 * lowest[1].max())


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 1025])
def test_seconds_stay_as_many(samples: int) -> None:
    for target_hz in (100, 200, 512):
        spec = replace(PLAIN, sample_rate_hz=target_hz)
        read, count, _ = prepare(reader(noise(samples)), samples, 256, MASK, spec)
        assert np.ceil(count / target_hz) == np.ceil(samples / 256)
        assert read(0, count).shape == (3, count)


def test_the_average_is_of_channels_that_are_there() -> None:
    signal_uv = noise(200)
    read, _, _ = prepare(reader(signal_uv), 200, 200, MASK, replace(PLAIN, reference="average"))
    half = (signal_uv[0] - signal_uv[1]) / 2
    np.testing.assert_allclose(read(0, 200), [half, -half, 0 * half], rtol=0, atol=1e-5)


def test_normalisations_and_units() -> None:
    windows_uv = 7 + noise(4000).reshape(3, 4, 1000).transpose(1, 0, 2)  # (B, C, N)
    assert normalise(windows_uv, PLAIN) is windows_uv
    scores = normalise(windows_uv, replace(PLAIN, normalisation="z-score"))
    np.testing.assert_allclose(scores[:, :2].mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(scores[:, :2].std(-1), 1, atol=1e-5)
    assert not scores[:, 2].any()  # constant
    shares = normalise(windows_uv, replace(PLAIN, normalisation="percentile-95"))
    np.testing.assert_allclose((np.abs(shares[:, :2]) <= 1).mean(-1), 0.95, atol=2e-3)
    np.testing.assert_allclose(normalise(windows_uv, replace(PLAIN, unit="0.1mV")), windows_uv / 100, rtol=1e-6)
    assert UNITS == {"uV": 1, "0.1mV": 0.01, "mV": 1e-3, "V": 1e-6}
    for name in NORMALISATIONS:
        normalised = normalise(windows_uv, replace(PLAIN, normalisation=name))
        assert (normalised.dtype, normalised.shape) == (np.float32, windows_uv.shape)
        assert np.isfinite(normalise(0 * windows_uv, replace(PLAIN, normalisation=name))).all()
