"""Measure the scored background, and decide whether it is enough for a false-alarm rate."""

from dataclasses import dataclass

import pandas as pd

RATE_NEEDS_H = 24.0  # of background in all
_ALARMED_SHARE = 0.5  # of a person's background


@dataclass(frozen=True)
class Background:
    """Hours without seizure of all persons together."""

    hours: float

    @property
    def suffices(self) -> bool:
        """Whether false alarms are given as a rate."""
        return self.hours >= RATE_NEEDS_H

    @property
    def shortage(self) -> str:
        """What is missing for a rate.

        >>> Background(0.6).shortage
        '0.6 h of background: too little for a rate, which needs 24 h'
        """
        return f"{self.hours:.1f} h of background: too little for a rate, which needs {RATE_NEEDS_H:.0f} h"

    @property
    def note(self) -> str:
        """What is missing for a rate; empty if nothing is."""
        return "" if self.suffices else self.shortage

    def describe(self, false_alarms: float, per_day: float) -> str:
        """False alarms as a rate, or as a count where background is too little for one.

        >>> Background(30).describe(5, 4.0)
        '4.00 false alarms a day (0.167 an hour)'
        >>> Background(0.6).describe(3, 120.0)
        '3 false alarms in 0.6 h of background: too little for a rate, which needs 24 h'
        """
        if self.suffices:
            return f"{per_day:.2f} false alarms a day ({per_day / 24:.3f} an hour)"
        return f"{count_alarms(false_alarms)} in {self.shortage}"


def format_count(count: float) -> str:
    """A count, with a decimal where it is a mean over seeds.

    >>> format_count(3.0), format_count(10 / 3)
    ('3', '3.3')
    """
    return f"{count:.0f}" if round(count, 6) == round(count) else f"{count:.1f}"


def count_alarms(false_alarms: float) -> str:
    """False alarms, with a decimal where they are a mean over seeds.

    >>> count_alarms(1.0), count_alarms(10 / 3)
    ('1 false alarm', '3.3 false alarms')
    """
    return f"{format_count(false_alarms)} false alarm{'' if false_alarms == 1 else 's'}"


def measure_background(persons: pd.DataFrame) -> Background:
    """Background in the scores of persons, a row each, with ``seconds`` and ``ictal_seconds``."""
    return Background(float((persons["seconds"] - persons["ictal_seconds"]).sum()) / 3600)


def find_always_alarmed(persons: pd.DataFrame) -> list[str]:
    """Persons in more than half of whose background the detector is on."""
    background_s = persons["seconds"] - persons["ictal_seconds"]
    alarmed_s = persons["sample.fp_per_day"] * persons["seconds"] / 86400
    return sorted(map(str, persons.index[alarmed_s > _ALARMED_SHARE * background_s]))
