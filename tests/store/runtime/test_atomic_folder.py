"""Folders that are complete or absent."""

from pathlib import Path

import pytest

from store.runtime.atomic_folder import atomic_folder
from store.runtime.errors import UserError

LEFT = f".{'0' * 32}.folder.tmp"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "new") as aside:
        (aside / "a").write_text("a")
        assert not (tmp_path / "new").exists()
    assert names(tmp_path) == ["new"]
    assert (tmp_path / "new" / "a").read_text() == "a"


def test_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "new") as aside:
        (aside / "a" / "b").write_text("a")
    assert names(tmp_path) == []


def test_removes_what_a_killed_writer_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / LEFT / "sub").mkdir(parents=True)
    (tmp_path / ".mine.folder.tmp").mkdir()
    with atomic_folder(tmp_path / "first"), atomic_folder(tmp_path / "second"):  # one at work keeps its own
        pass
    assert names(tmp_path) == [".mine.folder.tmp", "first", "second"]


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("a")
    with pytest.raises(UserError, match="full: holds files; give a new folder"), atomic_folder(tmp_path / "full"):
        pass
    assert names(tmp_path) == ["full"]


@pytest.mark.parametrize("name", ["file/new", "file/deep/new"])
def test_where_a_file_is_in_the_way_the_new_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    message = f"^{tmp_path / name}: a part of this path is a file; give another path$"
    with pytest.raises(UserError, match=message), atomic_folder(tmp_path / name):
        pass


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_where_no_folder_can_be_made_the_new_one_is_named() -> None:
    message = "^/proc/new: no such file or folder; check the path, or give another$"
    with pytest.raises(UserError, match=message), atomic_folder(Path("/proc/new")):
        pass
