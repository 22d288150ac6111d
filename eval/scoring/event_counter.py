"""Event counts of many persons at once, to try many settings of post-processing.

All recordings of all persons lie on one time axis, and the axes of several settings one after the other: they are
counted in a few passes over arrays. Times of events are whole samples at 10 Hz, as timescoring counts them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby, pairwise
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
_ALIKE = 1.25  # largest ratio of lengths in a group


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
        self._seconds = int(self._lengths.sum()) + len(self._lengths) + 1
        self._recording_at = np.repeat(np.arange(len(self._lengths)), self._lengths + 1)  # at a second
        durations = np.array([round(RATE_HZ * recording.duration_s) for recording in self._recordings], np.int64)
        apart = np.cumsum(durations + RATE_HZ * SHORTEST_GAP_S)  # events of two recordings are never merged
        self._starts, self._samples = apart - durations, int(apart[-1]) if len(apart) else 0
        self._stops = self._starts + durations
        self._zero = self._starts - RATE_HZ * self._first_second  # sample of second 0 of the axis of seconds
        windows = [
            (number, self._starts[number] + np.array(window, np.int64))
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
        """Probabilities of all recordings on one axis of seconds, smoothed."""
        smoothed = np.full(self._seconds, _BETWEEN)
        for group in self._length_groups:
            values = _smooth_rows([self._recordings[number].probabilities for number in group], smoothing_s)
            for first, length, row in zip(self._first_second[group], self._lengths[group], values, strict=True):
                smoothed[first : first + length] = row[:length]
        return smoothed

    def count_detections(
        self, smoothed: NDArray[np.float64], settings: Iterable[PostProcessing]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms of each person by each of some settings, ``(S, P)`` each.

        ``smoothed`` is smoothed as they all say; `PostProcessing.runs` says what is detected.
        """
        counts = [self._count(detections) for detections in self._group(self._detect(smoothed, settings))]
        hits, false_alarms = (np.concatenate(parts) for parts in zip(*counts, strict=True))
        return hits, false_alarms

    def _detect(
        self, smoothed: NDArray[np.float64], settings: Iterable[PostProcessing]
    ) -> Iterator[NDArray[np.int64]]:
        """Events that each of the settings detects, in samples, ``(2, n)``."""
        settings = list(settings)
        bounds = sorted({post.threshold * ratio for post in settings for ratio in (1, post.hysteresis_ratio)})
        runs = _find_runs(smoothed, bounds)
        ends = pairwise([0, *accumulate(map(len, runs))])
        of_bound = {bound: slice(*between) for bound, between in zip(bounds, ends, strict=True)}
        seconds = np.ascontiguousarray(np.concatenate(runs).T)
        recording = self._recording_at[seconds[0]]
        events = np.minimum(RATE_HZ * seconds + self._zero[recording], self._stops[recording])
        lengths = (seconds[1] - seconds[0]) * (events[0] < events[1])  # 0 for less than a sample, at the end
        for (threshold, ratio), alike in groupby(settings, key=attrgetter("threshold", "hysteresis_ratio")):
            held = of_bound[threshold * ratio]
            lengths_held = lengths[held]
            if ratio < 1:
                before, until = np.searchsorted(seconds[0, of_bound[threshold]], seconds[:, held])
                lengths_held = np.where(before < until, lengths_held, 0)
            for post in alike:
                yield np.compress(lengths_held >= post.min_duration_s, events[:, held], 1)

    def _group(self, detections: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
        """Sets of events in groups to count together; a large one is a group of its own."""
        group: list[NDArray[np.int64]] = []
        total = 0
        for events in detections:
            more = events.shape[1] + len(self._windows)
            if group and total + more > self._events_together:
                yield group
                group, total = [], 0
            group.append(events)
            total += more
        if group:
            yield group

    def _count(self, detections: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hits and false alarms ``(S, P)`` of S sets of events, whose time axes lie one after the other."""
        axes = self._samples * np.arange(len(detections))
        events = np.concatenate(detections, 1) + np.repeat(axes, [events.shape[1] for events in detections])
        merged = _merge(events)
        windows = (axes[:, None, None] + self._windows).reshape(-1, 2)
        hits = _overlaps(windows, *merged)
        parts = _split(merged)
        false_alarms = parts[~_overlaps(parts, *windows.T), 0]
        number, sample = np.divmod(false_alarms, max(1, self._samples))
        person = self._person[np.searchsorted(self._starts, sample, side="right") - 1]
        window_person = (self._persons * np.arange(len(axes))[:, None] + self._window_person).ravel()
        cells = len(axes) * self._persons
        hits_of, false_alarms_of = (
            np.bincount(cell, minlength=cells).reshape(-1, self._persons)
            for cell in (window_person[hits], number * self._persons + person)
        )
        return hits_of, false_alarms_of


def _find_runs(smoothed: NDArray[np.float64], bounds: Sequence[float]) -> list[NDArray[np.int64]]:
    """Runs of seconds that reach each of the bounds, which increase: first second and stop, ``(n, 2)`` each."""
    level = np.zeros(len(smoothed), np.min_scalar_type(len(bounds)))  # how many bounds a second reaches
    for bound in bounds:
        level += smoothed >= bound
    changes = np.flatnonzero(level[1:] != level[:-1]) + 1
    level = level[np.append(0, changes)]
    reached = (level > number for number in range(len(bounds)))
    return [np.compress(mask[1:] != mask[:-1], changes).reshape(-1, 2) for mask in reached]


def _merge(events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge events ``(2, n)``, in samples and in order, that are less than 90 s apart."""
    starts, stops = events
    first, last = np.ones((2, len(starts)), bool)
    np.greater_equal(starts[1:] - stops[:-1], RATE_HZ * SHORTEST_GAP_S, out=first[1:])
    last[:-1] = first[1:]
    return np.stack([np.compress(first, starts), np.compress(last, stops)])


def _split(events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split events ``(2, n)`` into parts of at most 300 s, ``(m, 2)``."""
    starts, stops = events
    count = -(-(stops - starts) // (RATE_HZ * LONGEST_S))
    of = np.repeat(np.arange(len(starts)), count)
    first = starts[of] + RATE_HZ * LONGEST_S * (np.arange(len(of)) - (np.cumsum(count) - count)[of])
    return np.stack([first, np.minimum(first + RATE_HZ * LONGEST_S, stops[of])], 1)


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
