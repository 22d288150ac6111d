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
HEADER = "\t".join(COLUMNS)
_DATE_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class DetectedEvent:
    """One detected seizure: ``[onset_s, stop_s)`` from the recording's start."""

    onset_s: float
    stop_s: float
    confidence: float  # mean probability, nan if not known

    def to_row(self, date_time: str = "n/a", recording_s: str = "n/a") -> str:
        """The row of a SzCORE events file; ``n/a`` is what is not known yet.

        >>> DetectedEvent(2, 5, 0.75).to_row().split()
        ['2.00', '3.00', 'sz', '0.75', 'n/a', 'n/a', 'n/a']
        """
        length_s = self.stop_s - self.onset_s
        confidence = "n/a" if math.isnan(self.confidence) else f"{self.confidence:.2f}"
        return f"{self.onset_s:.2f}\t{length_s:.2f}\tsz\t{confidence}\tn/a\t{date_time}\t{recording_s}"


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
        rows = [event.to_row(date_time, f"{self.duration_s:.2f}") for event in self.events]
        background = f"0.00\t{self.duration_s:.2f}\tbckg\tn/a\tn/a\t{date_time}\t{self.duration_s:.2f}"
        return "\n".join([HEADER, *(rows or [background])]) + "\n"

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


def _iso(text: str) -> str:
    return datetime.strptime(text, _DATE_TIME).isoformat()
