"""What all readers share."""

from pathlib import Path

import pytest

from extract.io.datasets.source import read_edf_info, read_text
from store.runtime.errors import UserError
from tests.extract.io.datasets.trees import START, write_edf, write_header


def test_header_gives_length_start_and_patient(tmp_path: Path) -> None:
    info = read_edf_info(write_edf(tmp_path / "a.edf", 7, ("FP1-F7",)))
    assert info is not None
    assert (info.duration_s, info.start) == (7.0, START)
    assert info.patient.startswith("X X X X")


def test_no_file_has_no_header(tmp_path: Path) -> None:
    assert read_edf_info(tmp_path / "a.edf") is None


@pytest.mark.parametrize("records", [0, -1])
def test_header_without_length(tmp_path: Path, records: int) -> None:
    write_header(tmp_path / "a.edf", records)
    with pytest.raises(
        UserError, match=rf"a\.edf: its header says {records} data records of 1 s; fetch the file again"
    ):
        read_edf_info(tmp_path / "a.edf")


def test_file_that_is_no_edf(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_text("<html>404</html>")
    with pytest.raises(UserError, match=r"a\.edf: no valid EDF or BDF header"):
        read_edf_info(tmp_path / "a.edf")


def test_text_of_any_system(tmp_path: Path) -> None:
    for content in (b"\xef\xbb\xbfcrisi\r\nfocale\r\n", b"crisi\nfocale\n", b"crisi\rfocale\r"):
        (tmp_path / "a.txt").write_bytes(content)
        assert read_text(tmp_path / "a.txt") == "crisi\nfocale\n"
    (tmp_path / "a.txt").write_bytes(b"et\xe0")
    assert read_text(tmp_path / "a.txt") == "età"


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\0b")
    with pytest.raises(UserError, match=r"a\.txt: not a text file; fetch it again"):
        read_text(tmp_path / "a.txt")
