"""Labels against a grid of milliseconds, windows against cutting a whole array."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from extract.io.windows import WindowShape, label_seconds, resample, window_blocks
from store.schema import Event, count_seconds, count_windows

RATES_HZ = (1.0, 4.0, 7.3, 15.0, 19.98)
FOUR_HOURS_S = 4 * 3600


@pytest.mark.parametrize(
    ("timeline", "labels"),
    [  # a character is a tenth of a second
        ("..........|..........|..........", "000"),
        (".....#####|##########|..........", "010"),  # half of a second is not more than half
        ("....######|##########|#####.....", "110"),
        (".........#|#####.....|..........", "000"),
        ("......####|######....|..........", "010"),
        ("..######..|..........|...#######", "101"),
        ("###....###|..........|..........", "100"),  # two events, one second
        ("..........|#####..###|..........", "010"),
        ("..........|..........|.##", "001"),  # two thirds of what exists
        ("..........|..........|.#", "000"),
        ("##########|##########|#", "111"),
    ],
)
def test_label_timelines(timeline, labels):
    tenths = timeline.replace("|", "")
    events = [Event(start / 10, 0.1, "sz") for start, mark in enumerate(tenths) if mark == "#"]
    assert "".join(map(str, label_seconds(events, len(tenths) / 10))) == labels


spans_ms = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 6000)), max_size=5)


@given(spans_ms, st.integers(1, 9000))
@example([(500, 1000)], 2000)
@example([(0, 500), (500, 500), (250, 500)], 1000)
def test_labels_equal_counting_milliseconds(spans, duration_ms):
    labels = label_seconds([Event(on / 1000, length / 1000, "sz") for on, length in spans], duration_ms / 1000)
    ictal = np.zeros(duration_ms, bool)
    for onset, length in spans:
        ictal[onset : onset + length] = True
    expected = [2 * second.sum() > len(second) for second in np.split(ictal, range(1000, duration_ms, 1000))]
    assert labels.dtype == np.uint8
    assert labels.tolist() == expected


@pytest.mark.parametrize(("duration_s", "seconds"), [(1, 1), (3.5, 4), (4, 4), (FOUR_HOURS_S, FOUR_HOURS_S)])
def test_label_counts(duration_s, seconds):
    assert label_seconds([Event(0, duration_s, "sz")], duration_s).tolist() == [1] * seconds


@given(
    samples=st.integers(1, 200),
    rate_hz=st.sampled_from(RATES_HZ),
    window_s=st.integers(1, 4),
    stride=st.integers(1, 4),
    block=st.integers(1, 5),
)
@example(samples=240, rate_hz=19.98, window_s=4, stride=4, block=2)  # the last second holds no whole sample
def test_windows_equal_cutting_the_whole(samples, rate_hz, window_s, stride, block):
    stride_s = min(stride, window_s)
    signal_uv = np.random.default_rng(samples).normal(0, 50, (18, samples)).astype(np.float32)
    reads = []

    def read(start, stop):
        assert 0 <= start < stop <= samples
        reads.append((start, stop))
        return signal_uv[:, start:stop]

    blocks = list(window_blocks(read, samples, rate_hz, WindowShape(window_s, stride_s, rate_hz), block))
    expected_uv = cut_whole(signal_uv, rate_hz, window_s, stride_s)
    assert {len(actual) for actual in blocks[:-1]} <= {block}
    assert len(blocks[-1]) <= block
    np.testing.assert_array_equal(np.concatenate(blocks), expected_uv)
    assert all(before[1] <= after[0] for before, after in pairwise(reads))


def cut_whole(signal_uv, rate_hz, window_s, stride_s):
    """Plain oracle: each window sample by sample, mirrored about the end as often as needed."""
    samples, length = signal_uv.shape[1], round(window_s * rate_hz)
    windows = []
    for k in range(count_windows(count_seconds(samples / rate_hz), window_s, stride_s)):
        start = min(round(k * stride_s * rate_hz), samples - 1)
        have = min(length, samples - start)
        there_and_back = [*range(have), *reversed(range(have))]
        windows.append(signal_uv[:, [start + there_and_back[n % (2 * have)] for n in range(length)]])
    return np.stack(windows)


@pytest.mark.parametrize("duration_s", [1, 3.5, 4, 4.25, 7, 60.75, FOUR_HOURS_S])
@pytest.mark.parametrize("stride_s", [1, 2, 3, 4])
def test_every_second_is_in_a_window_and_none_reaches_too_far(duration_s, stride_s):
    rate_hz, read = (
        4,
        lambda start, stop: np.broadcast_to(np.arange(start, stop, dtype=np.float32), (18, stop - start)),
    )
    blocks = window_blocks(read, round(duration_s * rate_hz), rate_hz, WindowShape(4, stride_s, rate_hz), 64)
    first_s = np.concatenate([block[:, 0, 0] for block in blocks]) / rate_hz
    seconds = {int(first + second) for first in first_s for second in range(4)}
    assert first_s.tolist() == [k * stride_s for k in range(len(first_s))]
    assert seconds >= set(range(count_seconds(duration_s)))
    assert len(first_s) == 1 or first_s[-2] + 4 < count_seconds(duration_s)


def test_one_sample_fills_its_window():
    shape = WindowShape(4, 4, 512)
    (block,) = window_blocks(lambda start, stop: np.full((18, 1), 7, np.float32), 1, 256, shape, 8)
    assert block.shape == (1, 18, 2048)
    assert (block == 7).all()


@pytest.mark.parametrize(("samples", "target"), [(8, 16), (16, 8), (799, 2048), (5, 7)])
def test_resampling_is_that_of_each_window_alone(samples, target):
    windows_uv = np.random.default_rng(0).normal(0, 50, (3, 2, samples)).astype(np.float32)
    found_uv = resample(windows_uv, target)
    for window_uv, actual in zip(windows_uv.reshape(-1, samples), found_uv.reshape(-1, target), strict=True):
        alone = torch.nn.functional.interpolate(torch.tensor(window_uv)[None, None], size=target, mode="linear")
        np.testing.assert_array_equal(actual, alone.numpy()[0, 0])
        centers = (np.arange(target) + 0.5) * samples / target - 0.5
        plain = np.interp(centers, np.arange(samples), window_uv)
        np.testing.assert_allclose(actual, plain, atol=1e-3)


def test_resampling_to_the_same_size_is_identity():
    windows_uv = np.ones((2, 18, 8), np.float32)
    assert resample(windows_uv, 8) is windows_uv


def test_stride_longer_than_window_is_refused():
    def read_zeros(start, stop):
        return np.zeros((18, stop - start), np.float32)

    with pytest.raises(ValueError, match="stride is 5 s; allowed: whole seconds from 1 to the window's 4"):
        next(window_blocks(read_zeros, 9, 1, WindowShape(4, 5, 1), 8))
