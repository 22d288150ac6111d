"""Walking through folders and links to folders."""

import errno
from pathlib import Path

import pytest

from store.runtime.errors import UserError
from store.runtime.walk import walk


def make_tree(root: Path) -> Path:
    for name in ("a/one", "a/skip/two", "linked/three", "tree/four"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "tree" / "b").symlink_to(root / "a")
    (root / "tree" / "c").symlink_to(root / "linked")
    (root / "linked" / "back").symlink_to(root / "tree")
    (root / "linked" / "self").symlink_to("self")
    return root / "tree"


def test_links_to_folders_are_followed_but_not_back(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    found = [str(path.relative_to(tree)) for path in walk(tree, lambda folder: folder.name != "skip")]
    assert found == ["b/one", "b/skip", "c/self", "c/three", "four"]


def deny(monkeypatch: pytest.MonkeyPatch, method: str, name: str) -> None:
    """Let a method of paths fail for those of a name."""
    real = getattr(Path, method)

    def fail(path: Path) -> object:
        if path.name == name:
            raise PermissionError(errno.EACCES, "denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, method, fail)


@pytest.mark.parametrize("method", ["iterdir", "is_dir"])
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tree = make_tree(tmp_path)
    deny(monkeypatch, method, "c")
    with pytest.raises(UserError, match=f"^{tree / 'c'}: permission denied; change its permissions"):
        list(walk(tree, lambda folder: True))


def test_only_a_folder_to_enter_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path)
    deny(monkeypatch, "is_dir", "c")
    names = [path.name for path in walk(tree, lambda folder: folder.name != "c")]
    assert {"c", "four"} < set(names)
