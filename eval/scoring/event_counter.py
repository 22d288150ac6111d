"""Event counts of many persons at once, to try many settings of post-processing.

The recordings of all persons lie one after the other on one time axis, so that a setting is a few passes over
arrays. Times of events are whole samples at 10 Hz, as timescoring counts them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.counts import LONGEST_S, RATE_HZ, SHORTEST_GAP_S, count_samples
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording

_BETWEEN = -1.0  # stands before, between and after recordings, below every threshold
_GROUP_SECONDS = 1 << 20  # of recordings that are smoothed together
_RUNS_TOGETHER = 1 << 14  # that are counted at once: they fit in the processor's cache
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

    def __init__(
        self, persons: Mapping[str, Sequence[ScoredRecording]], runs_together: int = _RUNS_TOGETHER
    ) -> None:
        self._runs_together = runs_together
        self._persons = len(persons)
        owned = [(number, recording) for number, group in enumerate(persons.values()) for recording in group]
        self._recordings = [recording for _, recording in owned]
        self._person = np.array([number for number, _ in owned], np.int64)
        self._lengths = np.array([len(recording.probabilities) for recording in self._recordings], np.int64)
        self._first_second = np.concatenate([[0], np.cumsum(self._lengths + 1)])[:-1] + 1
        durations = np.array([count_samples(recording.duration_s) for recording in self._recordings], np.int64)
        self._seconds = int(self._lengths.sum()) + len(self._lengths) + 1  # of the axis
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
        smoothed = np.full(self._seconds, _BETWEEN)
        for group in _alike(self._lengths):
            values = _smooth_rows([self._recordings[one].probabilities for one in group], smoothing_s)
            for first, length, row in zip(self._first_second[group], self._lengths[group], values, strict=True):
                smoothed[first : first + length] = row[:length]
        return smoothed

    def count_detections(
        self, smoothed: NDArray[np.float64], settings: Iterable[PostProcessing]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms of each person by each of some settings, ``(S, P)`` each.

        ``smoothed`` is smoothed as they all say; `PostProcessing.runs` says what is detected.
        """
        counts = [
            self._count(detections) for detections in _in_groups(_detect(smoothed, settings), self._runs_together)
        ]
        hits, false_alarms = (np.concatenate(parts) for parts in zip(*counts, strict=True))
        return hits, false_alarms

    def _count(self, detections: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms ``(S, P)`` of S sets of detected runs, whose time axes lie one after the other."""
        sets, runs = len(detections), np.concatenate(detections)
        number = np.repeat(np.arange(sets), [len(one) for one in detections])
        recording = np.searchsorted(self._first_second, runs[:, 0], side="right") - 1
        start, stop = RATE_HZ * runs[:, 0], np.minimum(RATE_HZ * runs[:, 1], self._ends[recording])
        within = start < stop
        number, recording = number[within], recording[within]
        start, stop = (number * RATE_HZ * self._seconds + samples[within] for samples in (start, stop))
        begins = np.ones(len(start), bool)
        begins[1:] = start[1:] - stop[:-1] >= RATE_HZ * SHORTEST_GAP_S
        begins[1:] |= (recording[1:] != recording[:-1]) | (number[1:] != number[:-1])
        first = np.flatnonzero(begins)
        start, stop = start[first], stop[np.flatnonzero(np.roll(begins, -1))]
        windows = (RATE_HZ * self._seconds * np.arange(sets)[:, None, None] + self._windows).reshape(-1, 2)
        hits = _overlaps(windows, start, stop).reshape(sets, -1)
        parts = -(-(stop - start) // (RATE_HZ * LONGEST_S))
        place = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        part_start = np.repeat(start, parts) + RATE_HZ * LONGEST_S * place
        part_stop = np.minimum(part_start + RATE_HZ * LONGEST_S, np.repeat(stop, parts))
        is_false = ~_overlaps(np.stack([part_start, part_stop], 1), *windows.T)
        persons = number[first] * self._persons + self._person[recording[first]]
        false_alarms = np.bincount(np.repeat(persons, parts)[is_false], minlength=sets * self._persons)
        hit_set, hit_window = np.nonzero(hits)
        hit_persons = hit_set * self._persons + self._window_person[hit_window]
        counts = np.bincount(hit_persons, minlength=sets * self._persons), false_alarms
        hits_of, false_alarms_of = (one.reshape(sets, self._persons) for one in counts)
        return hits_of, false_alarms_of


def _detect(smoothed: NDArray[np.float64], settings: Iterable[PostProcessing]) -> Iterator[NDArray[np.int64]]:
    """Runs of seconds that each of the settings detects: first second and stop, ``(n, 2)``."""
    for threshold, same in groupby(settings, key=attrgetter("threshold")):
        reached = smoothed >= threshold
        for ratio, alike in groupby(same, key=attrgetter("hysteresis_ratio")):
            runs = _find_runs(reached) if ratio == 1 else _find_runs(smoothed >= threshold * ratio, reached)
            lengths = runs[:, 1] - runs[:, 0]
            for post in alike:
                yield runs[lengths >= post.min_duration_s]


def _find_runs(holds: NDArray[np.bool_], reached: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Runs of seconds that hold, first second and stop, and that somewhere reach."""
    runs = (np.flatnonzero(holds[1:] != holds[:-1]) + 1).reshape(-1, 2)
    if reached is None or not len(runs):
        return runs
    return runs[np.logical_or.reduceat(reached, runs[:, 0])]  # up to the next run, and none reaches between


def _in_groups(detections: Iterable[NDArray[np.int64]], most: int) -> Iterator[list[NDArray[np.int64]]]:
    """Sets of runs in groups of that many at most; a larger set is a group of its own."""
    group: list[NDArray[np.int64]] = []
    for runs in detections:
        if group and sum(map(len, group)) + len(runs) > most:
            yield group
            group = []
        group.append(runs)
    if group:
        yield group


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


def _smooth_rows(rows: Sequence[NDArray[Any]], window_s: int) -> NDArray[np.float64]:
    """`eval.scoring.postprocess.smooth` of each row, to the last bit, ``(n, T)``; void after the end of a row."""
    half, lengths = window_s // 2, np.array([len(row) for row in rows], np.int64)[:, None]
    longest = int(lengths.max(initial=0))
    sums = np.zeros((len(rows), 2 * half + 1 + longest))  # up to half a window before and after each second
    for row, values in zip(sums[:, half + 1 :], rows, strict=True):
        row[: len(values)] = values
    np.cumsum(sums, axis=1, out=sums)
    means = sums[:, 2 * half + 1 :] - sums[:, :longest]
    means /= half + 1 + np.minimum(np.arange(longest), half)
    if longest and half:
        last = np.maximum(lengths - 1 - np.arange(half), 0)  # seconds whose window ends with their row
        count = np.minimum(last + half + 1, lengths) - np.maximum(last - half, 0)
        inside = np.take_along_axis(sums, last + 2 * half + 1, 1) - np.take_along_axis(sums, last, 1)
        np.put_along_axis(means, last, inside / np.maximum(count, 1), 1)
    return means
