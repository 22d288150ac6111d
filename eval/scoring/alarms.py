"""Count alarms of a detector on people without known seizures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from eval.scoring.background import count_alarms, measure_background
from eval.scoring.results import Results
from store.runtime.plurals import count_noun


@dataclass(frozen=True)
class Alarms:
    """Alarms on persons that no pretraining saw."""

    persons: int
    left_out: int  # persons that pretraining saw
    false_alarms: float  # events outside seizures, in labelled recordings
    labelled_hours: float  # of these recordings, seizures left out
    hours: float  # labelled or not, seizures left out
    alarmed_hours: float
    heads: int = 1  # number of heads averaged
    spread: float | None = None  # sample sd over heads of the share in alarm

    @property
    def alarmed_share(self) -> float:
        """Share of the time in alarm; nan without any time."""
        return self.alarmed_hours / self.hours if self.hours else math.nan

    def describe(self) -> str:
        """Persons, hours, time in alarm and false alarms.

        >>> Alarms(2, 0, 3, 1.5, 2.0, 0.1).describe()
        '2 persons, 2.0 h: 5.0 % of the time in alarm, 3 false alarms in 1.5 h with labels'
        """
        text = f"{count_noun(self.persons, 'person')}, {self.hours:.1f} h: "
        text += f"{100 * self.alarmed_share:.1f} % of the time in alarm"
        if self.spread is not None:
            text += f" (mean over {self.heads} seeds, sd {100 * self.spread:.1f} %)"
        if self.labelled_hours:
            text += f", {count_alarms(self.false_alarms)} in {self.labelled_hours:.1f} h with labels"
        return f"{text}; {self.left_out} left out, seen in pretraining" if self.left_out else text


def measure_alarms(results: Results) -> Alarms:
    """Count alarms outside of seizures, and the time in alarm, on persons that no pretraining saw."""
    seen = set(results.persons_seen)
    known = [person for person in results.posts if person not in seen]
    scores, time_in_alarm = (table.filter(known, axis=0) for table in (results.persons, results.time_in_alarm()))
    return replace(sum_alarms(scores, time_in_alarm), left_out=len(results.posts) - len(known))


def sum_alarms(scores: pd.DataFrame, time_in_alarm: pd.DataFrame) -> Alarms:
    """Sum alarms of persons.

    Parameters
    ----------
    scores
        Of labelled recordings, one row per person.
    time_in_alarm
        Of unlabelled recordings, as `Results.time_in_alarm`.
    """
    background_hours = measure_background(scores).hours
    false_alarm_s = float((scores["sample.fp_per_day"] * scores["seconds"]).sum()) / 86400
    return Alarms(
        persons=len({*scores.index, *time_in_alarm.index}),
        left_out=0,
        false_alarms=float(scores["event.fp"].sum()),
        labelled_hours=background_hours,
        hours=background_hours + float(time_in_alarm["hours"].sum()),
        alarmed_hours=false_alarm_s / 3600 + float((time_in_alarm["hours"] * time_in_alarm["alarmed"]).sum()),
    )


def average_alarms(alarms: Sequence[Alarms]) -> Alarms:
    """Alarms of several heads on the same persons: the means, and the sample sd of the share in alarm."""
    shares = [head_alarms.alarmed_share for head_alarms in alarms if head_alarms.hours]
    return replace(
        alarms[0],
        false_alarms=float(np.mean([head_alarms.false_alarms for head_alarms in alarms])),
        alarmed_hours=float(np.mean([head_alarms.alarmed_hours for head_alarms in alarms])),
        heads=len(alarms),
        spread=float(np.std(shares, ddof=1)) if len(shares) > 1 else None,
    )
