"""From probabilities to seconds in seizure: smoothing, threshold, hysteresis, minimum length. No I/O."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring.events import DetectedEvent, find_events
from store.runtime.errors import UserError


@dataclass(frozen=True)
class PostProcessing:
    """How probabilities become events; a threshold alone does nothing else.

    Examples
    --------
    >>> probabilities = np.array([0.1, 0.6, 0.9, 0.6, 0.1, 0.6])
    >>> PostProcessing(threshold=0.8, release=0.5).mask(probabilities).tolist()
    [False, True, True, True, False, False]
    """

    threshold: float  # an event has a second that reaches it
    release: float = 1.0  # and holds while seconds reach this share of the threshold
    smoothing_s: int = 1  # moving mean, odd, centred
    min_duration_s: int = 1  # shorter events are dropped

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PostProcessing":
        """Take the fields out of a larger record.

        Raises
        ------
        KeyError
            If one is missing.
        """
        return cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})

    def runs(self, smoothed: NDArray[Any]) -> NDArray[np.int64]:
        """Events in smoothed probabilities ``(T,)``: first second and stop, ``(n, 2)``."""
        edges = np.flatnonzero(np.diff(smoothed >= self.threshold * self.release, prepend=False, append=False))
        runs = edges.reshape(-1, 2)
        reached = np.concatenate([[0], np.cumsum(smoothed >= self.threshold)])
        begun = reached[runs[:, 1]] > reached[runs[:, 0]]
        kept: NDArray[np.int64] = runs[begun & (runs[:, 1] - runs[:, 0] >= self.min_duration_s)]
        return kept

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
            If a value is no probability.
        """
        odd = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
        if len(odd):
            raise UserError(f"{len(odd)} values are no probabilities (0 to 1), the first is {odd[0]}")
        return find_events(self.mask(probabilities), probabilities, duration_s)


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
