"""Choose the post-processing on validation persons."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from eval.scoring.calibration import fit_temperature
from eval.scoring.choice import (
    HYSTERESIS_RATIOS,
    MIN_DURATIONS_S,
    SMOOTHING_S,
    THRESHOLDS,
    PostProcessingChoice,
)
from eval.scoring.event_counter import EventCounter
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording


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
