"""Tables of text: what is no table at all."""

import os
from pathlib import Path

import pytest

from extract.io.tables import read_table
from store.runtime.errors import UserError


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "participants.tsv")
    with pytest.raises(UserError, match="a pipe or device instead of a table; put the file there"):
        read_table(tmp_path / "participants.tsv")
