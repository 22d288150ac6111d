"""Event counts of many persons at once, to try many settings of post-processing.

The recordings of all persons lie one after the other on one time axis, so that a setting is a few passes over
arrays. Times of events are whole samples at 10 Hz, as timescoring counts them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.counts import LONGEST_S, RATE_HZ, SHORTEST_GAP_S, count_samples
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import Counts, ScoredRecording

_BETWEEN = -1.0  # stands between recordings, below every threshold
_GROUP_SECONDS = 1 << 20  # of recordings that are smoothed together
_ALIKE = 1.25  # how much longer than the shortest the longest of them may be


class EventCounter:
    """Recordings of persons, with their reference events.

    Attributes
    ----------
    references : (P,) int
        Reference events of each person, as SzCORE counts them.
    seconds : (P,) float
        Seconds scored of each person.
    """

    def __init__(self, persons: Mapping[str, Sequence[ScoredRecording]]) -> None:
        self._persons = len(persons)
        owned = [(number, recording) for number, group in enumerate(persons.values()) for recording in group]
        self._recordings = [recording for _, recording in owned]
        self._person = np.array([number for number, _ in owned], np.int64)
        self._lengths = np.array([len(recording.probabilities) for recording in self._recordings], np.int64)
        self._first_second = np.concatenate([[0], np.cumsum(self._lengths + 1)])[:-1]
        durations = np.array([count_samples(recording.duration_s) for recording in self._recordings], np.int64)
        self._ends = RATE_HZ * self._first_second + durations  # in samples
        windows = [
            (number, RATE_HZ * int(self._first_second[number]) + np.array(window, np.int64))
            for number, recording in enumerate(self._recordings)
            if recording.reference
            for window in recording.reference_events.windows
        ]
        self._windows = np.array([window for _, window in windows], np.int64).reshape(-1, 2)
        self._window_person = self._person[[number for number, _ in windows]]
        self.references = np.bincount(self._window_person, minlength=self._persons)
        duration_s = [recording.duration_s for recording in self._recordings]
        self.seconds = np.bincount(self._person, duration_s, minlength=self._persons)

    def smooth(self, smoothing_s: int) -> NDArray[np.float64]:
        """Probabilities of all recordings on one axis, smoothed."""
        smoothed = np.full(len(self._recordings) + int(self._lengths.sum()), _BETWEEN)
        for group in _alike(self._lengths):
            values, within = _smooth_rows([self._recordings[one].probabilities for one in group], smoothing_s)
            seconds = self._first_second[group][:, None] + np.arange(values.shape[1])
            smoothed[seconds[within]] = values[within]
        return smoothed

    def find_runs(self, smoothed: NDArray[np.float64], threshold: float, low: float) -> NDArray[np.int64]:
        """Runs of seconds that reach ``low`` and somewhere ``threshold``: first second and stop, ``(n, 2)``."""
        runs = np.flatnonzero(np.diff(smoothed >= low, prepend=False, append=False)).reshape(-1, 2)
        if low >= threshold:
            return runs
        reach = np.searchsorted(np.flatnonzero(smoothed >= threshold), runs)
        return runs[reach[:, 1] > reach[:, 0]]

    def count_detections(self, smoothed: NDArray[np.float64], post: PostProcessing) -> list[Counts]:
        """Counts of each person, as `eval.scoring.postprocess.PostProcessing.runs` detects events."""
        runs = self.find_runs(smoothed, post.threshold, post.threshold * post.hysteresis_ratio)
        hits, false_alarms = self.count(runs[runs[:, 1] - runs[:, 0] >= post.min_duration_s])
        columns = (self.references, hits, false_alarms, self.seconds)
        return [Counts(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def count(self, runs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms of each person, ``(P,)`` each, if these runs are the detections."""
        recording = np.searchsorted(self._first_second, runs[:, 0], side="right") - 1
        start, stop = RATE_HZ * runs[:, 0], np.minimum(RATE_HZ * runs[:, 1], self._ends[recording])
        within = start < stop
        start, stop, recording = start[within], stop[within], recording[within]
        begins = np.ones(len(start), bool)
        begins[1:] = (start[1:] - stop[:-1] >= RATE_HZ * SHORTEST_GAP_S) | (recording[1:] != recording[:-1])
        first, last = np.flatnonzero(begins), np.flatnonzero(np.roll(begins, -1))
        start, stop, recording = start[first], stop[last], recording[first]
        hits = _overlaps(self._windows, start, stop)
        parts = -(-(stop - start) // (RATE_HZ * LONGEST_S))
        number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        part_start = np.repeat(start, parts) + RATE_HZ * LONGEST_S * number
        part_stop = np.minimum(part_start + RATE_HZ * LONGEST_S, np.repeat(stop, parts))
        false_alarms = ~_overlaps(np.stack([part_start, part_stop], 1), *self._windows.T)
        return (
            np.bincount(self._window_person[hits], minlength=self._persons),
            np.bincount(np.repeat(self._person[recording], parts)[false_alarms], minlength=self._persons),
        )


def _overlaps(
    intervals: NDArray[np.int64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each of the intervals ``(n, 2)`` overlaps one of others, whose starts and stops both increase."""
    if not len(starts):
        return np.zeros(len(intervals), bool)
    next_one = np.searchsorted(stops, intervals[:, 0], side="right")
    overlaps: NDArray[np.bool_] = (next_one < len(stops)) & (
        starts[np.minimum(next_one, len(stops) - 1)] < intervals[:, 1]
    )
    return overlaps


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Numbers of recordings of about the same length, in groups."""
    order = np.argsort(lengths, kind="stable")
    first = 0
    for place, number in enumerate(order):
        shortest, length = lengths[order[first]], lengths[number]
        if length > _ALIKE * shortest or (place - first + 1) * length > _GROUP_SECONDS:
            yield order[first:place]
            first = place
    yield order[first:]


def _smooth_rows(rows: Sequence[NDArray[Any]], window_s: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`eval.scoring.postprocess.smooth` of each row, to the last bit, ``(n, T)``; and which seconds there are."""
    lengths = np.array([len(row) for row in rows], np.int64)[:, None]
    seconds = np.arange(lengths.max(initial=0))
    within = seconds < lengths
    values = np.zeros(within.shape)
    for row, probabilities in zip(values, rows, strict=True):
        row[: len(probabilities)] = probabilities
    sums = np.zeros((len(rows), len(seconds) + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    first = np.maximum(seconds - window_s // 2, 0)
    stop = np.minimum(seconds + window_s // 2 + 1, lengths)
    means = np.take_along_axis(sums, stop, 1)
    means -= sums[:, first]
    means /= np.maximum(stop - first, 1)
    return means, within
