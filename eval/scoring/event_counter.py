"""Event counts of many persons at once, to try many settings of post-processing: `count_events`, vectorised.

The recordings of all persons lie one after the other on one time axis, so that a setting is a few passes over
arrays. Times of events are whole samples at 10 Hz, as timescoring counts them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.scoring.counts import LONGEST_S, RATE_HZ, SHORTEST_GAP_S, count_samples
from eval.scoring.postprocess import smooth
from eval.scoring.scores import ScoredRecording

_BETWEEN = np.array([-1.0])  # stands between recordings, below every threshold


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
        lengths = np.array([len(recording.probabilities) + 1 for recording in self._recordings], np.int64)
        self._first_second = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        durations = np.array([count_samples(recording.duration_s) for recording in self._recordings], np.int64)
        self._ends = RATE_HZ * self._first_second + durations  # in samples
        first_samples = RATE_HZ * self._first_second
        windows = [
            np.array(recording.reference_events.windows, np.int64).reshape(-1, 2) + first
            for recording, first in zip(self._recordings, first_samples, strict=True)
        ]
        self._windows = np.concatenate(windows) if windows else np.zeros((0, 2), np.int64)
        self._window_person = np.repeat(self._person, [len(part) for part in windows])
        self.references = np.bincount(self._window_person, minlength=self._persons)
        duration_s = [recording.duration_s for recording in self._recordings]
        self.seconds = np.bincount(self._person, duration_s, minlength=self._persons)

    def smooth(self, smoothing_s: int) -> NDArray[np.float64]:
        """Probabilities of all recordings on one axis, smoothed."""
        parts = [
            part
            for recording in self._recordings
            for part in (smooth(recording.probabilities, smoothing_s), _BETWEEN)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def find_runs(self, smoothed: NDArray[np.float64], threshold: float, low: float) -> NDArray[np.int64]:
        """Runs of seconds that reach ``low`` and somewhere ``threshold``: first second and stop, ``(n, 2)``."""
        runs = np.flatnonzero(np.diff(smoothed >= low, prepend=False, append=False)).reshape(-1, 2)
        if low >= threshold:
            return runs
        reach = np.searchsorted(np.flatnonzero(smoothed >= threshold), runs)
        return runs[reach[:, 1] > reach[:, 0]]

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
