"""Choose the post-processing on validation persons."""

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

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

_SETTINGS = [
    PostProcessing(threshold, ratio, smoothing_s, shortest_s)
    for smoothing_s in SMOOTHING_S
    for threshold, ratio, shortest_s in itertools.product(THRESHOLDS, HYSTERESIS_RATIOS, MIN_DURATIONS_S)
]


def choose_postprocessing(
    persons: Mapping[str, Sequence[ScoredRecording]], best_threshold: float
) -> PostProcessingChoice:
    """Choose the settings with the best event F1, mean over persons; ties go to fewer false alarms a day.

    Further ties go to the threshold nearest to ``best_threshold`` (of seconds) in log odds, then to the least
    processing. Persons without seizures count with their false alarms alone, since their F1 is 0 or undefined.
    The temperature is fitted to all seconds of the persons.
    """
    f1, fp_per_day = _rate(EventCounter(persons), _SETTINGS)
    distance = np.abs(_log_odds([post.threshold for post in _SETTINGS]) - _log_odds([best_threshold])).round(9)
    processing = np.array([post.smoothing_s + post.min_duration_s - post.hysteresis_ratio for post in _SETTINGS])
    best = np.lexsort([processing, distance, fp_per_day, -f1])[0]
    recordings = list(itertools.chain(*persons.values()))
    seconds = [(recording.labels, recording.probabilities) for recording in recordings]
    temperature = fit_temperature(*map(np.concatenate, zip(*seconds, strict=True)))
    return PostProcessingChoice(_SETTINGS[best], float(f1[best]), float(fp_per_day[best]), temperature)


def _rate(
    counter: EventCounter, posts: Sequence[PostProcessing]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Event F1 and false alarms a day of each setting, ``(S,)`` each, means over persons."""
    counts = [
        counter.count_detections(counter.smooth(smoothing_s), alike)
        for smoothing_s, alike in itertools.groupby(posts, key=attrgetter("smoothing_s"))
    ]
    hits, false_alarms = (np.concatenate(parts) for parts in zip(*counts, strict=True))
    with_seizures = counter.references > 0
    references = counter.references[with_seizures]
    hits, false = hits[:, with_seizures], false_alarms[:, with_seizures]
    f1 = (2 * hits / (hits + false + references)).mean(1) if len(references) else np.zeros(len(posts))
    fp_per_day = (false_alarms * 86400 / counter.seconds).mean(1)
    return f1.round(9), fp_per_day.round(9)


def _log_odds(probabilities: Sequence[float]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    log_odds: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return log_odds
