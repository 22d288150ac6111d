"""Post-processing: smoothing, threshold, hysteresis and minimum duration turn probabilities into events."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.events import DetectedEvent, events_from_mask
from heads.run_folder.fold_result import describe_invalid
from store.runtime.errors import UserError
from store.runtime.old_spellings import POSTPROCESSING, translate_keys


@dataclass(frozen=True)
class PostProcessing:
    """How probabilities become events; by default by the threshold alone.

    Examples
    --------
    >>> probabilities = np.array([0.1, 0.6, 0.9, 0.6, 0.1, 0.6])
    >>> PostProcessing(threshold=0.8, hysteresis_ratio=0.5).mask(probabilities).tolist()
    [False, True, True, True, False, False]
    """

    threshold: float  # an event has a second that reaches it
    hysteresis_ratio: float = 1.0  # and holds while seconds reach this share of the threshold
    smoothing_s: int = 1  # moving mean, odd, centred
    min_duration_s: int = 1  # shorter events are dropped

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PostProcessing":
        """Take the fields out of a larger record; spellings of earlier versions are read.

        Raises
        ------
        UserError
            Naming the field that is missing or not such a number.
        """
        record = translate_keys(content, POSTPROCESSING)
        return cls(
            _read_number(record, "threshold"),
            _read_number(record, "hysteresis_ratio"),
            _read_seconds(record, "smoothing_s"),
            _read_seconds(record, "min_duration_s"),
        )

    def runs(self, smoothed: NDArray[Any]) -> NDArray[np.int64]:
        """Events in smoothed probabilities ``(T,)``: first second and stop, ``(n, 2)``."""
        holds = smoothed >= self.threshold * self.hysteresis_ratio
        runs = np.flatnonzero(np.diff(holds, prepend=False, append=False)).reshape(-1, 2)
        reached = np.concatenate([[0], np.cumsum(smoothed >= self.threshold)])
        reaches = reached[runs[:, 1]] > reached[runs[:, 0]]
        events: NDArray[np.int64] = runs[reaches & (runs[:, 1] - runs[:, 0] >= self.min_duration_s)]
        return events

    def mask(self, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
        """Mark the seconds of events, ``(T,)`` bool."""
        mask = np.zeros(len(probabilities), bool)
        for first, stop in self.runs(smooth(probabilities, self.smoothing_s)):
            mask[first:stop] = True
        return mask

    def detect(self, probabilities: NDArray[Any], duration_s: float) -> tuple[DetectedEvent, ...]:
        """Events of a recording, from the probability of each second ``(T,)``.

        Raises
        ------
        UserError
            If a value is not a probability.
        """
        require_probabilities(probabilities)
        return events_from_mask(self.mask(probabilities), probabilities, duration_s)


def _read_number(record: dict[Any, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise UserError(f"{name} is {value!r}, expected a number")
    return float(value)


def _read_seconds(record: dict[Any, Any], name: str) -> int:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} is {value!r}, expected whole seconds, 1 or more")
    return value


def require_probabilities(values: NDArray[Any]) -> None:
    """Refuse values that are not within 0 to 1.

    Raises
    ------
    UserError
        With the number of those values and the first of them.
    """
    if problem := describe_invalid(values):
        raise UserError(problem)


def smooth(probabilities: NDArray[Any], window_s: int) -> NDArray[np.float64]:
    """Centred moving mean over the seconds that exist, ``(T,)`` float64.

    >>> smooth(np.array([0.0, 0.0, 0.9, 0.0]), 3).round(2).tolist()
    [0.0, 0.3, 0.3, 0.45]
    """
    sums = np.concatenate([[0.0], np.cumsum(probabilities, dtype=np.float64)])
    seconds = np.arange(len(probabilities))
    first = np.maximum(seconds - window_s // 2, 0)
    stop = np.minimum(seconds + window_s // 2 + 1, len(probabilities))
    means: NDArray[np.float64] = (sums[stop] - sums[first]) / (stop - first)
    return means
