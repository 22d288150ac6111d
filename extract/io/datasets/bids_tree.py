"""Plan the BIDS tree of a data set, with events in SzCORE's form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from braincodec_seizure import __version__
from extract.io.datasets.source import EdfInfo, Participant, SourceDataSet, SourceRecording
from extract.io.events import format_events
from store import Event
from store.runtime.errors import UserError
from store.runtime.plurals import list_names

ROUNDING_S = 1.0  # annotations are in whole seconds: a seizure that ends so little past its file ends with it
README = """{name}, as its authors ship it, under the names of BIDS and with the events of SzCORE.

Each EDF file here is a link to the file of the data set that scans.tsv names, or a copy of it.
Made by python -m extract.link of braincodec-seizure; run it again when the data set has changed.
"""


@dataclass(frozen=True)
class BidsTree:
    """Files of a BIDS data set by relative path: text to write, or an EDF file to link."""

    name: str  # of the data set
    texts: Mapping[str, str]
    links: Mapping[str, Path]
    persons: int
    duration_s: float
    seizures: int
    ictal_s: float
    unlisted: tuple[str, ...]  # on the disk, not in the annotations
    absent: tuple[str, ...]  # in the annotations, not on the disk
    notes: tuple[str, ...]


def build_tree(data_set: SourceDataSet, source: Path, unlisted: str, past_end: str) -> BidsTree:
    """Decide what goes into the tree.

    Parameters
    ----------
    data_set : SourceDataSet
    source : Path
        Its folder, to which names in messages are relative.
    unlisted : "leave-out" | "bckg"
        What to do with a recording that the annotations do not list: leave it out, or take it as background.
    past_end : "refuse" | "cut"
        What to do with a seizure that ends past its file's end.

    Raises
    ------
    UserError
        If nothing is left, two recordings would have one name, or a seizure ends past its file's end.
    """
    on_disk = [(recording, recording.info) for recording in data_set.recordings if recording.info is not None]
    kept = [pair for pair in on_disk if pair[0].seizures is not None or unlisted == "bckg"]
    if not kept:
        raise UserError(f"{source}: no EDF file that the annotations list; {_list_recordings(data_set, source)}")
    recordings = [recording for recording, _ in kept]
    _require_distinct(recordings, source)
    fitted, notes = fit_seizures(kept, source, past_end)
    texts, links = {}, {}
    for (recording, info), seizures in zip(kept, fitted, strict=True):
        stem = f"sub-{recording.subject}/ses-{recording.session}/eeg/{recording.name}"
        links[f"{stem}_eeg.edf"] = recording.path
        texts[f"{stem}_events.tsv"] = format_events(seizures, info.duration_s, info.start)
    subjects = {recording.subject for recording in recordings}
    participants = [row for row in data_set.participants if row.subject in subjects]
    return BidsTree(
        str(data_set.description["Name"]),
        texts | _scans(recordings, source) | _metadata(data_set, participants),
        links,
        persons=len({row.person for row in participants}),
        duration_s=sum(info.duration_s for _, info in kept),
        seizures=sum(map(len, fitted)),
        ictal_s=sum(event.duration_s for seizures in fitted for event in seizures),
        unlisted=tuple(_relative(recording, source) for recording, _ in on_disk if recording.seizures is None),
        absent=tuple(
            _relative(recording, source)
            for recording in data_set.recordings
            if recording.info is None and recording.seizures is not None
        ),
        notes=(*data_set.notes, *notes),
    )


def fit_seizures(
    recordings: Sequence[tuple[SourceRecording, EdfInfo]], source: Path, past_end: str
) -> tuple[list[tuple[Event, ...]], list[str]]:
    """Seizures of each recording that lie inside it, in order of onset, and what was cut or left out.

    Raises
    ------
    UserError
        If `past_end` is "refuse" and a seizure ends more than rounding past the end.
    """
    fitted, notes, outside = [], [], []
    for recording, info in recordings:
        inside = []
        for event in sorted(recording.seizures or (), key=lambda event: event.onset_s):
            stop_s = event.onset_s + event.duration_s
            times = f"{_relative(recording, source)}: seizure from {event.onset_s:g} to {stop_s:g} s"
            length_s = min(stop_s, info.duration_s) - event.onset_s
            if stop_s > info.duration_s + ROUNDING_S:
                outside.append(f"{times}, the file ends at {info.duration_s:g} s")
                notes.append(f"{outside[-1]}: {'cut' if length_s > 0 else 'left out'}")
            elif length_s <= 0:
                notes.append(f"{times}: without length, left out")
            if length_s > 0:
                inside.append(Event(event.onset_s, length_s, event.kind))
        fitted.append(tuple(inside))
    if outside and past_end == "refuse":
        more = f" (and {len(outside) - 1} more such seizures)" if len(outside) > 1 else ""
        raise UserError(f"{outside[0]}{more}; fetch the whole file, or give --past-end cut")
    return fitted, notes


def _scans(recordings: Sequence[SourceRecording], source: Path) -> dict[str, str]:
    """``scans.tsv`` of each session, which says what file each recording is."""
    sessions: dict[tuple[str, str], list[SourceRecording]] = {}
    for recording in recordings:
        sessions.setdefault((recording.subject, recording.session), []).append(recording)
    return {
        f"sub-{subject}/ses-{session}/sub-{subject}_ses-{session}_scans.tsv": _table(
            [
                ("filename", "source"),
                *((f"eeg/{member.name}_eeg.edf", _relative(member, source)) for member in members),
            ]
        )
        for (subject, session), members in sessions.items()
    }


def _metadata(data_set: SourceDataSet, participants: Sequence[Participant]) -> dict[str, str]:
    """Files at the tree's top."""
    description = {
        **data_set.description,
        "BIDSVersion": "1.8.0",
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "braincodec-seizure", "Version": __version__}],
    }
    splits = any(row.split for row in participants)
    columns = ("participant_id", "person_id", "source_id", "sex", "age", *(("split",) if splits else ()))
    rows = [
        (f"sub-{row.subject}", row.person, row.source_id, row.sex, row.age, *((row.split,) if splits else ()))
        for row in participants
    ]
    meaning = {
        "person_id": {"Description": "the person; subjects of one person share it"},
        "source_id": {"Description": "name of the subject in the data set as it was downloaded"},
        "sex": {"Levels": {"f": "female", "m": "male"}},
        "age": {"Units": "years"},
        **({"split": {"Description": "split of the data set's authors"}} if splits else {}),
    }
    return {
        "dataset_description.json": _to_json(description),
        "task-szMonitoring_eeg.json": _to_json({"TaskName": "szMonitoring", **data_set.sidecar}),
        "participants.tsv": _table([columns, *rows]),
        "participants.json": _to_json(meaning),
        "README": README.format(name=description["Name"]),
    }


def _require_distinct(recordings: Sequence[SourceRecording], source: Path) -> None:
    names: dict[str, SourceRecording] = {}
    for recording in recordings:
        other = names.setdefault(recording.name, recording)
        if other is not recording:
            names_of_both = f"{_relative(other, source)} and {_relative(recording, source)}"
            raise UserError(f"{source}: {names_of_both} would both be {recording.name}; move one of them out")


def _list_recordings(data_set: SourceDataSet, source: Path) -> str:
    names = [_relative(recording, source) for recording in data_set.recordings if recording.info is not None]
    if names:
        return f"there: {list_names(names, 5)}; --unlisted bckg takes these as background"
    return (
        f"listed: {list_names([_relative(recording, source) for recording in data_set.recordings], 5)}; fetch them"
    )


def _relative(recording: SourceRecording, source: Path) -> str:
    return recording.path.relative_to(source).as_posix()


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def _to_json(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, indent=2) + "\n"
