"""Siena as PhysioNet ships it, with what is odd in its lists."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from extract.io.datasets.siena import parse_list, read
from store.runtime.errors import UserError
from tests.extract.io.datasets.trees import SIENA_CHANNELS, SIENA_FILES, write_edf, write_siena

BLOCK = (
    "Seizure n 1\nFile name: PN03-1.edf\nRegistration start time: 22.44.37\n"
    "Seizure start time: 00.10.00\nSeizure end time: 00.10.50\n"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_siena(tmp_path_factory.mktemp("data") / "siena")


def test_every_odd_list_gives_the_right_seizures(root: Path) -> None:
    data_set = read(root)
    found = {one.path.name: one for one in data_set.recordings}
    for name, (_, seizures) in SIENA_FILES.items():
        events = found[name].seizures or ()
        assert [(event.onset_s, event.onset_s + event.duration_s) for event in events] == seizures, name
    kinds = {one.subject: {event.kind for event in one.seizures or ()} for one in data_set.recordings}
    assert kinds == {"00": {"sz_foc_ia"}, "01": {"sz_foc_f2b"}, "06": {"sz_foc_a"}, "11": {"sz"}}
    assert [one.run for one in data_set.recordings if one.subject == "00"] == [1, 2]
    people = {one.source_id: (one.person, one.sex, one.age) for one in data_set.participants}
    assert people["PN06"] == ("06", "f", "36")
    assert people["PN11"] == ("11", "n/a", "n/a")


def test_what_was_interpreted_is_noted(root: Path) -> None:
    notes = "\n".join(read(root).notes)
    for part in (
        "PN01.edf is PN01-1.edf",
        "PNO6-1.edf is PN06-1.edf",
        "PN11-.edf is PN11-1.edf",
        "'16.49.35 (CLINICAL ONSET); 16.49.41 (ELECTRIC ONSET)'), the electric one is taken",
        "'16.50.05 opure 16.49.55'), the first one is taken",
        "PN06-1.edf starts at 16.17.45 by the list, 19.17.45 by the EDF header, which is taken",
    ):
        assert part in notes
    assert notes.count("\n") == 5


@pytest.mark.parametrize("name", ["PN00-1.edf", "PN00-2.edf", "PN01-1.edf"])
def test_equals_epilepsy2bids_where_the_list_is_regular(root: Path, name: str) -> None:
    siena = pytest.importorskip("epilepsy2bids.load_annotations.siena", reason="needs the extra oracle")
    ours = next(one for one in read(root).recordings if one.path.name == name)
    theirs = siena.loadAnnotationsFromEdf(str(ours.path)).events
    assert [(one["onset"], one["duration"], one["eventType"].value) for one in theirs] == [
        (one.onset_s, one.duration_s, one.kind) for one in ours.seizures or ()
    ]


def test_known_typo_is_corrected(tmp_path: Path) -> None:
    write_edf(tmp_path / "PN00" / "PN00-3.edf", 900, ("EEG Fp1",), start=datetime(2016, 1, 1, 18, 15, 44))
    (tmp_path / "PN00" / "Seizures-list-PN00.txt").write_text(
        "Seizure n 3\nFile name: PN00-3.edf\nRegistration start time: 18.15.44\nRegistration end time: 18.57.13\n"
        "Seizure start time: 18.28.29\nSeizure end time: 19.29.29\n"
    )
    data_set = read(tmp_path)
    (event,) = data_set.recordings[0].seizures or ()
    assert (event.onset_s, event.duration_s) == (765.0, 60.0)
    assert "19.29.29 is past the end of PN00-3.edf, 18.29.29 is taken" in data_set.notes[0]


def test_start_by_the_list_where_the_header_has_none(tmp_path: Path) -> None:
    write_edf(tmp_path / "PN03" / "PN03-1.edf", 9, SIENA_CHANNELS[:2], start=None)
    (tmp_path / "PN03" / "Seizures-list-PN03.txt").write_text(BLOCK)
    (event,) = read(tmp_path).recordings[0].seizures or ()
    assert event.onset_s == 5123.0  # past midnight
    (tmp_path / "PN03" / "Seizures-list-PN03.txt").write_text(BLOCK.replace("Registration", "Registry"))
    with pytest.raises(UserError, match="neither the list nor the EDF header says when the recording starts"):
        read(tmp_path)


def test_recordings_on_one_side_only(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "siena")
    (tmp_path / "siena" / "PN00" / "PN00-1.edf").unlink()
    shutil.copy(root / "PN00" / "PN00-2.edf", tmp_path / "siena" / "PN00" / "PN00-9.edf")
    found = {
        one.path.name: (one.info is None, one.seizures is None) for one in read(tmp_path / "siena").recordings
    }
    assert found["PN00-1.edf"] == (True, False)
    assert found["PN00-9.edf"] == (False, True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("00.10.50", "soon", "line 5: 'soon' is not a clock time such as 19.58.36; correct it"),
        ("00.10.50", "25.10.50", "line 5: '25.10.50' is not a clock time"),
        ("Seizure start", "Begin of seizure start", "line 5: a seizure ends, and has no start; correct it"),
        ("Seizure end time: 00.10.50\n", "", "list: the last seizure has no end; correct it"),
        (
            "Seizure end time",
            "Seizure start time",
            "line 5: a seizure starts, the one before has no end; correct it",
        ),
        ("File name: PN03-1.edf\n", "", "line 2 cannot be read: 'Registration start time: 22.44.37'; correct it"),
        (BLOCK, "", "list: lists no seizure, and every patient has some; fetch the file again"),
        ("File name: PN03", "File name = PN03", "line 2 cannot be read: 'File name = PN03-1.edf'; correct it"),
    ],
)
def test_list_that_cannot_be_read(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_list(BLOCK.replace(old, new), "list")
    assert message in str(caught.value)


def test_wrong_folder(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder PN00 to PN17 in it; give the folder that holds them"):
        read(root / "PN00")
    shutil.copytree(root, tmp_path / "siena")
    (tmp_path / "siena" / "PN06" / "Seizures-list-PN06.txt").unlink()
    with pytest.raises(UserError, match=r"Seizures-list-PN06\.txt: no such file; it lists the seizures"):
        read(tmp_path / "siena")
