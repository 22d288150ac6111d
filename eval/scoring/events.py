"""Detected events, and the events files of SzCORE."""

import csv
import io
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.runtime.errors import UserError

COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
_DATE_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class DetectedEvent:
    """One detected seizure: ``[onset_s, stop_s)`` from the recording's start."""

    onset_s: float
    stop_s: float
    confidence: float  # mean probability, nan if not known


@dataclass(frozen=True)
class Detections:
    """All that was detected in one recording."""

    events: tuple[DetectedEvent, ...]
    duration_s: float
    start: str  # ISO date and time of the first sample, empty if not known

    def to_tsv(self) -> str:
        """Text of a SzCORE events file; one ``bckg`` row over the recording when nothing is detected.

        >>> print(Detections((DetectedEvent(2, 5, 0.75),), 8.5, "").to_tsv().splitlines()[1].split())
        ['2.00', '3.00', 'sz', '0.75', 'n/a', 'n/a', '8.50']
        """
        date_time = datetime.fromisoformat(self.start).strftime(_DATE_TIME) if self.start else "n/a"
        rows = [
            (event.onset_s, event.stop_s - event.onset_s, "sz", _number(event.confidence)) for event in self.events
        ]
        lines = [
            f"{onset_s:.2f}\t{duration_s:.2f}\t{kind}\t{confidence}\tn/a\t{date_time}\t{self.duration_s:.2f}"
            for onset_s, duration_s, kind, confidence in rows or [(0.0, self.duration_s, "bckg", "n/a")]
        ]
        return "\n".join(["\t".join(COLUMNS), *lines]) + "\n"

    @classmethod
    def from_tsv(cls, text: str, source: str) -> "Detections":
        """Inverse of `to_tsv`, to its two decimals; any seizure type is read, ``source`` names the file.

        Raises
        ------
        UserError
            If a column or every row is missing, or if a row is not understood or outside the recording.
        """
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
        if missing := [column for column in COLUMNS if column not in (rows[0] if rows else ())]:
            what = f"columns missing: {', '.join(missing)}" if rows else "no event and no bckg row"
            raise UserError(f"{source}: {what}; a SzCORE events file has the columns {', '.join(COLUMNS)}")
        events = []
        for line, row in enumerate(rows, start=2):
            try:
                onset_s, length_s, duration_s = (
                    float(row[column]) for column in ("onset", "duration", "recordingDuration")
                )
                confidence = math.nan if row["confidence"] == "n/a" else float(row["confidence"])
                start = "" if row["dateTime"] == "n/a" else _iso(row["dateTime"])
            except (TypeError, ValueError) as error:
                raise UserError(f"{source}, line {line}: {error}; expected seconds and dates or n/a") from error
            kind = row["eventType"]
            if kind != "bckg" and not kind.startswith("sz"):
                raise UserError(f"{source}, line {line}: eventType is {kind!r}; allowed: bckg and sz...")
            stop_s = round(onset_s + length_s, 2)
            if not 0 <= onset_s <= stop_s <= duration_s + 0.01:  # each of the figures is rounded
                raise UserError(
                    f"{source}, line {line}: event from {onset_s} to {stop_s} s is not within "
                    f"the recording of {duration_s} s"
                )
            if kind != "bckg":
                events.append(DetectedEvent(onset_s, min(stop_s, duration_s), confidence))
        return cls(tuple(events), duration_s, start)


def events_from_mask(
    mask: NDArray[np.bool_], probabilities: NDArray[Any], duration_s: float
) -> tuple[DetectedEvent, ...]:
    """Turn marked seconds, ``(T,)`` bool, into events that end no later than the recording.

    >>> events_from_mask(np.array([False, True, True]), np.array([0.0, 0.5, 1.0]), 2.5)
    (DetectedEvent(onset_s=1.0, stop_s=2.5, confidence=0.75),)
    """
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)
    return tuple(
        DetectedEvent(float(first), min(float(stop), duration_s), float(probabilities[first:stop].mean()))
        for first, stop in edges.tolist()
    )


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def _iso(text: str) -> str:
    return datetime.strptime(text, _DATE_TIME).isoformat()
