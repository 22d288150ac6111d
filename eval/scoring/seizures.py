"""Seizures that were missed and false alarms, with their times. No I/O."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.scoring.counts import Interval, judge
from eval.scoring.scores import ScoredRecording

COLUMNS = ("person", "recording", "onset_s", "stop_s", "probability")


def find_misses(recordings: Mapping[str, Mapping[str, ScoredRecording]]) -> pd.DataFrame:
    """Missed seizures, least noticed first: ``probability`` is the largest in the seizure."""
    table = _collect(recordings, lambda *events: judge(*events).misses, np.max)
    return table.sort_values("probability", kind="stable", ignore_index=True)


def find_false_alarms(recordings: Mapping[str, Mapping[str, ScoredRecording]]) -> pd.DataFrame:
    """False alarms, surest first: ``probability`` is the mean in the event."""
    table = _collect(recordings, lambda *events: judge(*events).false_alarms, np.mean)
    return table.sort_values("probability", ascending=False, kind="stable", ignore_index=True)


def _collect(
    recordings: Mapping[str, Mapping[str, ScoredRecording]],
    choose: Callable[[list[Interval], list[Interval], float], tuple[Interval, ...]],
    summary: Callable[[NDArray[Any]], Any],
) -> pd.DataFrame:
    rows = []
    for person, own in recordings.items():
        for name, recording in own.items():
            reference = [(event.onset_s, event.onset_s + event.duration_s) for event in recording.reference]
            detected = [(event.onset_s, event.stop_s) for event in recording.detected]
            for onset_s, stop_s in choose(reference, detected, recording.duration_s):
                seconds = recording.probabilities[int(onset_s) : max(int(onset_s) + 1, int(np.ceil(stop_s)))]
                rows.append((person, name, onset_s, stop_s, float(summary(seconds))))
    return pd.DataFrame(rows, columns=list(COLUMNS))
