"""Detect events in probabilities that arrive second by second, as post-processing does on a whole recording."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from eval.scoring.events import DetectedEvent
from eval.scoring.postprocess import PostProcessing, require_probabilities


def merge_seconds(windows: Iterable[NDArray[np.float32]], stride_s: int) -> Iterator[np.float32]:
    """Values of windows, ``(S,)`` each, to one value a second, as `merge_windows` does.

    A second is given when no later window holds it. Those that lie beyond the recording's end are given too.

    >>> [float(second) for second in merge_seconds([np.array([1, 2, 3]), np.array([4, 5, 6])], 1)]
    [1.0, 3.0, 4.0, 6.0]
    """
    recent: deque[NDArray[np.float32]] = deque()  # the latest first
    given = index = window_s = 0

    def value(second: int) -> np.float32:
        offsets = (second - (index - 1 - back) * stride_s for back in range(len(recent)))
        held = [window[at] for at, window in zip(offsets, recent, strict=True) if 0 <= at < window_s]
        return np.float32(sum(held, np.float32(0)) / np.float32(len(held)))

    for window in windows:
        window_s = len(window)
        recent = deque(recent, maxlen=-(-window_s // stride_s))
        recent.appendleft(window.astype(np.float32))
        index += 1
        yield from map(value, range(given, index * stride_s))
        given = index * stride_s
    yield from map(value, range(given, (index - 1) * stride_s + window_s))


def average_logits(logits: Iterable[np.float32], width: int) -> Iterator[np.float32]:
    """Probabilities of logits averaged over each second and its neighbours, as `centred_mean` does.

    >>> [round(float(p), 2) for p in average_logits(np.array([0, 3, 6], np.float32), 3)]
    [0.82, 0.95, 0.99]
    """
    from scipy.special import expit  # here, since a head without context does without scipy

    half, held, centre = width // 2, deque[np.float32](), 0

    def mean(stop: int) -> np.float32:
        values = list(held)[:stop]
        return np.float32(expit(np.float32(sum(map(float, values), 0.0) / len(values))))

    for logit in logits:
        held.append(logit)
        if len(held) > half + centre:
            yield mean(centre + half + 1)
            if centre == half:
                held.popleft()
            else:
                centre += 1
    while len(held) > centre:
        yield mean(len(held))
        if centre == half:
            held.popleft()
        else:
            centre += 1


class EventTracker:
    """Finds the events that `PostProcessing.detect` finds, each when it has ended.

    What it holds are the seconds of the smoothing and those of an event that has not ended.

    Parameters
    ----------
    report
        Called with each event.
    """

    def __init__(self, post: PostProcessing, report: Callable[[DetectedEvent], object]) -> None:
        self._post, self._report = post, report
        self._half = post.smoothing_s // 2
        self._sums = deque([0.0])  # of all probabilities before a second, from the first one that is needed
        self._first_sum = self._second = self._received = 0
        # from the event's first second, else the one that is next
        self._probabilities: deque[float | np.float32] = deque()
        self._onset: int | None = None
        self._reached = False

    def add(self, probability: float | np.float32) -> None:
        """Take the probability of the next second.

        Raises
        ------
        UserError
            If it is not one.
        """
        require_probabilities(np.array([probability]))
        self._sums.append(self._sums[-1] + float(probability))
        self._probabilities.append(probability)
        self._received += 1
        if self._received > self._half:
            self._judge(np.inf)

    def finish(self, duration_s: float) -> None:
        """Take the end of the recording."""
        while self._second < self._received:
            self._judge(duration_s)
        self._end_event(duration_s)

    def _judge(self, duration_s: float) -> None:
        """Judge the next second."""
        first, stop = max(self._second - self._half, 0), min(self._second + self._half + 1, self._received)
        while self._first_sum < first:
            self._sums.popleft()
            self._first_sum += 1
        smoothed = (self._sums[stop - first] - self._sums[0]) / (stop - first)
        if smoothed >= self._post.threshold * self._post.hysteresis_ratio:
            self._onset = self._second if self._onset is None else self._onset
            self._reached |= smoothed >= self._post.threshold
        else:
            self._end_event(duration_s)
            self._probabilities.popleft()
        self._second += 1

    def _end_event(self, duration_s: float) -> None:
        """Report the event before the next second, if there is one; its seconds are no longer needed."""
        if self._onset is None:
            return
        seconds = self._second - self._onset
        probabilities = [self._probabilities.popleft() for _ in range(seconds)]
        if self._reached and seconds >= self._post.min_duration_s:
            stop_s = min(float(self._second), duration_s)
            confidence = float(np.array(probabilities, np.float32).mean())
            self._report(DetectedEvent(float(self._onset), stop_s, confidence))
        self._onset, self._reached = None, False
