"""Finding the recordings of tiny data sets: each file that looks like one is found, or named with a reason."""

import errno
import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from extract.io.bids import DataSet, find_data_set, find_recordings
from store.runtime.errors import UserError
from tests.helpers.eeg import noise_uv, write_recording


def add_file(bids: Path, folder: str, name: str) -> Path:
    path = bids / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0")
    return path


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    root = tmp_path / "bids"
    for folder, stem in [
        ("sub-02/eeg", "sub-02_task-rest"),
        ("sub-01/ses-02/eeg", "sub-01_ses-02_task-sz_run-00"),
        ("sub-01/ses-01/eeg", "sub-01_ses-01_task-sz_run-01"),
        ("sub-chb21/eeg", "sub-chb21_task-sz"),
        ("derivatives/x/sub-09/eeg", "sub-09_task-sz"),
    ]:
        add_file(root, folder, f"{stem}_eeg.edf")
        add_file(root, folder, f"{stem}_events.tsv")
    return root


def names(found: DataSet) -> list[str]:
    return [recording.name for recording in found.recordings]


def reasons(found: DataSet) -> dict[str, str]:
    """Why files are left out, by their names."""
    left_out = {ignored.path.name: ignored.reason for ignored in found.ignored}
    return left_out | {r.path.name: r.problem for r in found.recordings + found.misnamed if r.problem}


def test_recordings_are_found_and_sorted(bids: Path) -> None:
    found = find_recordings(bids)
    assert [recording.name for recording in found] == [
        "sub-01_ses-01_task-sz_run-01",
        "sub-01_ses-02_task-sz_run-00",
        "sub-02_task-rest",
        "sub-chb21_task-sz",
    ]
    assert [(recording.subject, recording.person) for recording in found[1:]] == [
        ("01", "01"),
        ("02", "02"),
        ("chb21", "chb01"),
    ]
    for recording in found:
        assert recording.path.is_file()
        assert recording.events_path.is_file()
        assert pickle.loads(pickle.dumps(recording)) == recording
    assert not reasons(find_data_set(bids))


@pytest.mark.parametrize("subjects", [["02"], ["sub-02"]])
def test_subjects_are_selected(bids: Path, subjects: Sequence[str]) -> None:
    assert [recording.subject for recording in find_recordings(bids, subjects)] == ["02"]


def test_all_formats_are_found(tmp_path: Path) -> None:
    for number, suffix in enumerate((".edf", ".bdf", ".vhdr", ".set", ".eeg", ".fdt", ".json")):
        add_file(tmp_path, f"sub-{number}/eeg", f"sub-{number}_task-x_eeg{suffix}")
    suffixes = [recording.path.suffix for recording in find_recordings(tmp_path)]
    assert suffixes == [".edf", ".bdf", ".vhdr", ".set"]


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: a file; give the folder of a BIDS data set"):
        find_recordings(tmp_path / "file")
    with pytest.raises(UserError, match="none: no such folder; give the folder of a BIDS data set"):
        find_recordings(tmp_path / "none")


def test_no_eeg(tmp_path: Path) -> None:
    (tmp_path / "sub-01_eeg.edf").touch()
    with pytest.raises(UserError, match=r"no EEG in this folder; a BIDS data set has sub-\*/.*\.edf"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("folder", ["sub-01", "sub-01/ses-01", "sub-01/ses-01/eeg", "derivatives"])
def test_a_folder_within_a_data_set(bids: Path, folder: str) -> None:
    (bids / "dataset_description.json").write_text("{}")
    with pytest.raises(UserError, match=f"{folder}: lies within the data set {bids}; give that folder$"):
        find_recordings(bids / folder)


def test_a_data_set_whose_folder_is_called_eeg(bids: Path) -> None:
    bids = bids.rename(bids.with_name("eeg"))
    add_file(bids, ".", "sub-01_ses-01_task-x_eeg.edf")
    (ignored,) = find_data_set(bids).ignored
    assert ignored.reason == "is not in a folder called eeg; move it there"


def test_no_such_subject(bids: Path) -> None:
    with pytest.raises(UserError, match="no EEG of subject 07; subjects there: 01, 02, chb21"):
        find_recordings(bids, ["02", "sub-07"])


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("sub-02_task-late_eeg.EDF", "sub-02_task-late"),
        ("sub-02_run-01_task-late_eeg.Edf", "sub-02_run-01_task-late"),
        ("sub-02_task-late_part-02_eeg.bdf", "sub-02_task-late_part-02"),
        ("sub-02_task-late_desc-filtered_eeg.edf", "sub-02_task-late_desc-filtered"),  # without an original
        ("sub-02_task-Z\u00fcrich\u9ad8_eeg.edf", "sub-02_task-Z\u00fcrich\u9ad8"),
        ("sub-02_task-a.b_eeg.edf", "sub-02_task-a.b"),
    ],
)
def test_unusual_names_that_are_found(bids: Path, name: str, recording: str) -> None:
    path = add_file(bids, "sub-02/eeg", name)
    found = find_data_set(bids)
    assert len(found.recordings) == 5
    (added,) = [r for r in found.recordings if r.name == recording]
    assert (added.path, added.problem) == (path, None)
    assert added.events_path == path.with_name(f"{recording}_events.tsv")
    assert found.ignored == found.misnamed == ()


@pytest.mark.parametrize(
    ("folder", "name", "reason"),
    [
        ("sub-02/eeg", "Copy of sub-02_task-rest_eeg.edf", "its name is not a BIDS name"),
        ("sub-02/eeg", "sub-02_task-rest_eeg (1).edf", "its name does not end in _eeg"),
        ("sub-02/eeg", "sub-02_task-rest copy_eeg.edf", "its name is not a BIDS name"),
        ("sub-02/eeg", "night.edf", "its name does not end in _eeg"),
        ("sub-02/eeg", "sub-03_task-x_eeg.edf", "its name says sub-03, its folder sub-02; move or rename it"),
        (
            "sub-01/ses-01/eeg",
            "sub-01_ses-09_task-x_eeg.edf",
            "its name says sub-01_ses-09, its folder sub-01/ses-01",
        ),
        ("sub-01/ses-01", "sub-01_ses-01_task-x_eeg.edf", "is not in a folder called eeg; move it there"),
        ("sub-01/ses-01/EEG", "sub-01_ses-01_task-x_eeg.edf", "is not in a folder called eeg; move it there"),
        (".", "sub-01_ses-01_task-x_eeg.edf", "is not in a folder called eeg; move it there"),
        ("Sub-03/eeg", "Sub-03_task-x_eeg.edf", "its folder is called Sub-03; rename it to sub-03"),
        ("sub-02/eeg", "sub-02_task-rest_desc-filtered_eeg.edf", "made from sub-02_task-rest_eeg.edf"),
        ("sub-02/eeg", "sub-02_task-rest_eeg.edf.gz", "a packed copy of sub-02_task-rest_eeg.edf"),
    ],
)
def test_files_beside_the_recordings_are_named_and_stop_nothing(
    bids: Path, folder: str, name: str, reason: str
) -> None:
    add_file(bids, folder, name)
    found = find_data_set(bids)
    assert len(found.recordings) == 4
    assert not any(recording.problem for recording in found.recordings)
    ((ignored, why),) = reasons(found).items()
    assert ignored == name
    assert reason in why


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-02_task-x_eeg.edf.gz", "packed as .gz, which no reader of EEG reads; gunzip it"),
        ("sub-02_task-x_eeg.cnt", "format .cnt is not read here; export it as EDF"),
    ],
)
def test_recordings_that_cannot_be_read(bids: Path, name: str, reason: str) -> None:
    add_file(bids, "sub-02/eeg", name)
    found = find_data_set(bids)
    assert names(found)[3] == "sub-02_task-x"
    assert found.recordings[3].problem == reason
    assert [recording.problem for recording in found.recordings].count(None) == 4


def test_what_is_no_file_is_not_opened(bids: Path) -> None:
    os.mkfifo(bids / "sub-02/eeg/sub-02_task-x_eeg.edf")
    (bids / "sub-02/eeg/sub-02_task-y_eeg.edf").mkdir()
    found = find_data_set(bids)
    assert set(reasons(found).values()) == {
        "is not a file (a folder, a pipe or a device); put the recording there"
    }
    assert len(reasons(found)) == 2


def test_a_recording_in_two_files(bids: Path) -> None:
    """Nobody can tell which is meant; the others go on."""
    add_file(bids, "sub-02/eeg", "sub-02_task-rest_eeg.bdf")
    found = find_data_set(bids)
    assert len(found.recordings) == 4
    assert reasons(found) == {
        "sub-02_task-rest_eeg.bdf": "the same recording as sub-02_task-rest_eeg.edf; remove one of them",
        "sub-02_task-rest_eeg.edf": "the same recording as sub-02_task-rest_eeg.bdf; remove one of them",
    }


def test_content_that_has_not_been_fetched(bids: Path) -> None:
    """As git-annex leaves a clone: links to nothing, or pointers in the place of files."""
    link = bids / "sub-02/eeg/sub-02_task-a_eeg.edf"
    link.symlink_to("../../.git/annex/objects/aa/bb/SHA256E-s9--cc.edf")
    pointer = add_file(bids, "sub-02/eeg", "sub-02_task-b_eeg.edf")
    pointer.write_text("/annex/objects/SHA256E-s9--dd.edf\n")
    (bids / "sub-01/ses-03").symlink_to("../elsewhere")
    found = find_data_set(bids)
    assert [(r.name, r.is_fetched) for r in found.recordings if r.problem] == [
        ("sub-02_task-a", False),
        ("sub-02_task-b", False),
    ]
    assert all("content has not been fetched" in reason for reason in reasons(found).values())
    assert "fetch it with: datalad get sub-02_task-a_eeg.edf (or git annex get)" in reasons(found)[link.name]
    assert "datalad get ses-03" in reasons(found)["ses-03"]


def test_loops_of_links_end(bids: Path) -> None:
    (bids / "sub-01/ses-03").symlink_to(bids / "sub-01")
    (bids / "sub-02/self").symlink_to(bids)
    (bids / "sub-02/eeg/loop_eeg.edf").symlink_to("loop_eeg.edf")
    found = find_data_set(bids)
    assert len(found.recordings) == 4
    assert set(reasons(found)) == {"loop_eeg.edf"}


def test_a_link_to_itself_stops_nothing(bids: Path) -> None:
    before = find_recordings(bids)
    (bids / "sub-01" / "loop").symlink_to("loop")
    assert find_recordings(bids) == before


def test_links_to_other_folders_are_followed(bids: Path, tmp_path: Path) -> None:
    (bids / "sub-02").rename(tmp_path / "elsewhere")
    (bids / "sub-02").symlink_to(tmp_path / "elsewhere")
    assert len(find_recordings(bids)) == 4


def test_other_modalities_are_no_eeg(bids: Path) -> None:
    for folder, name in [("ecg", "sub-02_task-rest_ecg.edf"), ("ieeg", "sub-02_task-rest_ieeg.edf")]:
        add_file(bids, f"sub-02/{folder}", name)
    add_file(bids, "sub-02/eeg", "sub-02_task-rest_physio.edf")
    found = find_data_set(bids)
    assert (len(found.recordings), found.ignored, found.misnamed) == (4, (), ())


@pytest.mark.parametrize(
    ("folder", "name", "subject"),
    [
        ("sub-02/eeg", "sub-01_task-x_eeg.edf", "02"),
        ("sub-02/EEG", "sub-02_task-x_eeg.edf", "02"),
        ("sub-01/ses-01", "sub-01_ses-01_task-x_eeg.edf", "01"),
        ("Sub-03/eeg", "Sub-03_task-x_eeg.edf", "03"),
    ],
)
def test_a_misnamed_file_is_one_of_the_subject_in_whose_folder_it_lies(
    bids: Path, folder: str, name: str, subject: str
) -> None:
    add_file(bids, folder, name)
    (misnamed,) = find_data_set(bids).misnamed
    assert (misnamed.subject, misnamed.name) == (subject, f"{folder}/{name}")
    assert find_data_set(bids, [subject]).by_subject[subject][-1] == misnamed
    assert find_data_set(bids, ["chb21"]).misnamed == ()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (".", "sub-01_task-x_eeg.edf"),
        ("sub-02/derivatives", "sub-02_task-x_eeg.set"),
        ("sub-02/sourcedata/night", "sub-02_task-x_eeg.bdf"),
        ("sub-02/meg", "sub-02_task-x_eeg.edf"),
        ("sub-02/eeg", "sub-02_task-rest_desc-filtered_eeg.edf"),
        ("sub-02/eeg", "sub-02_task-rest_eeg.edf.gz"),
    ],
)
def test_what_is_no_recording_of_a_subject(bids: Path, folder: str, name: str) -> None:
    add_file(bids, folder, name)
    found = find_data_set(bids)
    assert found.misnamed == ()
    assert [(ignored.path.name, ignored.is_stray) for ignored in found.ignored] == [(name, folder == ".")]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("derivatives/sub-02/eeg", "night_eeg.edf"),
        ("sourcedata/sub-02", "sub-02_task-x_eeg.edf"),
        ("code", "sub-02_task-x_eeg.edf"),
        ("sub-02/.trash", "sub-02_task-x_eeg.edf"),
        ("sub-02/eeg", "._night_eeg.edf"),
        ("sub-02/eeg", "sub-02_task-rest_eeg.eeg"),
        ("sub-02/eeg", "sub-02_task-rest_eeg.fdt"),
        ("sub-02/eeg", "sub-02_task-rest_eeg.json"),
        ("sub-02/eeg", "sub-02_task-rest_eyetrack.edf"),
        ("sub-02/anat", "sub-02_T1w.nii.gz"),
    ],
)
def test_what_is_passed_over_in_silence(bids: Path, folder: str, name: str) -> None:
    before = find_data_set(bids)
    add_file(bids, folder, name)
    assert find_data_set(bids) == before


def test_the_name_of_a_data_set(bids: Path) -> None:
    assert (find_data_set(bids).name, find_data_set(bids).is_named) == ("bids", False)
    description = bids / "dataset_description.json"
    description.write_text(json.dumps({"Name": " Siena \u00e9 "}), encoding="utf-8-sig")
    assert (find_data_set(bids).name, find_data_set(bids).is_named) == ("Siena \u00e9", True)
    description.write_text('{"Name": ""}')
    assert (find_data_set(bids).name, find_data_set(bids).is_named) == ("bids", False)
    description.write_text("{")
    with pytest.raises(UserError, match=r"dataset_description.json: not a JSON file of UTF-8 text .*; correct it"):
        find_data_set(bids)


@pytest.mark.parametrize("name", ["Copy of {}_eeg.edf", "{}_eeg (1).edf", "{}_eeg - Copy.edf"])
def test_a_copy_by_its_name_is_no_recording_of_its_own(tmp_path: Path, name: str) -> None:
    path = write_recording(tmp_path, "01", 0, noise_uv(4, 0))
    copy = path.with_name(name.format(path.name.removesuffix("_eeg.edf")))
    copy.write_bytes(b"")
    found = find_data_set(tmp_path)
    assert (len(found.recordings), len(found.ignored), found.misnamed) == (1, 1, ())
    path.unlink()
    assert [item.path for item in find_data_set(tmp_path).misnamed] == [copy]


def test_what_is_beside_the_subjects_need_not_be_readable(bids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bids / "sourcedata").symlink_to(bids / "sub-01")
    recordings, is_dir = find_data_set(bids).recordings, Path.is_dir

    def deny(path: Path) -> bool:
        if path.name == "sourcedata":
            raise PermissionError(errno.EACCES, "denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", deny)
    assert find_data_set(bids).recordings == recordings
