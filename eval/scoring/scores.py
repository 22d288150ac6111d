"""SzCORE scores through timescoring, rank metrics, and both over persons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

from eval.scoring.counts import Interval, ReferenceEvents
from eval.scoring.events import DetectedEvent
from store import Event

_RATES = ("sensitivity", "precision", "f1", "fp_per_day")
COUNTS = ("event.tp", "event.fn", "event.fp")
SCORES = (  # of a person, in this order
    *("auroc", "auprc", "seconds", "ictal_seconds", "brier"),
    *(f"{group}.{rate}" for group in ("event", "sample") for rate in _RATES),
    *COUNTS,
)
_MASK_RATE_HZ = 10
_RESAMPLES = 10_000
HEADLINE = {  # scores that runs are compared by: heading, column of metrics.csv
    "AUROC": "auroc",
    "AUPRC": "auprc",
    "event F1": "event.f1",
    "event sens": "event.sensitivity",
    "event FP/day": "event.fp_per_day",
    "sample F1": "sample.f1",
}


@dataclass(frozen=True)
class Counts:
    """Events, or seconds, of which rates are made; counts of recordings add up."""

    reference: int
    hits: int  # references that were detected
    false_alarms: int
    seconds: float  # scored

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.reference + other.reference,
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.seconds + other.seconds,
        )

    def rates(self) -> dict[str, float]:
        """Rates as SzCORE defines them, nan where undefined (Dan et al., Epilepsia 2024).

        >>> Counts(reference=4, hits=3, false_alarms=1, seconds=43200).rates()
        {'sensitivity': 0.75, 'precision': 0.75, 'f1': 0.75, 'fp_per_day': 2.0}
        """
        return {
            "sensitivity": _ratio(self.hits, self.reference),
            "precision": _ratio(self.hits, self.hits + self.false_alarms),
            "f1": _ratio(2 * self.hits, self.hits + self.false_alarms + self.reference),
            "fp_per_day": _ratio(self.false_alarms * 86400, self.seconds),
        }


@dataclass(frozen=True)
class ScoredRecording:
    """One recording: its annotated seizures and what a head detected and predicted."""

    reference: tuple[Event, ...]
    detected: tuple[DetectedEvent, ...]
    duration_s: float
    labels: NDArray[Any]  # (T,) 1 where a second is seizure
    probabilities: NDArray[Any]  # (T,)

    @property
    def reference_intervals(self) -> list[Interval]:
        """``[onset_s, stop_s)`` of the annotated seizures."""
        return [(event.onset_s, event.onset_s + event.duration_s) for event in self.reference]

    @cached_property
    def reference_events(self) -> ReferenceEvents:
        """The annotated seizures as SzCORE counts them."""
        return ReferenceEvents.from_intervals(self.reference_intervals, self.duration_s)

    @property
    def detected_intervals(self) -> list[Interval]:
        """``[onset_s, stop_s)`` of the detections."""
        return [(event.onset_s, event.stop_s) for event in self.detected]


def count(recording: ScoredRecording) -> tuple[Counts, Counts]:
    """Count events and seconds by timescoring, with SzCORE's parameters.

    Both annotations are masks at 10 Hz, events at their exact times; timescoring merges, splits and widens
    events at that rate, and counts seconds at 1 Hz. Where there is neither, there is nothing to count.
    """
    if not recording.reference and not recording.detected:
        seconds = _count_mask_samples(recording.duration_s) / _MASK_RATE_HZ
        return Counts(0, 0, 0, seconds), Counts(0, 0, 0, float(round(seconds)))
    reference = _annotation(recording.reference_intervals, recording.duration_s)
    detected = _annotation(recording.detected_intervals, recording.duration_s)
    scores = EventScoring(reference, detected), SampleScoring(reference, detected)
    events, samples = (
        Counts(int(score.refTrue), int(score.tp), int(score.fp), score.numSamples / score.fs) for score in scores
    )
    return events, samples


def score_person(recordings: Sequence[ScoredRecording]) -> dict[str, float]:
    """Scores of one person by dotted name; rates derive from counts summed over the recordings.

    AUROC and AUPRC (average precision) rank all seconds of the person; nan when they are of one class. Brier
    is their mean squared error.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # here, since it takes a second to load

    labels = np.concatenate([recording.labels for recording in recordings])
    probabilities = np.concatenate([recording.probabilities for recording in recordings])
    counts = [count(recording) for recording in recordings]
    events, samples = (sum(group, Counts(0, 0, 0, 0)) for group in zip(*counts, strict=True))
    ictal_seconds = int(labels.sum())
    rankable = 0 < ictal_seconds < len(labels)
    return {
        "auroc": float(roc_auc_score(labels, probabilities)) if rankable else math.nan,
        "auprc": float(average_precision_score(labels, probabilities)) if rankable else math.nan,
        "seconds": len(labels),
        "ictal_seconds": ictal_seconds,
        "brier": float(np.mean((probabilities - labels) ** 2)),
        **{f"event.{name}": value for name, value in events.rates().items()},
        **{f"sample.{name}": value for name, value in samples.rates().items()},
        "event.tp": events.hits,
        "event.fn": events.reference - events.hits,
        "event.fp": events.false_alarms,
    }


def summarise(persons: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Mean, sd and interval of each column over the persons for whom it is defined, and their number.

    The sd is the sample sd (divisor n - 1; szcore-evaluation divides by n). The interval is the 95 % percentile
    bootstrap of the mean over persons. With fewer than two persons both are undefined.
    """
    intervals = {column: bootstrap_interval(values.dropna().to_numpy(), rng) for column, values in persons.items()}
    return pd.DataFrame(
        {
            "mean": persons.mean(),
            "sd": persons.std(ddof=1),
            "ci95_low": {column: low for column, (low, _) in intervals.items()},
            "ci95_high": {column: high for column, (_, high) in intervals.items()},
            "defined": persons.count(),
        }
    ).T


def bootstrap_interval(values: NDArray[Any], rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; nan for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    from scipy.stats import bootstrap  # as above

    low, high = bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=rng
    ).confidence_interval
    return float(low), float(high)


def metrics(persons: pd.DataFrame, summary: pd.DataFrame) -> dict[str, Any]:
    """Content of ``metrics.json``: undefined is None, dotted names become nested; counts stand apart."""
    counts = persons[list(COUNTS)]
    rows = {str(name): row.to_dict() for name, row in summary.drop(columns=list(COUNTS)).iterrows()}
    low, high = rows["ci95_low"], rows["ci95_high"]
    return {
        "persons": to_metrics_rows(persons),
        "mean": _nest(rows["mean"]),
        "sd": _nest(rows["sd"]),
        "ci95": _nest({name: [_none(low[name]), _none(high[name])] for name in low}),
        "defined": _nest({name: int(value) for name, value in rows["defined"].items()}),
        "counts": {
            "persons": {str(name): _nest(row)["event"] for name, row in counts.to_dict(orient="index").items()},
            "all": _nest(counts.sum().to_dict())["event"],
        },
        "timescoring": version("timescoring"),
    }


def to_metrics_rows(scores: pd.DataFrame) -> dict[str, Any]:
    """Rows of scores as ``metrics.json`` holds them, by the name of the row."""
    rows = scores.drop(columns=list(COUNTS)).to_dict(orient="index")
    return {str(name): _nest(row) for name, row in rows.items()}


def _annotation(intervals: Sequence[Interval], duration_s: float) -> Annotation:
    """Bring events into the form that timescoring takes for granted: in order, disjoint, in the recording.

    The way through a mask does that. An empty mask breaks it, so the shortest recording counts as one second.
    """
    samples = _count_mask_samples(duration_s)
    within = [(max(0.0, onset_s), stop_s) for onset_s, stop_s in intervals]
    return Annotation(Annotation(within, _MASK_RATE_HZ, samples).mask, _MASK_RATE_HZ)


def _count_mask_samples(duration_s: float) -> int:
    return max(_MASK_RATE_HZ, round(duration_s * _MASK_RATE_HZ))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _nest(row: Mapping[Any, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in row.items():
        group, _, field = str(name).rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[field] = _none(value)
    return nested
