"""CHB-MIT as PhysioNet ships it."""

import shutil
from pathlib import Path

import pytest

from extract.io.datasets.chbmit import parse_summary, read
from store import Event
from store.runtime.errors import UserError
from tests.extract.io.datasets.trees import summary, write_chbmit, write_header
from tests.helpers.paths import REAL


@pytest.fixture
def summaries() -> Path:
    """The 24 annotation files of the real data set."""
    if not (REAL / "chbmit-summaries").is_dir():
        pytest.skip("needs ../shared/data/chbmit-summaries, real annotations that do not travel with the project")
    return REAL / "chbmit-summaries"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chbmit(tmp_path_factory.mktemp("data") / "chbmit", seconds=60)


def test_real_summaries(summaries: Path) -> None:
    listed: dict[str, tuple[Event, ...]] = {}
    for path in sorted(summaries.glob("chb*/chb*-summary.txt")):
        listed |= parse_summary(path.read_text(), str(path))
    seizures = [event for events in listed.values() for event in events]
    assert (len(listed), len(seizures), sum(event.duration_s for event in seizures)) == (676, 198, 11611)
    assert listed["chb17a_03.edf"] == (Event(2282.0, 90.0, "sz"),)
    on_disk = {line.split("/")[1] for line in (summaries / "RECORDS").read_text().split()}
    unlisted = [f"chb24_{number:02}.edf" for number in (2, 5, 8, 10, 12, 16, 18, 19, 20, 22)]
    assert sorted(on_disk - set(listed)) == unlisted


def test_real_summaries_equal_epilepsy2bids(summaries: Path) -> None:
    chbmit = pytest.importorskip("epilepsy2bids.load_annotations.chbmit", reason="needs the extra oracle")
    for path in sorted(summaries.glob("chb*/chb*-summary.txt")):
        for name, events in parse_summary(path.read_text(), str(path)).items():
            times = [(event.onset_s, event.onset_s + event.duration_s) for event in events]
            assert times == chbmit._loadSeizures(str(path.parent / name), path.parent.name, name), name


def test_whole_data_set_by_its_headers(summaries: Path, tmp_path: Path) -> None:
    shutil.copytree(summaries, tmp_path / "chbmit")
    for line in (summaries / "RECORDS").read_text().split():
        write_header(tmp_path / "chbmit" / line, 4 * 3600)
    data_set = read(tmp_path / "chbmit")
    assert len(data_set.recordings) == 686
    assert len({recording.name for recording in data_set.recordings}) == 686
    assert sum(recording.seizures is None for recording in data_set.recordings) == 10
    assert len({one.person for one in data_set.participants}) == 23
    by_subject = {one.subject: one for one in data_set.participants}
    assert (by_subject["21"].person, by_subject["21"].age, by_subject["06"].age) == ("01", "13", "1.5")
    assert (by_subject["04"].sex, by_subject["24"].sex) == ("m", "n/a")


def test_recordings_of_all_cases(root: Path) -> None:
    found = {one.path.name: one for one in read(root).recordings if one.info}
    assert {name: (one.subject, one.run) for name, one in found.items()} == {
        "chb01_01.edf": ("01", 0),
        "chb01_03.edf": ("01", 2),  # chb01_02 is in RECORDS alone
        "chb02_16+.edf": ("02", 0),
        "chb02_16.edf": ("02", 1),
        "chb21_19.edf": ("21", 0),
        "chb24_01.edf": ("24", 0),
        "chb24_02.edf": ("24", 1),
    }
    assert found["chb02_16+.edf"].seizures == (Event(10.0, 10.0, "sz"), Event(35.0, 15.0, "sz"))
    assert found["chb01_01.edf"].seizures == ()
    assert found["chb24_02.edf"].seizures is None


def test_numbers_of_runs_do_not_depend_on_what_was_fetched(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "chbmit")
    names = {one.path.name: one.name for one in read(root).recordings}
    (tmp_path / "chbmit" / "chb01" / "chb01_01.edf").unlink()
    (tmp_path / "chbmit" / "chb24" / "chb24_02.edf").unlink()
    assert {one.path.name: one.name for one in read(tmp_path / "chbmit").recordings} == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("File Name: a.edf\nNumber of Seizures in File: 1\n", "a.edf: 1 seizure announced, 0 starts and 0 ends"),
        (
            "File Name: a.edf\n",
            "a.edf: no number of seizures announced, 0 starts and 0 ends listed; fetch the file again",
        ),
        ("Number of Seizures in File: 0\n", "line 1 cannot be read: 'Number of Seizures in File: 0'"),
        (
            summary({"a.edf": [(9, 12)]}).replace("12 sec", "twelve sec"),
            "cannot be read: 'Seizure 1 End Time: twelve",
        ),
        ("", "chb01-summary.txt: lists no recording; fetch the file again"),
        ("Data Sampling Rate: 256 Hz\n****\n", "chb01-summary.txt: lists no recording; fetch the file again"),
        (summary({"a.edf": [(12, 9)]}), "a.edf: a seizure from 12 to 9 s; fetch the file again"),
        (summary({"a.edf": []}) + summary({"a.edf": []}), "a.edf is listed twice; fetch the file again"),
    ],
)
def test_damaged_summary(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^chb01-summary\.txt: ") as caught:
        parse_summary(text, "chb01-summary.txt")
    assert message in str(caught.value)


def test_seizures_of_other_ways_to_write_them() -> None:
    text = "file name:  a.edf \r\nNumber of Seizures in File: 1\r\nSEIZURE 12 START TIME:7 seconds\r\n"
    assert parse_summary(text + "Seizure End Time:   9 seconds", "") == {"a.edf": (Event(7.0, 2.0, "sz"),)}


def test_seizures_are_paired_in_their_order() -> None:
    """As chb09_08, whose second seizure ends as "Seizure 1"."""
    text = summary({"a.edf": [(2951, 3030), (9196, 9267)]}).replace("Seizure 2 End", "Seizure 1 End")
    assert parse_summary(text, "")["a.edf"] == (Event(2951.0, 79.0, "sz"), Event(9196.0, 71.0, "sz"))


def test_case_without_summary(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "chbmit")
    (tmp_path / "chbmit" / "chb02" / "chb02-summary.txt").unlink()
    with pytest.raises(UserError, match=r"chb02-summary\.txt: no such file; it lists the seizures, so fetch it"):
        read(tmp_path / "chbmit")


def test_wrong_folder(root: Path) -> None:
    with pytest.raises(UserError, match="no folder chb01 to chb24 in it; give the folder that holds them"):
        read(root / "chb01")
    with pytest.raises(UserError, match="no such folder; give the folder of the data set as it was downloaded"):
        read(root / "absent")
