"""Count alarms of a detector on people without known seizures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.scoring.background import count_alarms
from eval.scoring.results import Results
from eval.scoring.scores import ScoredRecording
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
    heads: int = 1  # whose mean the alarms are
    spread: float | None = None  # sample sd over heads of the share in alarm

    @property
    def alarmed_share(self) -> float:
        """Share of the time in alarm."""
        return self.alarmed_hours / self.hours

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
    tested = {*results.recordings, *results.unlabelled}
    known = [person for person in tested if person not in seen]
    labelled = [one for person in known for one in results.recordings.get(person, {}).values()]
    unlabelled = [one for person in known for one in results.unlabelled.get(person, {}).values()]
    false_alarms = sum(len(one.reference_events.match(one.detected_intervals).false_alarms) for one in labelled)
    labelled_s, alarmed_s = np.sum([(0.0, 0.0), *map(_measure_background, labelled)], axis=0).tolist()
    hours = sum(one.duration_s for one in unlabelled) / 3600
    alarmed_hours = sum(stop - onset for one in unlabelled for onset, stop in one.detected_intervals) / 3600
    return Alarms(
        persons=len(known),
        left_out=len(tested) - len(known),
        false_alarms=false_alarms,
        labelled_hours=labelled_s / 3600,
        hours=hours + labelled_s / 3600,
        alarmed_hours=alarmed_hours + alarmed_s / 3600,
    )


def average_alarms(alarms: Sequence[Alarms]) -> Alarms:
    """Alarms of several heads on the same persons: the means, and the sample sd of the share in alarm."""
    shares = [one.alarmed_share for one in alarms if one.hours]
    return replace(
        alarms[0],
        false_alarms=float(np.mean([one.false_alarms for one in alarms])),
        alarmed_hours=float(np.mean([one.alarmed_hours for one in alarms])),
        heads=len(alarms),
        spread=float(np.std(shares, ddof=1)) if len(shares) > 1 else None,
    )


def _measure_background(recording: ScoredRecording) -> tuple[float, float]:
    """Seconds that are labelled background, and how many of them are in alarm."""
    background = recording.labels == 0
    alarmed = np.zeros(len(background), bool)
    for onset_s, stop_s in recording.detected_intervals:
        alarmed[int(onset_s) : int(np.ceil(stop_s))] = True
    return float(background.sum()), float((alarmed & background).sum())
