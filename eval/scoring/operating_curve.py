"""Sensitivity against false alarms: over thresholds, and at fixed rates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eval.scoring.choice import THRESHOLDS
from eval.scoring.event_counter import EventCounter
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import Counts, ScoredRecording

RATES_PER_DAY = (1.0, 2.0, 5.0, 12.0, 24.0)  # the last is one an hour


def sweep_thresholds(
    persons: Mapping[str, Sequence[ScoredRecording]], posts: Mapping[str, PostProcessing]
) -> pd.DataFrame:
    """Event scores over thresholds, mean over persons; each person keeps the rest of its post-processing.

    Returns
    -------
    One row per threshold: sensitivity, precision, f1, fp_per_day, and the number of false_alarms in all.
    """
    alike: dict[PostProcessing, list[str]] = {}  # persons whose post-processing differs by its threshold alone
    for person in persons:
        alike.setdefault(replace(posts[person], threshold=0.0), []).append(person)
    counted: dict[float, dict[str, Counts]] = {threshold: {} for threshold in THRESHOLDS}
    for post, names in alike.items():
        counter = EventCounter({name: persons[name] for name in names})
        smoothed = counter.smooth(post.smoothing_s)
        tried = [replace(post, threshold=threshold) for threshold in THRESHOLDS]
        for by_person, *counts in zip(counted.values(), *counter.count_detections(smoothed, tried), strict=True):
            columns = (counter.references, *counts, counter.seconds)
            of_persons = zip(*(column.tolist() for column in columns), strict=True)
            by_person.update({name: Counts(*row) for name, row in zip(names, of_persons, strict=True)})
    rows = {}
    for threshold, by_person in counted.items():
        counts = [by_person[person] for person in persons]
        rates = pd.DataFrame([count.rates() for count in counts]).mean()
        rows[threshold] = {**rates, "false_alarms": sum(count.false_alarms for count in counts)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("threshold")


def read_at_rates(curve: pd.DataFrame) -> pd.DataFrame:
    """Highest sensitivity on a curve at no more than each of the fixed false-alarm rates.

    Returns
    -------
    One row per rate: fp_per_day, fp_per_hour, sensitivity, threshold; nan where no threshold has so few.
    """
    rows = []
    for rate in RATES_PER_DAY:
        sensitivity = curve.loc[curve["fp_per_day"] <= rate, "sensitivity"].dropna()
        threshold = sensitivity.index[int(sensitivity.argmax())] if len(sensitivity) else np.nan
        rows.append((rate, rate / 24, sensitivity.max(), threshold))
    return pd.DataFrame(rows, columns=["fp_per_day", "fp_per_hour", "sensitivity", "threshold"])
