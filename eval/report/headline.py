"""The most important lines about a scored run, for the terminal and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.report.tables import format_number
from eval.scoring.background import find_always_alarmed, format_count, measure_background
from eval.scoring.results import share_in_alarm
from store.runtime.plurals import count_noun, noun_with_names

_HEADLINE = {"AUROC": "auroc", "event sensitivity": "event.sensitivity", "event F1": "event.f1"}


@dataclass(frozen=True)
class HeadlineNumber:
    """A number that is read first, and its interval or what it lacks."""

    name: str
    value: str
    note: str


def describe_tested(persons: pd.DataFrame, persons_in_store: int) -> str:
    """How many persons were tested, and in whose background the detector is on most of the time."""
    if persons.empty:
        return "no tested recording is labelled"
    text = f"{len(persons)} of {count_noun(persons_in_store, 'person')} tested"
    if alarmed := find_always_alarmed(persons):
        who = noun_with_names("person", alarmed)
        text += f"; the detector is on for more than half of the background of {who}"
    return text


def describe_split(split: Mapping[str, Any]) -> str:
    """Who trains, chooses and is tested in a given split.

    >>> describe_split({"given": "participants:split", "train": 20, "validation": 4, "test": 6})
    'given split participants:split: 20 persons to train, 4 to choose, 6 to test'
    """
    return (
        f"given split {split['given']}: {count_noun(split['train'], 'person')} to train, {split['validation']} to "
        f"choose, {split['test']} to test"
    )


def describe_time_in_alarm(time_in_alarm: pd.DataFrame) -> str:
    """Share of the time of unlabelled recordings in which the detector is on.

    >>> describe_time_in_alarm(pd.DataFrame({"recordings": [1, 2], "hours": [1.0, 3.0], "alarmed": [0.2, 0.0]}))
    '3 unlabelled recordings of 2 persons, 4.0 h: 5.0 % of the time in alarm'
    """
    hours = time_in_alarm["hours"]
    share = share_in_alarm(time_in_alarm)
    recordings, persons = int(time_in_alarm["recordings"].sum()), len(time_in_alarm)
    return (
        f"{count_noun(recordings, 'unlabelled recording')} of {count_noun(persons, 'person')}, "
        f"{hours.sum():.1f} h: {100 * share:.1f} % of the time in alarm"
    )


def describe_scores(persons: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Mean scores with their 95 % intervals, and false alarms: a rate only where background suffices."""
    parts = []
    for heading, metric in _HEADLINE.items():
        mean, interval = _format_mean(summary, metric, 3)
        parts.append(f"{heading} {'undefined' if mean == '-' else mean}{interval and f' ({interval})'}")
    background = measure_background(persons)
    per_day = float(summary["event.fp_per_day"]["mean"])
    return "; ".join([*parts, background.describe(float(persons["event.fp"].sum()), per_day)])


def list_headline_numbers(persons: pd.DataFrame, summary: pd.DataFrame) -> list[HeadlineNumber]:
    """AUROC, event sensitivity, event F1 and false alarms, with 95 % intervals over persons."""
    numbers = []
    for name, metric in _HEADLINE.items():
        mean, interval = _format_mean(summary, metric, 3)
        numbers.append(HeadlineNumber(name, mean, _note(interval)))
    background = measure_background(persons)
    if background.suffices:
        mean, interval = _format_mean(summary, "event.fp_per_day", 2)
        return [*numbers, HeadlineNumber("false alarms a day", mean, _note(interval))]
    alarms = format_count(float(persons["event.fp"].sum()))
    return [*numbers, HeadlineNumber("false alarms", alarms, f"in {background.shortage}")]


def _note(interval: str) -> str:
    return f"95 % interval {interval}" if interval else "no interval: too few persons"


def _format_mean(summary: pd.DataFrame, metric: str, decimals: int) -> tuple[str, str]:
    """Mean, a dash where it is undefined, and its interval, empty where there is none."""
    rows = ("mean", "ci95_low", "ci95_high")
    mean, low, high = (format_number(summary[metric][row], decimals) for row in rows)
    return mean, "" if low == "-" else f"{low} to {high}"
