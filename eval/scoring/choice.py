"""Choose the post-processing on validation persons."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from eval.scoring.calibration import fit_temperature
from eval.scoring.event_counter import EventCounter
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording

THRESHOLDS = tuple(float(p) for p in (1 / (1 + np.exp(-np.arange(-5, 5.5, 0.5)))).round(4))  # even in log odds
HYSTERESIS_RATIOS = (1.0, 0.5)
SMOOTHING_S = (1, 5, 15)
MIN_DURATIONS_S = (1, 5, 10, 20)
TRIED = {
    "threshold": THRESHOLDS,
    "hysteresis_ratio": HYSTERESIS_RATIOS,
    "smoothing_s": SMOOTHING_S,
    "min_duration_s": MIN_DURATIONS_S,
}


@dataclass(frozen=True)
class PostProcessingChoice:
    """The post-processing of a fold, and its scores on the validation persons."""

    post: PostProcessing
    f1: float  # of events, mean over persons
    fp_per_day: float
    temperature: float = math.nan  # of its probabilities, nan if not known
    made_from: str = field(default="", compare=False)  # hash of predictions and labels, empty if not known

    @property
    def at_edge(self) -> bool:
        """Whether the threshold is the lowest or the highest that was tried."""
        return self.post.threshold in (THRESHOLDS[0], THRESHOLDS[-1])

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PostProcessingChoice":
        """Inverse of `to_json`; spellings of earlier versions are read, scores that are not there are nan.

        Raises
        ------
        UserError
            Naming the field that is missing or not such a number.
        """
        scores: Any = content
        for name in ("validation", "event"):
            scores = scores.get(name) if isinstance(scores, Mapping) else None
        scores = scores if isinstance(scores, Mapping) else {}
        f1, fp_per_day = (
            float(value) if isinstance(value, int | float) else math.nan
            for value in (scores.get("f1"), scores.get("fp_per_day"))
        )
        temperature = content.get("temperature")
        if not isinstance(temperature, int | float) or not temperature > 0:
            temperature = math.nan
        made_from = str(content.get("made_from", ""))
        return cls(PostProcessing.from_json(content), f1, fp_per_day, float(temperature), made_from)

    def to_json(self) -> dict[str, Any]:
        """Settings, their validation scores and what was tried."""
        return {
            **asdict(self.post),
            "temperature": None if math.isnan(self.temperature) else self.temperature,
            "validation": {"event": {"f1": self.f1, "fp_per_day": self.fp_per_day}},
            "tried": TRIED,
            **({"made_from": self.made_from} if self.made_from else {}),
        }


def choose_postprocessing(
    persons: Mapping[str, Sequence[ScoredRecording]], best_threshold: float
) -> PostProcessingChoice:
    """Choose the settings with the best event F1, mean over persons; ties go to fewer false alarms a day.

    Further ties go to the threshold nearest to ``best_threshold`` (of seconds) in log odds, then to the least
    processing. Persons without seizures count with their false alarms alone, since their F1 is 0 or undefined.
    The temperature is fitted to all seconds of the persons.
    """
    (negative_f1, fp_per_day, *_), post = min(_rank_settings(persons, best_threshold), key=lambda pair: pair[0])
    recordings = list(itertools.chain(*persons.values()))
    seconds = [(recording.labels, recording.probabilities) for recording in recordings]
    temperature = fit_temperature(*map(np.concatenate, zip(*seconds, strict=True)))
    return PostProcessingChoice(post, -negative_f1, fp_per_day, temperature)


def _rank_settings(
    persons: Mapping[str, Sequence[ScoredRecording]], best_threshold: float
) -> Iterator[tuple[tuple[float, float, float, float], PostProcessing]]:
    """Every setting with its rank, the lowest is the best."""
    counter = EventCounter(persons)
    with_seizures = counter.references > 0
    references = counter.references[with_seizures]
    for smoothing_s in SMOOTHING_S:
        tried = itertools.product(THRESHOLDS, HYSTERESIS_RATIOS, MIN_DURATIONS_S)
        posts = [PostProcessing(threshold, ratio, smoothing_s, shortest) for threshold, ratio, shortest in tried]
        hits, false_alarms = counter.count_detections(counter.smooth(smoothing_s), posts)
        hits, false = hits[:, with_seizures], false_alarms[:, with_seizures]
        f1 = (2 * hits / (hits + false + references)).mean(1) if len(references) else np.zeros(len(posts))
        fp_per_day = (false_alarms * 86400 / counter.seconds).mean(1)
        for post, negative_f1, rate in zip(
            posts, (-f1).round(9).tolist(), fp_per_day.round(9).tolist(), strict=True
        ):
            distance = round(abs(_log_odds(post.threshold) - _log_odds(best_threshold)), 9)
            processing = smoothing_s + post.min_duration_s + 1 - post.hysteresis_ratio
            yield (negative_f1, rate, distance, processing), post


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(clipped / (1 - clipped)))
