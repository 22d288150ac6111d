"""Tables of text: what is no table at all."""

import os
from pathlib import Path

import pytest

from extract.io.tables import read_content, read_table
from store.runtime.errors import UserError


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "participants.tsv")
    with pytest.raises(UserError, match="a pipe or device instead of a table; put the file there"):
        read_table(tmp_path / "participants.tsv")


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\u2028", "\x85", "\x00", "\ufeff"])
def test_a_header_with_other_line_ends_or_invisible_characters(tmp_path: Path, character: str) -> None:
    path = tmp_path / "participants.tsv"
    path.write_bytes(f"a\tperson_id{character}sub-01\tp\n".encode())
    with pytest.raises(UserError, match=r"tsv: the header holds a character that is no text, in 'person_id\\"):
        read_table(path)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "events.tsv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        UserError, match=r"events.tsv: larger than 64 MiB, too large for a table that describes recordings"
    ):
        read_content(tmp_path / "events.tsv")
