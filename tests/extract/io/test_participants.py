"""Persons of a data set: each way of writing them gives them, or a line that says which subject lacks one."""

from pathlib import Path

import pytest

from extract.io.bids import find_recordings
from extract.io.participants import read_participants
from store.runtime.errors import UserError


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    for subject in ("01", "02", "03"):
        path = tmp_path / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-x_eeg.edf"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0")
    return tmp_path


def write(bids: Path, text: str, encoding: str = "utf-8") -> None:
    (bids / "participants.tsv").write_text(text, encoding=encoding)


def persons(bids: Path) -> list[str]:
    return [recording.person for recording in find_recordings(bids)]


@pytest.mark.parametrize(
    "text",
    [
        "participant_id\tperson_id\nsub-01\tanna\nsub-02\tben\nsub-03\tanna\n",
        "person_id\tparticipant_id\nanna\t01\nben\t02\nanna\t03\n",
        "participant_id\tperson_id\nsub-01\t anna \nsub-02\tben  \nsub-03 \tanna\n",
        'participant_id\tperson_id\n"sub-01"\t"anna"\nsub-02\t"ben"\nsub-03\tanna\n',
        "participant_id\tPerson_ID\nsub-01\tanna\nsub-02\tben\nsub-03\tanna\n",
        "participant_id\t Person ID\nsub-01\tanna\nsub-02\tben\nsub-03\tanna\n",
        "participant_id,age,person_id\nsub-01,3,anna\nsub-02,4,ben\nsub-03,3,anna\n",
        "participant_id;person_id\nsub-01;anna\nsub-02;ben\nsub-03;anna\n",
        "\ufeffparticipant_id\tperson_id\r\nsub-01\tanna\r\nsub-02\tben\r\n\r\nsub-03\tanna\r\n",
        "participant_id\tperson_id\tage\nsub-01\tanna\nsub-02\tben\t\nsub-03\tanna\t7\t\t\nsub-99\tzoe\t1\n",
    ],
)
def test_persons_of_the_table(bids: Path, text: str) -> None:
    write(bids, text)
    assert persons(bids) == ["anna", "ben", "anna"]


def test_subjects_are_persons_where_nothing_says_otherwise(bids: Path) -> None:
    assert persons(bids) == ["01", "02", "03"]
    write(bids, "participant_id\tage\nsub-01\t3\n")
    assert persons(bids) == ["01", "02", "03"]


def test_columns_are_kept(bids: Path) -> None:
    write(bids, "participant_id\tage\tnote\nsub-01\t3\t5'2\"\n\nsub-02\tn/a\n")
    columns = read_participants(bids).columns
    assert columns["01"] == {"participant_id": "sub-01", "age": "3", "note": "5'2\""}
    assert columns["02"] == {"participant_id": "sub-02", "age": "n/a", "note": ""}
    assert "03" not in columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "participant_id\tperson_id\nsub-01\tanna\nsub-02\t\nsub-03\tben\n",
            "line 3: no person_id for sub-02",
        ),
        ("participant_id\tperson_id\nsub-01\tanna\nsub-02\tn/a\nsub-03\tben\n", "line 3: no person_id for sub-02"),
        ("participant_id\tperson_id\nsub-01\tanna\nsub-02\tben\nsub-03\n", "line 4: no person_id for sub-03"),
        (
            "participant_id\tperson_id\nsub-01\tanna\nsub-02\tben\n",
            "has a column person_id, but no row for sub-03; add",
        ),
        ("participant_id\tperson_id\nsub-01\ta\n01\tb\n", "line 3: sub-01 is in line 2 already"),
        *(
            (f"participant_id\tperson_id\nsub-01\tanna\nsub-02\t{none}\nsub-03\tben\n", "line 3: no person_id for")
            for none in ("nan", "NA", "None", "null", "#N/A", "?", "-", "unknown", '""')
        ),
        (
            "participant_id\tperson_id\nsub-01\tAnna\nsub-02\tanna\n",
            "persons 'Anna' and 'anna' differ only in",
        ),
        ("participant_id\tperson_id\nsub-01\t\u00e9\nsub-02\te\u0301\n", r"persons '\\xe9' and 'e\\u0301' differ"),
        (
            "participant_id\tperson_id\nsub-01\tA B\nsub-02\tA  B\n",
            "persons 'A B' and 'A  B' differ only in spelling",
        ),
        ("participant_id\tage\nsub-01\t3\tx\n", "line 2 has 3 cells, the header has 2; correct it"),
        ('participant_id\tage\nsub-01\t"3\n', "line 2: not a line of a table .*; correct its quotes"),
        ("subject\tperson_id\nsub-01\tanna\n", "has no column participant_id; correct its header"),
        ("", "has no column participant_id"),
        ("participant_id\tperson_id\tPersonID\n", "has 2 columns person_id, PersonID; keep one of them"),
    ],
)
def test_tables_that_do_not_give_every_subject_a_person(bids: Path, text: str, message: str) -> None:
    write(bids, text)
    with pytest.raises(UserError, match=rf"participants\.tsv: {message}"):
        persons(bids)


def test_a_table_that_cannot_be_read(bids: Path) -> None:
    write(bids, "participant_id\tperson_id\n", "utf-16")
    with pytest.raises(UserError, match=r"participants\.tsv: not a table of UTF-8 text"):
        persons(bids)
    (bids / "participants.tsv").unlink()
    (bids / "participants.tsv").symlink_to(".git/annex/objects/aa")
    with pytest.raises(UserError, match=r"participants\.tsv: its content has not been fetched .*: datalad get"):
        persons(bids)
    (bids / "participants.tsv").unlink()
    (bids / "participants.tsv").mkdir()
    with pytest.raises(UserError, match=r"participants\.tsv: is a folder; give a file"):
        persons(bids)
