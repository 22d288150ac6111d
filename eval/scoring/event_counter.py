"""Event counts of many persons at once, to try many settings of post-processing.

All recordings of all persons lie on one time axis, and the axes of several settings one after the other: they are
counted in a few passes over arrays. Times of events are whole samples at 10 Hz, as timescoring counts them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.counts import LONGEST_S, RATE_HZ, SHORTEST_GAP_S
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording

_BETWEEN = -1.0  # stands before, between and after recordings, below every threshold
_GROUP_SECONDS = 1 << 20  # of recordings that are smoothed together
_EVENTS_TOGETHER = 1 << 14  # detected and reference events that are counted at once, which fit in a cache
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
        self, persons: Mapping[str, Sequence[ScoredRecording]], events_together: int = _EVENTS_TOGETHER
    ) -> None:
        self._events_together = events_together
        self._persons = len(persons)
        owned = [(number, recording) for number, group in enumerate(persons.values()) for recording in group]
        self._recordings = [recording for _, recording in owned]
        self._person = np.array([number for number, _ in owned], np.int64)
        self._lengths = np.array([len(recording.probabilities) for recording in self._recordings], np.int64)
        self._length_groups = list(_alike(self._lengths))
        self._first_second = np.concatenate([[0], np.cumsum(self._lengths + 1)])[:-1] + 1
        durations = np.array([round(RATE_HZ * recording.duration_s) for recording in self._recordings], np.int64)
        self._seconds = int(self._lengths.sum()) + len(self._lengths) + 1  # of the axis
        self._recording_at = np.repeat(np.arange(len(self._lengths)), self._lengths + 1)  # at a second of the axis
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
        for group in self._length_groups:
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
        sets = self._group(_detect(smoothed, settings))
        counts = [self._count(detections) for detections in sets]
        hits, false_alarms = (np.concatenate(parts) for parts in zip(*counts, strict=True))
        return hits, false_alarms

    def _group(self, detections: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
        """Sets of runs in groups to count together; a large one is a group of its own."""
        group: list[NDArray[np.int64]] = []
        events = 0
        for runs in detections:
            more = len(runs) + len(self._windows)
            if group and events + more > self._events_together:
                yield group
                group, events = [], 0
            group.append(runs)
            events += more
        if group:
            yield group

    def _count(self, detections: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms ``(S, P)`` of S sets of detected runs, whose time axes lie one after the other."""
        sets, runs = len(detections), np.concatenate(detections)
        number = np.repeat(np.arange(sets), [len(one) for one in detections])
        recording = self._recording_at[runs[:, 0]]
        offset, length = RATE_HZ * self._seconds * number, RATE_HZ * self._seconds
        events = np.stack([RATE_HZ * runs[:, 0], np.minimum(RATE_HZ * runs[:, 1], self._ends[recording])], 1)
        within = events[:, 0] < events[:, 1]
        events = np.compress(within, events + offset[:, None], 0)  # several times as fast as [within]
        place = (number * len(self._ends) + recording)[within]
        merged, place = _merge(events, place)
        number, recording = np.divmod(place, max(1, len(self._ends)))
        windows = (length * np.arange(sets)[:, None, None] + self._windows).reshape(-1, 2)
        hits = _overlaps(windows, *merged.T)
        parts, of = _split(merged)
        false_alarms = of[~_overlaps(parts, *windows.T)]
        persons = number * self._persons + self._person[recording]
        window_person = (self._persons * np.arange(sets)[:, None] + self._window_person).ravel()
        cells = sets * self._persons
        hits_of, false_alarms_of = (
            np.bincount(cell, minlength=cells).reshape(sets, self._persons)
            for cell in (window_person[hits], persons[false_alarms])
        )
        return hits_of, false_alarms_of


def _merge(events: NDArray[np.int64], place: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merge events ``(n, 2)``, in samples and in order, less than 90 s apart in the same recording ``(n,)``."""
    begins = np.ones(len(events), bool)
    begins[1:] = (events[1:, 0] - events[:-1, 1] >= RATE_HZ * SHORTEST_GAP_S) | (place[1:] != place[:-1])
    last = np.roll(begins, -1)
    return np.stack([events[begins, 0], events[last, 1]], 1), place[begins]


def _split(events: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split events ``(n, 2)`` into parts of at most 300 s; the parts, and the number of the event of each."""
    starts, stops = events.T
    count = -(-(stops - starts) // (RATE_HZ * LONGEST_S))
    of = np.repeat(np.arange(len(events)), count)
    first = starts[of] + RATE_HZ * LONGEST_S * (np.arange(len(of)) - (np.cumsum(count) - count)[of])
    return np.stack([first, np.minimum(first + RATE_HZ * LONGEST_S, stops[of])], 1), of


def _detect(smoothed: NDArray[np.float64], settings: Iterable[PostProcessing]) -> Iterator[NDArray[np.int64]]:
    """Runs of seconds that each of the settings detects: first second and stop, ``(n, 2)``."""
    for threshold, same in groupby(settings, key=attrgetter("threshold")):
        reached = smoothed >= threshold
        for ratio, alike in groupby(same, key=attrgetter("hysteresis_ratio")):
            runs = _find_runs(reached) if ratio == 1 else _find_runs(smoothed >= threshold * ratio, reached)
            lengths = runs[:, 1] - runs[:, 0]
            for post in alike:
                yield np.compress(lengths >= post.min_duration_s, runs, 0)


def _find_runs(holds: NDArray[np.bool_], reached: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Runs of seconds that hold, first second and stop, and that somewhere reach."""
    runs = (np.flatnonzero(holds[1:] != holds[:-1]) + 1).reshape(-1, 2)
    if reached is None or not len(runs):
        return runs
    # up to the next run: in between nothing reaches, or all runs do
    return np.compress(np.logical_or.reduceat(reached, runs[:, 0]), runs, 0)


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
    lengths = np.array([len(row) for row in rows], np.int64)[:, None]
    longest = int(lengths.max(initial=0))
    half = min(window_s // 2, longest)
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
