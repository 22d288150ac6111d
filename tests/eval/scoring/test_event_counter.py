"""Counts of many persons at once against those of one recording after the other."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scoring.event_counter import EventCounter
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import Counts, ScoredRecording, count
from store import Event


def random_recording(rng: np.random.Generator) -> ScoredRecording:
    """Runs of many lengths, up to both ends; a last second that may be a part; seizures at any time."""
    duration_s = float(rng.choice([0.04, 0.4, 30, 59.04, 400.5, 1300]))
    seconds = int(np.ceil(duration_s))
    probabilities = np.repeat(rng.random(seconds), rng.choice([1, 5, 60, 400], seconds))[:seconds]
    onsets = np.sort(rng.uniform(-20, duration_s, rng.integers(0, 5)))
    events = tuple(Event(float(onset), float(rng.uniform(0.04, 350)), "sz") for onset in onsets)
    return ScoredRecording(events, (), duration_s, np.zeros(seconds, np.uint8), probabilities.astype(np.float32))


def count_one_by_one(recordings: Sequence[ScoredRecording], post: PostProcessing) -> Counts:
    total = Counts(0, 0, 0, 0)
    for recording in recordings:
        detected = post.detect(recording.probabilities, recording.duration_s)
        matched = recording.reference_events.match([(event.onset_s, event.stop_s) for event in detected])
        references = len(matched.hits) + len(matched.misses)
        total += Counts(references, len(matched.hits), len(matched.false_alarms), recording.duration_s)
    return total


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([1, 10, 1 << 14]))
def test_counts_are_those_of_single_recordings(seed: int, number: int, together: int) -> None:
    rng = np.random.default_rng(seed)
    persons = {str(person): [random_recording(rng) for _ in range(rng.integers(0, 4))] for person in range(number)}
    counter = EventCounter(persons, together)
    for smoothing_s in (1, 15):
        tried = itertools.product((0.0, 0.02, 0.5, 0.9, 2), (1.0, 0.5, 0.0, 1.5), (1, 20))
        posts = [PostProcessing(threshold, ratio, smoothing_s, shortest) for threshold, ratio, shortest in tried]
        found = counter.count_detections(counter.smooth(smoothing_s), posts)
        for post, hits, false_alarms in zip(posts, *found, strict=True):
            wanted = [count_one_by_one(recordings, post) for recordings in persons.values()]
            assert [*zip(hits, false_alarms, strict=True)] == [(one.hits, one.false_alarms) for one in wanted]
            assert counter.references.tolist() == [one.reference for one in wanted]
            assert counter.seconds.tolist() == [one.seconds for one in wanted]


@pytest.mark.parametrize("duration_s", [0.04, 0.05, 0.06, 0.4, 0.96, 1.04])
@pytest.mark.parametrize("events", [(), (Event(0.0, 0.04, "sz"),), (Event(0.0, 0.4, "sz"),)])
def test_the_shortest_recordings_count_as_by_timescoring(duration_s: float, events: tuple[Event, ...]) -> None:
    post, probabilities = PostProcessing(0.5), np.full(int(np.ceil(duration_s)), 0.9, np.float32)
    labels = np.zeros(len(probabilities), np.uint8)
    recording = ScoredRecording(events, post.detect(probabilities, duration_s), duration_s, labels, probabilities)
    wanted, _ = count(recording)
    counter = EventCounter({"01": [recording]})
    (hits,), (false_alarms,) = counter.count_detections(counter.smooth(1), [post])
    assert (hits, false_alarms, counter.references) == (wanted.hits, wanted.false_alarms, wanted.reference)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=12), st.sampled_from([1, 5, 15, 301]), st.integers(0, 2**32))
def test_smoothed_together_as_one_by_one(lengths: list[int], smoothing_s: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    recordings = [
        ScoredRecording((), (), float(length), np.zeros(length), rng.random(length).astype(np.float32))
        for length in lengths
    ]
    parts = [np.append(smooth(recording.probabilities, smoothing_s), -1) for recording in recordings]
    wanted = np.concatenate([[-1.0], *parts])
    assert EventCounter({"01": recordings}).smooth(smoothing_s).tobytes() == wanted.tobytes()
