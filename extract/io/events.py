"""Seizures as SzCORE's ``events.tsv`` annotates them.

epilepsy2bids reads such files too, but takes onsets below 0 or of nan, events past the end and unknown types
without a word. So this is ours.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from extract.io.annex import explain_absent_content
from extract.io.tables import Row, parse_table, read_content
from store.runtime.errors import UserError
from store.schema import Event

COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
REQUIRED_COLUMNS = COLUMNS[:3]
BACKGROUND = ("bckg", "impd")  # SeizeIT2 marks its checks of impedance so
EVENT_TOLERANCE_S = 0.02  # onset and duration are each written with two decimals


@dataclass(frozen=True)
class Annotations:
    """What an events file says of a recording."""

    events: tuple[Event, ...]  # seizures only, in order of onset
    start: str  # ISO date and time of the first sample, empty if it has no valid one
    sha256: str  # of the file


def read_annotations(path: Path, duration_s: float) -> Annotations:
    """Read a SzCORE ``events.tsv``.

    Parameters
    ----------
    path : Path
    duration_s : float
        Length of the recording.

    Raises
    ------
    UserError
        If there is no such file, a column or all rows are missing, a column is there twice, or a row is of unknown
        type, has no times, lasts no time, or ends too late.
    """
    content = _read_content(path)
    rows = _parse_rows(content, path)
    events = (_parse_event(row, f"{path}: line {row.line}", duration_s) for row in rows)
    seizures = sorted((event for event in events if event.kind not in BACKGROUND), key=lambda event: event.onset_s)
    return Annotations(tuple(seizures), _parse_start(rows[0]), hashlib.sha256(content).hexdigest())


def format_events(events: Sequence[Event], duration_s: float, start: datetime | None) -> str:
    """Text of a SzCORE ``events.tsv``: a row for each seizure, or one of background over the recording.

    >>> print(format_events([], 8.5, None).splitlines()[1].split())
    ['0.00', '8.50', 'bckg', 'n/a', 'n/a', 'n/a', '8.50']
    """
    date_time = f"{start:%Y-%m-%d %H:%M:%S}" if start else "n/a"
    rows = [
        (
            f"{event.onset_s:.2f}",
            f"{event.duration_s:.2f}",
            event.kind,
            "n/a",
            "n/a",
            date_time,
            f"{duration_s:.2f}",
        )
        for event in events or (Event(0.0, duration_s, BACKGROUND[0]),)
    ]
    return "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))


def hash_events(path: Path) -> str | None:
    """sha256 of an events file; None if there is none.

    Raises
    ------
    UserError
        If it cannot be read, or its content has not been fetched.
    """
    if not path.is_symlink() and not path.exists():
        return None
    return hashlib.sha256(_read_content(path)).hexdigest()


def _read_content(path: Path) -> bytes:
    if reason := explain_absent_content(path):
        raise UserError(f"{path}: {reason}")
    if not path.is_file():
        raise UserError(
            f"{path}: no such events file; write one, with one row of eventType bckg if the recording has no "
            "seizure, or accept recordings without one by --unlabelled"
        )
    return read_content(path)


def _parse_rows(content: bytes, path: Path) -> tuple[Row, ...]:
    table = parse_table(content, path)
    if not table.rows:
        raise UserError(f"{path}: has no event; a recording without seizure has one row of eventType bckg")
    if absent := [name for name in REQUIRED_COLUMNS if name not in table.columns]:
        raise UserError(
            f"{path}: no column {', '.join(absent)}; SzCORE has {', '.join(REQUIRED_COLUMNS)}, separated by tabs"
        )
    if twice := [name for name in REQUIRED_COLUMNS if table.columns.count(name) > 1]:
        raise UserError(f"{path}: has the column {twice[0]} twice; keep one of them")
    return table.rows


def _parse_event(row: Row, where: str, duration_s: float) -> Event:
    kind = row.cells["eventType"]
    if kind not in BACKGROUND and not kind.startswith("sz"):
        raise UserError(
            f"{where}: unknown eventType '{kind}'; allowed: {', '.join(BACKGROUND)}, or beginning with sz"
        )
    onset_s, length_s = (_parse_seconds(row.cells[name], f"{where}: {name}") for name in ("onset", "duration"))
    stop_s = onset_s + length_s
    if length_s == 0:
        raise UserError(f"{where}: event of duration 0 at {onset_s:.2f} s; give its duration, or remove the line")
    if stop_s > duration_s + EVENT_TOLERANCE_S:
        raise UserError(
            f"{where}: event ends at {stop_s:.2f} s, past the recording's end at {duration_s:.2f} s "
            f"(allowed: {EVENT_TOLERANCE_S} s for rounding); correct it, or fetch the whole recording"
        )
    return Event(onset_s, length_s, kind)


def _parse_start(row: Row) -> str:
    try:
        return datetime.fromisoformat(row.cells.get("dateTime", "")).isoformat()
    except ValueError:
        return ""


def _parse_seconds(text: str, where: str) -> float:
    """Non-negative number of seconds."""
    plain = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII)
    seconds = float(text) if plain else math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{where} is '{text}'; allowed: seconds, 0 or more")
    return seconds
