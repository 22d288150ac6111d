"""Choose the post-processing on validation persons; sweep thresholds. No I/O."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.scoring.counts import judge
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import Counts, ScoredRecording

THRESHOLDS = tuple(float(p) for p in (1 / (1 + np.exp(-np.arange(-5, 5.5, 0.5)))).round(4))  # even in log odds
RELEASES = (1.0, 0.5)
SMOOTHING_S = (1, 5, 15)
MIN_DURATIONS_S = (1, 5, 10, 20)


@dataclass(frozen=True)
class Choice:
    """What was chosen, and how well it did on the validation persons."""

    post: PostProcessing
    f1: float  # of events, mean over persons
    fp_per_day: float

    @property
    def at_edge(self) -> bool:
        """Whether the best threshold is the lowest or the highest that was tried."""
        return self.post.threshold in (THRESHOLDS[0], THRESHOLDS[-1])

    def to_json(self) -> dict[str, Any]:
        """Chosen settings, their validation scores and what was tried."""
        return {
            **asdict(self.post),
            "validation": {"event": {"f1": self.f1, "fp_per_day": self.fp_per_day}},
            "tried": {
                "threshold": THRESHOLDS,
                "release": RELEASES,
                "smoothing_s": SMOOTHING_S,
                "min_duration_s": MIN_DURATIONS_S,
            },
        }


def choose(persons: Mapping[str, Sequence[ScoredRecording]], prior: float) -> Choice:
    """Choose the settings with the best event F1, mean over persons; ties go to fewer false alarms a day.

    What is still equal goes to the threshold nearest to ``prior`` in log odds (the best one for seconds), then
    to the least processing.
    """
    (f1, fp_per_day, *_), post = min(_ranked(persons, prior), key=lambda pair: pair[0])
    return Choice(post, -f1, fp_per_day)


def sweep(persons: Mapping[str, Sequence[ScoredRecording]], posts: Mapping[str, PostProcessing]) -> pd.DataFrame:
    """Event rates over thresholds, mean over persons; each person keeps the rest of its post-processing.

    Returns
    -------
    A row a threshold: sensitivity, precision, f1, fp_per_day.
    """
    smoothed = {name: _smoothed({name: own}, posts[name].smoothing_s)[name] for name, own in persons.items()}
    rows = {}
    for threshold in THRESHOLDS:
        counts = {
            name: _count(own, smoothed[name], PostProcessing(**{**asdict(posts[name]), "threshold": threshold}))
            for name, own in persons.items()
        }
        rows[threshold] = pd.DataFrame([c.rates() for c in counts.values()]).mean()
    return pd.DataFrame(rows).T.rename_axis("threshold")


def _ranked(
    persons: Mapping[str, Sequence[ScoredRecording]], prior: float
) -> Iterator[tuple[tuple[float, float, float, float], PostProcessing]]:
    """Every setting with its rank, the lowest is the best."""
    for smoothing_s in SMOOTHING_S:
        smoothed = _smoothed(persons, smoothing_s)
        for threshold, release, min_duration_s in itertools.product(THRESHOLDS, RELEASES, MIN_DURATIONS_S):
            post = PostProcessing(threshold, release, smoothing_s, min_duration_s)
            rates = _rates(persons, smoothed, post)
            away = abs(_log_odds(threshold) - _log_odds(prior))
            work = smoothing_s + min_duration_s + 1 - release
            yield (round(-rates["f1"], 9), round(rates["fp_per_day"], 9), round(away, 9), work), post


def _rates(
    persons: Mapping[str, Sequence[ScoredRecording]],
    smoothed: Mapping[str, Sequence[NDArray[Any]]],
    post: PostProcessing,
) -> dict[str, float]:
    rates = [_count(own, smoothed[name], post).rates() for name, own in persons.items()]
    return {key: float(np.mean([rate[key] for rate in rates])) for key in ("f1", "fp_per_day")}


def _count(
    recordings: Sequence[ScoredRecording], smoothed: Sequence[NDArray[Any]], post: PostProcessing
) -> Counts:
    """Counts of one person."""
    total = Counts(0, 0, 0, 0)
    for recording, values in zip(recordings, smoothed, strict=True):
        reference = [(event.onset_s, event.onset_s + event.duration_s) for event in recording.reference]
        detected = [(float(first), float(stop)) for first, stop in post.runs(values).tolist()]
        outcome = judge(reference, detected, recording.duration_s)
        references = len(outcome.hits) + len(outcome.misses)
        total += Counts(references, len(outcome.hits), len(outcome.false_alarms), recording.duration_s)
    return total


def _smoothed(persons: Mapping[str, Sequence[ScoredRecording]], window_s: int) -> dict[str, list[NDArray[Any]]]:
    return {name: [smooth(r.probabilities, window_s) for r in own] for name, own in persons.items()}


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(clipped / (1 - clipped)))
