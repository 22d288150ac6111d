"""List every reference seizure, detected or missed and why, and every false alarm."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.scoring.counts import Interval, overlap, widen
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import ScoredRecording
from store.schema import events_without_label

SEIZURE_COLUMNS = (
    *("person", "recording", "onset_s", "duration_s", "type", "annotations", "hit", "latency_s", "overlap"),
    *("peak_probability", "why_missed"),
)
FALSE_ALARM_COLUMNS = (
    *("person", "recording", "onset_s", "duration_s", "mean_probability", "peak_probability"),
    "nearest_seizure_s",
)
_NEAR_S = 300  # a detection farther from a missed seizure was not meant for it

Recordings = Mapping[str, Mapping[str, ScoredRecording]]  # person -> name -> recording


def list_seizures(recordings: Recordings, posts: Mapping[str, PostProcessing]) -> pd.DataFrame:
    """A row for every reference event that SzCORE counts: those hit add up to TP, those missed to FN.

    Annotated seizures less than 90 s apart are one row, one that is longer than 300 s is several.

    Returns
    -------
    person, recording, onset_s, duration_s, type, annotations (how many are in it), hit, latency_s (of the first
    detection, from the onset), overlap (share of the seizure that is detected), peak_probability (as smoothed for
    detection) and why_missed (empty if hit).
    """
    rows = [
        (person, name, *row)
        for person, name, recording in _each(recordings)
        for row in _describe_seizures(recording, posts[person])
    ]
    return pd.DataFrame(rows, columns=list(SEIZURE_COLUMNS))


def list_false_alarms(recordings: Recordings) -> pd.DataFrame:
    """A row for every false alarm that SzCORE counts.

    Returns
    -------
    person, recording, onset_s, duration_s, mean_probability, peak_probability and nearest_seizure_s (time to the
    nearest seizure of the recording, nan if it has none).
    """
    rows = []
    for person, name, recording in _each(recordings):
        reference = recording.reference_events.events
        matched = recording.reference_events.match(recording.detected_intervals)
        for onset_s, stop_s in matched.false_alarms:
            values = _within(recording.probabilities, (onset_s, stop_s))
            distance_s = min((_distance_s((onset_s, stop_s), event) for event in reference), default=np.nan)
            length_s = round(stop_s - onset_s, 1)
            rows.append((person, name, onset_s, length_s, float(values.mean()), float(values.max()), distance_s))
    return pd.DataFrame(rows, columns=list(FALSE_ALARM_COLUMNS))


def find_unlabelled_events(recordings: Recordings) -> pd.DataFrame:
    """Annotated seizures that cover more than half of no second: events that no second is labelled with.

    Returns
    -------
    person, recording, onset_s, duration_s.
    """
    rows = [
        (person, name, event.onset_s, event.duration_s)
        for person, name, recording in _each(recordings)
        for event in events_without_label(recording.reference, recording.labels)
    ]
    return pd.DataFrame(rows, columns=["person", "recording", "onset_s", "duration_s"])


def _each(recordings: Recordings) -> Iterator[tuple[str, str, ScoredRecording]]:
    for person, by_name in recordings.items():
        for name, recording in by_name.items():
            yield person, name, recording


def _describe_seizures(recording: ScoredRecording, post: PostProcessing) -> Iterator[tuple[Any, ...]]:
    matched = recording.reference_events.match(recording.detected_intervals)
    smoothed = smooth(recording.probabilities, post.smoothing_s)
    for event in sorted([*matched.hits, *matched.misses]):
        annotations = [
            seizure
            for seizure in recording.reference
            if overlap(event, (seizure.onset_s, seizure.onset_s + seizure.duration_s))
        ]
        is_hit = event in matched.hits
        window = widen(event, recording.duration_s)
        detections = [interval for interval in recording.detected_intervals if overlap(window, interval)]
        covered_s = sum(max(0.0, min(event[1], stop) - max(event[0], start)) for start, stop in detections)
        yield (
            event[0],
            round(event[1] - event[0], 1),
            "; ".join(dict.fromkeys(seizure.kind for seizure in annotations)),
            len(annotations),
            is_hit,
            round(min((start for start, _ in detections), default=np.nan) - event[0], 1),
            round(covered_s / (event[1] - event[0]), 4),
            round(float(_within(smoothed, event).max()), 6),
            "" if is_hit else _explain_miss(recording, post, event, float(_within(smoothed, window).max())),
        )


def _explain_miss(recording: ScoredRecording, post: PostProcessing, event: Interval, peak: float) -> str:
    """Why a reference event was missed; ``peak`` is the largest smoothed probability within the tolerance."""
    untrimmed = replace(post, min_duration_s=1)
    detections = untrimmed.detect(recording.probabilities, recording.duration_s)
    intervals = [(detection.onset_s, detection.stop_s) for detection in detections]
    window = widen(event, recording.duration_s)
    near = [interval for interval in intervals if overlap(window, interval)]
    if near:
        longest_s = max(stop - start for start, stop in near)
        return f"event of {longest_s:.0f} s is shorter than the minimum duration, {post.min_duration_s} s"
    distances = [(_distance_s(interval, event), interval) for interval in recording.detected_intervals]
    if distances and min(distances)[0] <= _NEAR_S:
        distance_s, interval = min(distances)
        side = "before the onset" if interval[1] <= event[0] else "after the end"
        return f"outside the tolerance: detected {distance_s:.0f} s {side}"
    return f"probability under threshold: at most {peak:.3f}, threshold {post.threshold:.3f}"


def _within(values: NDArray[Any], interval: Interval) -> NDArray[Any]:
    """Values of the seconds that an interval touches, at least one."""
    start = min(int(interval[0]), len(values) - 1)
    return values[start : max(start + 1, int(np.ceil(interval[1])))]


def _distance_s(interval: Interval, other: Interval) -> float:
    """Seconds between two intervals, 0 if they overlap."""
    return round(max(0.0, interval[0] - other[1], other[0] - interval[1]), 1)
