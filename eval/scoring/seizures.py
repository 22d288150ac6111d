"""Seizures that were missed and false alarms, with their times."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.scoring.counts import Interval, MatchedEvents, match_events
from eval.scoring.scores import ScoredRecording

COLUMNS = ("person", "recording", "onset_s", "stop_s", "probability")


def find_misses(recordings: Mapping[str, Mapping[str, ScoredRecording]]) -> pd.DataFrame:
    """Missed seizures, least noticed first: ``probability`` is the largest in the seizure."""
    table = _collect(recordings, lambda matched: matched.misses, np.max)
    return table.sort_values("probability", kind="stable", ignore_index=True)


def find_false_alarms(recordings: Mapping[str, Mapping[str, ScoredRecording]]) -> pd.DataFrame:
    """False alarms, surest first: ``probability`` is the mean in the event."""
    table = _collect(recordings, lambda matched: matched.false_alarms, np.mean)
    return table.sort_values("probability", ascending=False, kind="stable", ignore_index=True)


def _collect(
    recordings: Mapping[str, Mapping[str, ScoredRecording]],
    select: Callable[[MatchedEvents], tuple[Interval, ...]],
    summary: Callable[[NDArray[Any]], Any],
) -> pd.DataFrame:
    rows = []
    for person, by_name in recordings.items():
        for name, recording in by_name.items():
            matched = match_events(
                recording.reference_intervals, recording.detected_intervals, recording.duration_s
            )
            for onset_s, stop_s in select(matched):
                seconds = recording.probabilities[int(onset_s) : max(int(onset_s) + 1, int(np.ceil(stop_s)))]
                rows.append((person, name, onset_s, stop_s, float(summary(seconds))))
    return pd.DataFrame(rows, columns=list(COLUMNS))
