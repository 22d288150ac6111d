"""TUSZ as NEDC ships it."""

import shutil
from pathlib import Path

import pytest

from extract.io.datasets.tusz import KINDS, SEIZURES, parse_rows, read
from store import Event
from store.runtime.errors import UserError
from tests.extract.io.datasets.trees import tusz_rows, write_tusz


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tusz(tmp_path_factory.mktemp("data") / "tusz")


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "tusz")
    return tmp_path / "tusz"


def test_names_splits_and_seizures(root: Path) -> None:
    data_set = read(root)
    assert {one.path.stem: one.name for one in data_set.recordings} == {
        "aaaaaaac_s001_t000": "sub-aaaaaaac_ses-001_task-szMonitoring_run-00",
        "aaaaaaac_s001_t001": "sub-aaaaaaac_ses-001_task-szMonitoring_run-01",
        "aaaaaaac_s004_t000": "sub-aaaaaaac_ses-004_task-szMonitoring_run-00",
        "aaaaaaju_s001_t003": "sub-aaaaaaju_ses-001_task-szMonitoring_run-03",
        "aaaaaajy_s002_t000": "sub-aaaaaajy_ses-002_task-szMonitoring_run-00",
        "aaaaaaaq_s007_t001": "sub-aaaaaaaq_ses-007_task-szMonitoring_run-01",
    }
    assert {one.subject: one.split for one in data_set.participants} == {
        "aaaaaaac": "train",
        "aaaaaaju": "train",
        "aaaaaajy": "dev",
        "aaaaaaaq": "eval",
    }
    assert {(one.sex, one.age) for one in data_set.participants} == {("f", "52")}
    seizures = {one.path.stem: one.seizures for one in data_set.recordings}
    assert seizures["aaaaaaac_s001_t000"] == (Event(10.25, 25.25, "sz_foc_ia"),)  # kind of the .csv
    assert seizures["aaaaaaac_s001_t001"] == ()
    assert seizures["aaaaaaaq_s007_t001"] == (Event(15.0, 35.0, "sz"),)  # no .csv
    assert seizures["aaaaaajy_s002_t000"] == (
        Event(20.0, 25.0, "sz_gen_m_tonicClonic"),
    )  # no .csv_bi: channels joined


def test_folder_of_the_splits_is_the_same(root: Path) -> None:
    assert {one.name for one in read(root / "edf").recordings} == {one.name for one in read(root).recordings}


def test_kinds_are_those_of_szcore() -> None:
    annotations = pytest.importorskip("epilepsy2bids.annotations", reason="needs the extra oracle")
    assert set(KINDS.values()) <= set(annotations.SeizureType.__members__)


def test_times_equal_epilepsy2bids(root: Path) -> None:
    tuh = pytest.importorskip("epilepsy2bids.load_annotations.tuh", reason="needs the extra oracle")
    for recording in read(root).recordings:
        if recording.path.with_suffix(".csv_bi").is_file():
            times = [(event.onset_s, event.onset_s + event.duration_s) for event in recording.seizures or ()]
            assert times == tuh.loadAnnotationsFromEdf(str(recording.path)).getEvents()


def test_every_label_but_background_is_a_seizure() -> None:
    text = tusz_rows([("TERM", 0, 1, "bckg"), ("TERM", 1, 2, "nesz"), ("TERM", 2, 3, "SEIZ")], 60)
    assert [row.label for row in parse_rows(text, "")] == ["nesz", "seiz"]
    everyone = tusz_rows([("FP1-F7", 0, 1, label) for label in ("bckg", *SEIZURES)], 60)
    assert tuple(row.label for row in parse_rows(everyone, "")) == SEIZURES
    assert len(SEIZURES) == 12


def test_recordings_on_one_side_only(root: Path) -> None:
    session = root / "edf/train/aaaaaaac/s001_2002/02_tcp_le"
    (session / "aaaaaaac_s001_t000.edf").unlink()
    for suffix in (".csv", ".csv_bi"):
        (session / f"aaaaaaac_s001_t001{suffix}").unlink()
    found = {one.path.stem: (one.info is None, one.seizures is None) for one in read(root).recordings}
    assert found["aaaaaaac_s001_t000"] == (True, False)
    assert found["aaaaaaac_s001_t001"] == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>denied</html>", "no column channel, start_time, stop_time, label; expected channel,start_time"),
        (tusz_rows([("TERM", 9, 2, "seiz")], 60), "a row 'TERM,9.0000,2.0000,seiz,1.0000'; fetch it again"),
        (
            tusz_rows([("TERM", 1, 2, "artf")], 60),
            "label 'artf' is none of TUSZ; allowed: bckg, seiz, fnsz, gnsz,",
        ),
        (tusz_rows([], 60) + "TERM,1.0", "a row 'TERM,1.0,None,None,None'; fetch it again"),
        (tusz_rows([], 60) + "TERM,1.0,x,seiz,1.0", "a row 'TERM,1.0,x,seiz,1.0'; fetch it again"),
        ("channel,start_time,stop_time,label,confidence\n", "has no row, not even of background; fetch it again"),
        (tusz_rows([], 60) + "TERM,nan,2,seiz,1.0", "a row 'TERM,nan,2,seiz,1.0'; fetch it again"),
    ],
)
def test_damaged_annotations(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^a\.csv_bi: ") as caught:
        parse_rows(text, "a.csv_bi")
    assert message in str(caught.value)


def test_patient_in_two_splits(root: Path) -> None:
    shutil.copytree(root / "edf/train/aaaaaaju", root / "edf/dev/aaaaaaju")
    with pytest.raises(UserError, match="patient aaaaaaju is in train too; a person belongs to one split"):
        read(root)


def test_file_of_another_name(root: Path) -> None:
    shutil.copy(
        root / "edf/train/aaaaaaju/s001_2010/01_tcp_ar/aaaaaaju_s001_t003.edf", root / "edf/train/mine.edf"
    )
    with pytest.raises(UserError, match=r"mine\.edf: not named as PATIENT_s001_t000\.edf; move it out"):
        read(root)


def test_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="nothing in edf/train, edf/dev or edf/eval; give the folder that holds edf"
    ):
        read(tmp_path)
