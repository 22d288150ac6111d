"""What goes into a tree, and how it is written."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from extract.io.datasets.bids_tree import BidsTree, build_tree, fit_seizures
from extract.io.datasets.source import EdfInfo, Participant, SourceDataSet, SourceRecording
from store import Event
from store.runtime.errors import UserError

SOURCE = Path("/data/set")
INFO = EdfInfo(60.0, datetime(2076, 11, 6, 13, 43, 4), "")


def recording(
    name: str, run: int, *events: tuple[float, float], listed: bool = True, info: EdfInfo | None = INFO
) -> SourceRecording:
    seizures = tuple(Event(onset_s, stop_s - onset_s, "sz") for onset_s, stop_s in events)
    return SourceRecording(SOURCE / name, "01", "01", run, info, seizures if listed else None)


def build(*recordings: SourceRecording, unlisted: str = "leave-out", past_end: str = "refuse") -> BidsTree:
    participants = (Participant("01", "01", "case1", "f", "9"), Participant("02", "02", "case2"))
    return build_tree(SourceDataSet({"Name": "A"}, {}, recordings, participants), SOURCE, unlisted, past_end)


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_events_are_those_of_szcore() -> None:
    tree = build(recording("b.edf", 0, (30, 40.5), (10, 20)), recording("a.edf", 1))
    stem = "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-0"
    assert tree.links == {f"{stem}0_eeg.edf": SOURCE / "b.edf", f"{stem}1_eeg.edf": SOURCE / "a.edf"}
    header, *events = rows(tree.texts[f"{stem}0_events.tsv"])
    assert header == ["onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration"]
    assert events == [
        ["10.00", "10.00", "sz", "n/a", "n/a", "2076-11-06 13:43:04", "60.00"],
        ["30.00", "10.50", "sz", "n/a", "n/a", "2076-11-06 13:43:04", "60.00"],
    ]
    assert rows(tree.texts[f"{stem}1_events.tsv"])[1][:3] == ["0.00", "60.00", "bckg"]
    assert (tree.persons, tree.duration_s, tree.seizures, tree.ictal_s) == (1, 120.0, 2, 20.5)


def test_tables_name_persons_and_original_files() -> None:
    tree = build(recording("b.edf", 0))
    assert rows(tree.texts["participants.tsv"]) == [
        ["participant_id", "person_id", "source_id", "sex", "age"],
        ["sub-01", "01", "case1", "f", "9"],
    ]
    assert rows(tree.texts["sub-01/ses-01/sub-01_ses-01_scans.tsv"])[1] == [
        "eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf",
        "b.edf",
    ]
    description = json.loads(tree.texts["dataset_description.json"])
    assert (description["Name"], description["DatasetType"]) == ("A", "raw")


def test_what_is_on_one_side_only_is_named() -> None:
    recordings = (
        recording("a.edf", 0),
        recording("new.edf", 1, listed=False),
        recording("gone.edf", 2, info=None),
        recording("nowhere.edf", 3, listed=False, info=None),
    )
    tree = build(*recordings)
    assert (tree.unlisted, tree.absent, len(tree.links)) == (("new.edf",), ("gone.edf",), 1)
    tree = build(*recordings, unlisted="bckg")
    assert (tree.unlisted, len(tree.links)) == (("new.edf",), 2)
    assert "bckg" in tree.texts["sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-01_events.tsv"]


def test_seizure_past_the_end_is_refused_in_one_line() -> None:
    with pytest.raises(UserError) as caught:
        build(recording("a.edf", 0, (50, 90), (70, 80)))
    assert str(caught.value) == (
        "a.edf: seizure from 50 to 90 s, the file ends at 60 s (and 1 more such seizures); "
        "fetch the whole file, or give --past-end cut"
    )


def test_seizure_past_the_end_is_cut_on_demand() -> None:
    tree = build(recording("a.edf", 0, (50, 90), (70, 80)), past_end="cut")
    assert (tree.seizures, tree.ictal_s) == (1, 10.0)
    assert tree.notes == (
        "a.edf: seizure from 50 to 90 s, the file ends at 60 s: cut",
        "a.edf: seizure from 70 to 80 s, the file ends at 60 s: left out",
    )


def test_rounding_past_the_end_is_none() -> None:
    events, notes = fit_seizures([(recording("a.edf", 0, (50, 60.9), (7, 7)), INFO)], SOURCE, "refuse")
    assert events == [(Event(50.0, 10.0, "sz"),)]
    assert notes == ["a.edf: seizure from 7 to 7 s: without length, left out"]


def test_two_files_of_one_name() -> None:
    with pytest.raises(
        UserError, match=r"a\.edf and b\.edf would both be sub-01_\S+_run-00; move one of them out"
    ):
        build(recording("a.edf", 0), recording("b.edf", 0))


def test_nothing_left() -> None:
    with pytest.raises(UserError, match=r"no EDF file that the annotations list; listed: a\.edf; fetch them"):
        build(recording("a.edf", 0, info=None))
    with pytest.raises(UserError, match=r"there: b\.edf; --unlisted bckg takes these as background"):
        build(recording("b.edf", 0, listed=False))
