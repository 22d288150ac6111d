"""Events second by second against the same of the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scoring.event_tracker import EventTracker, average_logits, merge_seconds
from eval.scoring.events import DetectedEvent
from eval.scoring.postprocess import PostProcessing
from heads.dataset import merge_windows
from heads.inference import centred_mean
from store.runtime.errors import UserError

LEVELS = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0])  # many of them equal thresholds


@given(
    st.lists(LEVELS, max_size=60),
    st.builds(
        PostProcessing,
        st.sampled_from([0.25, 0.3, 0.5]),
        st.sampled_from([1.0, 0.5, 0.6]),
        st.integers(1, 9),
        st.integers(1, 5),
    ),
    st.floats(0, 0.99),
)
@settings(max_examples=300, deadline=None)
def test_events_are_those_of_the_whole_recording(values: list[float], post: PostProcessing, cut_s: float) -> None:
    probabilities = np.array(values, np.float32)
    duration_s = max(len(values) - cut_s, 0.0)
    events: list[DetectedEvent] = []
    tracker = EventTracker(post, events.append)
    for probability in probabilities:
        tracker.add(probability)
    tracker.finish(duration_s)
    assert tuple(events) == post.detect(probabilities, duration_s)


def test_an_event_is_reported_when_the_smoothing_has_seen_enough() -> None:
    reported: list[int] = []
    tracker = EventTracker(PostProcessing(0.5, smoothing_s=5), lambda event: reported.append(second))
    for second in range(40):
        tracker.add(np.float32(10 <= second < 20))
    assert reported == [20 + 2]  # the mean over 18 to 22 is below 0.5


def test_what_is_held_does_not_grow() -> None:
    tracker = EventTracker(PostProcessing(0.5, smoothing_s=9), lambda event: None)
    for second in range(1000):
        tracker.add(np.float32(second % 7 == 0))
    assert len(tracker._sums) < 20
    assert len(tracker._probabilities) < 20


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(UserError, match="1 values are not probabilities"):
        EventTracker(PostProcessing(0.5), lambda event: None).add(np.float32("nan"))


@pytest.mark.parametrize(("window_s", "stride_s"), [(4, 4), (4, 1), (4, 3), (10, 4), (1, 1)])
@pytest.mark.parametrize("windows", [1, 2, 7])
def test_merged_seconds_are_those_of_all_windows(window_s: int, stride_s: int, windows: int) -> None:
    values = np.random.default_rng(0).normal(size=(windows, window_s)).astype(np.float32)
    seconds = (windows - 1) * stride_s + window_s
    merged = np.array(list(merge_seconds(iter(values), stride_s)), np.float32)
    np.testing.assert_array_equal(merged, merge_windows(values, seconds, stride_s))


def test_a_second_comes_when_no_later_window_holds_it() -> None:
    taken: list[int] = []

    def windows() -> object:
        for index in range(3):
            taken.append(index)
            yield np.full(4, index, np.float32)

    merged = merge_seconds(windows(), 2)
    assert [next(merged), next(merged)] == [0, 0]
    assert taken == [0]


@pytest.mark.parametrize("width", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("length", [1, 2, 4, 20])
def test_averaged_logits_are_those_of_the_whole_recording(width: int, length: int) -> None:
    from scipy.special import expit

    logits = np.random.default_rng(0).normal(size=length).astype(np.float32)
    averaged = np.array(list(average_logits(iter(logits), width)), np.float32)
    np.testing.assert_array_equal(averaged, expit(centred_mean(logits, width)))
