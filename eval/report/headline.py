"""The first lines that anyone reads of a scored run, on the terminal and in the report."""

import pandas as pd

from eval.report.tables import format_number
from eval.scoring.background import find_always_alarmed, measure_background

_HEADLINE = {"AUROC": "auroc", "event sensitivity": "event.sensitivity", "event F1": "event.f1"}


def describe_tested(persons: pd.DataFrame, persons_in_store: int) -> str:
    """How many persons were tested, and in whose background the detector is on most of the time."""
    text = f"{len(persons)} of {persons_in_store} persons tested"
    if alarmed := find_always_alarmed(persons):
        who = f"person{'s' * (len(alarmed) != 1)} {', '.join(alarmed)}"
        text += f"; the detector is on for more than half of the background of {who}"
    return text


def describe_time_in_alarm(time_in_alarm: pd.DataFrame) -> str:
    """Share of the time of unlabelled recordings in which the detector is on.

    >>> describe_time_in_alarm(pd.DataFrame({"recordings": [1, 2], "hours": [1.0, 3.0], "alarmed": [0.2, 0.0]}))
    '3 unlabelled recordings of 2 persons, 4.0 h: 5.0 % of the time in alarm'
    """
    hours = time_in_alarm["hours"]
    share = float((time_in_alarm["alarmed"] * hours).sum() / hours.sum())
    recordings, persons = int(time_in_alarm["recordings"].sum()), len(time_in_alarm)
    return (
        f"{recordings} unlabelled recording{'s' * (recordings != 1)} of {persons} person{'s' * (persons != 1)}, "
        f"{hours.sum():.1f} h: {share:.1%} of the time in alarm".replace("%", " %")
    )


def describe_scores(persons: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Mean scores with their 95 % intervals, and false alarms: a rate only where background suffices."""
    parts = []
    for heading, metric in _HEADLINE.items():
        mean, low, high = (format_number(summary[metric][row], 3) for row in ("mean", "ci95_low", "ci95_high"))
        interval = "" if low == "-" else f" ({low} to {high})"
        parts.append(f"{heading} {'undefined' if mean == '-' else mean}{interval}")
    background = measure_background(persons)
    per_day = float(summary["event.fp_per_day"]["mean"])
    return "; ".join([*parts, background.describe(float(persons["event.fp"].sum()), per_day)])
