"""The BIDS edge: find recordings and whose they are, read seizure events."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import mne_bids
import mne_bids.config

from store.runtime.errors import UserError
from store.schema import Event

EXTENSIONS = tuple(mne_bids.config.allowed_extensions_eeg)
SAME_PERSON = {"chb21": "chb01"}  # CHB-MIT's own case names: one girl, recorded twice
EVENT_COLUMNS = ("onset", "duration", "eventType")
EVENT_TOLERANCE_S = 0.02  # onset and duration are each written with two decimals


@dataclass(frozen=True)
class Recording:
    """One EEG file of a BIDS data set and where its seizures are annotated."""

    name: str  # file name without _eeg and suffix
    path: Path
    events_path: Path
    subject: str
    person: str


def find_recordings(bids: Path, subjects: Sequence[str] | None = None) -> list[Recording]:
    """EEG recordings of a BIDS data set, sorted by name.

    Parameters
    ----------
    bids : Path
        Folder that holds ``sub-*``.
    subjects : sequence of str, optional
        Only these, written ``01`` or ``sub-01``; all by default.

    Raises
    ------
    UserError
        If there is no such folder.
    UserError
        If it holds no EEG, lacks a subject, or has a recording twice.
    """
    if not bids.is_dir():
        raise UserError(f"{bids}: no such folder; give the folder of a BIDS data set")
    paths = mne_bids.find_matching_paths(
        bids, suffixes="eeg", extensions=list(EXTENSIONS), datatypes="eeg", ignore_nosub=True
    )
    if not paths:
        raise UserError(
            f"{bids}: no EEG in this folder; a BIDS data set has "
            f"sub-*/[ses-*/]eeg/*_eeg with one of {', '.join(EXTENSIONS)}"
        )
    persons = _read_persons(bids / "participants.tsv")
    recordings: dict[str, Recording] = {}
    for path in paths:
        name, file = path.fpath.stem.removesuffix("_eeg"), path.fpath
        if name in recordings:
            raise UserError(f"{file}: the same recording as {recordings[name].path.name}; remove one of them")
        person = persons.get(path.subject, SAME_PERSON.get(path.subject, path.subject))
        recordings[name] = Recording(name, file, file.with_name(f"{name}_events.tsv"), path.subject, person)
    there = sorted({recording.subject for recording in recordings.values()})
    wanted = there if subjects is None else [subject.removeprefix("sub-") for subject in subjects]
    if absent := [subject for subject in wanted if subject not in there]:
        raise UserError(f"{bids}: no EEG of subject {', '.join(absent)}; subjects there: {', '.join(there)}")
    return [recordings[name] for name in sorted(recordings) if recordings[name].subject in wanted]


def read_events(path: Path, duration_s: float) -> tuple[Event, ...]:
    """Seizures of a SzCORE ``events.tsv``, in order of onset.

    Parameters
    ----------
    path : Path
    duration_s : float
        Length of the recording.

    Raises
    ------
    UserError
        If there is no such file.
    UserError
        If a column or all rows are missing, or a row is of unknown type, has no times, or ends too late.
    """
    events = []
    for number, row in enumerate(_read_event_rows(path), start=2):
        where, kind = f"{path}: line {number}", row["eventType"]
        if kind != "bckg" and not kind.startswith("sz"):
            raise UserError(f"{where}: unknown eventType '{kind}'; allowed: bckg, or beginning with sz")
        onset_s, duration = (_parse_seconds(row[name], f"{where}: {name}") for name in ("onset", "duration"))
        stop_s = onset_s + duration
        if stop_s > duration_s + EVENT_TOLERANCE_S:
            raise UserError(
                f"{where}: event ends at {stop_s:.2f} s, past the recording's end at {duration_s:.2f} s "
                f"(allowed: {EVENT_TOLERANCE_S} s for rounding); correct it, or fetch the whole recording"
            )
        if kind != "bckg":
            events.append(Event(onset_s, duration, kind))
    return tuple(sorted(events, key=lambda event: event.onset_s))


def read_start(path: Path) -> str:
    """ISO date and time of a recording's first sample from its ``events.tsv``; empty if it has no valid one."""
    try:
        return datetime.fromisoformat(_read_event_rows(path)[0].get("dateTime", "")).isoformat()
    except ValueError:
        return ""


def _read_table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a table of UTF-8 text ({error}); save it as such") from error


def _read_persons(path: Path) -> dict[str, str]:
    """Person of each subject that participants.tsv gives one."""
    rows = _read_table(path) if path.exists() else []
    given = {row.get("participant_id", "").removeprefix("sub-"): row.get("person_id", "n/a") for row in rows}
    return {subject: person for subject, person in given.items() if person not in ("", "n/a")}


def _read_event_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise UserError(f"{path}: no such events file; each recording needs one, bckg if without seizure")
    rows = _read_table(path)
    if not rows:
        raise UserError(f"{path}: has no event; a recording without seizure has one row of eventType bckg")
    if absent := [name for name in EVENT_COLUMNS if name not in rows[0]]:
        raise UserError(f"{path}: no column {', '.join(absent)}; SzCORE has {', '.join(EVENT_COLUMNS)}, by tabs")
    return rows


def _parse_seconds(text: str, where: str) -> float:
    """Non-negative number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(f"{where} is '{text}'; allowed: seconds, 0 or more")
    return seconds
