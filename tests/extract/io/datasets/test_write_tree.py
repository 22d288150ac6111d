"""Trees are made whole, brought up to date, and never write to their source."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from extract.io.datasets.bids_tree import BidsTree
from extract.io.datasets.write_tree import RECORD, Changes, require_apart, write_tree
from store.runtime.errors import UserError

EDF = "sub-01/ses-01/eeg/sub-01_eeg.edf"
OTHER = "sub-02/ses-01/eeg/sub-02_eeg.edf"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "set"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.edf").write_text(name * 5)
    return folder


@pytest.fixture
def tree(source: Path) -> BidsTree:
    return BidsTree(
        name="Set",
        texts={"participants.tsv": "participant_id\n", "sub-01/ses-01/eeg/sub-01_events.tsv": "onset\n"},
        links={EDF: source / "a.edf", OTHER: source / "b.edf"},
        persons=2,
        duration_s=2,
        seizures=0,
        ictal_s=0,
        unlisted=(),
        absent=(),
        notes=(),
    )


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in files}


@pytest.mark.parametrize("copy", [False, True])
def test_new_tree_then_nothing_to_do(tree: BidsTree, source: Path, tmp_path: Path, copy: bool) -> None:
    before = state(source)
    assert write_tree(tree, source, tmp_path / "bids", copy) == Changes(added=4)
    assert (tmp_path / "bids" / EDF).read_text() == "aaaaa"
    assert (tmp_path / "bids" / EDF).is_symlink() is not copy
    at = state(tmp_path / "bids")
    assert write_tree(tree, source, tmp_path / "bids", copy) == Changes(unchanged=4)
    assert state(tmp_path / "bids") == at
    assert state(source) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "bids"}  # nothing aside stays


@pytest.mark.parametrize("copy", [False, True])
def test_what_changed_is_updated_and_counted(tree: BidsTree, source: Path, tmp_path: Path, copy: bool) -> None:
    write_tree(tree, source, tmp_path / "bids", copy)
    (tmp_path / "bids" / "derivatives").mkdir()
    (tmp_path / "bids" / "derivatives" / "mine.txt").write_text("stays")
    (source / "c.edf").write_text("ccc")
    later = replace(
        tree,
        texts={"participants.tsv": "participant_id\nsub-01\n", "README": "new"},
        links={EDF: source / "c.edf"},
    )
    assert write_tree(later, source, tmp_path / "bids", copy) == Changes(added=1, changed=2, removed=2)
    assert (tmp_path / "bids" / EDF).read_text() == "ccc"
    assert not (tmp_path / "bids" / "sub-02").exists()
    assert (tmp_path / "bids" / "derivatives" / "mine.txt").read_text() == "stays"
    assert (source / "a.edf").read_text() == "aaaaa"


def test_copies_follow_their_originals(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=True)
    (source / "a.edf").write_text("AAAAA")
    os.utime(source / "a.edf", ns=(1, 1))
    assert write_tree(tree, source, tmp_path / "bids", copy=True) == Changes(changed=1, unchanged=3)
    assert (tmp_path / "bids" / EDF).read_text() == "AAAAA"


def test_links_become_copies_and_back(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    before = state(source)
    for copy in (False, True, False):
        write_tree(tree, source, tmp_path / "bids", copy)
        assert (tmp_path / "bids" / EDF).is_symlink() is not copy
    assert state(source) == before


def test_links_beside_their_source_move_with_it(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, source.parent / "bids", copy=False)
    write_tree(tree, source, tmp_path / "elsewhere" / "bids", copy=False)
    (tmp_path / "elsewhere" / "bids").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / EDF).read_text() == "aaaaa"
    source.parent.rename(tmp_path / "disk2")
    assert (tmp_path / "disk2" / "bids" / EDF).read_text() == "aaaaa"


def test_copying_goes_on_after_a_kill(
    tree: BidsTree, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", die)
        with pytest.raises(KeyboardInterrupt):
            write_tree(tree, source, tmp_path / "bids", copy=True)
    write_tree(tree, source, tmp_path / "bids", copy=True)
    assert (tmp_path / "bids" / EDF).read_text() == "aaaaa"
    assert write_tree(tree, source, tmp_path / "bids", copy=True) == Changes(unchanged=4)


def test_interrupted_link_leaves_nothing(
    tree: BidsTree, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "symlink", die)
    with pytest.raises(KeyboardInterrupt):
        write_tree(tree, source, tmp_path / "bids", copy=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_files_that_went_missing_are_made_again(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=False)
    (tmp_path / "bids" / EDF).unlink()
    assert write_tree(tree, source, tmp_path / "bids", copy=False) == Changes(added=1, unchanged=3)


def test_system_without_symbolic_links(
    tree: BidsTree, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "symlink", refuse)
    message = r"no symbolic link can be made here \(Operation not supported\); or give --copy"
    with pytest.raises(UserError, match=message):
        write_tree(tree, source, tmp_path / "bids", copy=False)


def test_foreign_folder_is_refused(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    (tmp_path / "bids").mkdir()
    write_tree(tree, source, tmp_path / "bids", copy=False)  # empty: taken
    shutil.rmtree(tmp_path / "bids")
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "README").write_text("mine")
    for copy in (False, True):
        with pytest.raises(UserError, match="exists and was not made by this command; give a new folder"):
            write_tree(tree, source, tmp_path / "bids", copy)
    assert (tmp_path / "bids" / "README").read_text() == "mine"


def test_tree_of_another_data_set_is_refused(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=False)
    with pytest.raises(UserError, match="bids: holds Set, not Other; give another folder"):
        write_tree(replace(tree, name="Other"), source, tmp_path / "bids", copy=False)


@pytest.mark.parametrize("content", ["", "[]", '{"data_set": "Set"}', '{"data_set": "Set", "files": ["../a"]}'])
def test_damaged_record(tree: BidsTree, source: Path, tmp_path: Path, content: str) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=False)
    (tmp_path / "bids" / RECORD).write_text(content)
    with pytest.raises(UserError, match=r"\.link\.json: is damaged; remove the tree and make it again"):
        write_tree(tree, source, tmp_path / "bids", copy=False)


def test_nothing_outside_is_removed(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=False)
    record = {"data_set": "Set", "files": [str(source / "a.edf")]}
    (tmp_path / "bids" / RECORD).write_text(json.dumps(record))
    with pytest.raises(UserError, match="is damaged"):
        write_tree(tree, source, tmp_path / "bids", copy=False)
    assert (source / "a.edf").is_file()


def test_folder_that_leads_into_the_source_is_refused(tree: BidsTree, source: Path, tmp_path: Path) -> None:
    write_tree(tree, source, tmp_path / "bids", copy=False)
    shutil.rmtree(tmp_path / "bids" / "sub-01")
    (tmp_path / "bids" / "sub-01").symlink_to(source)
    before = state(source)
    with pytest.raises(UserError, match="sub-01: is a link, not a folder of the tree; remove it"):
        write_tree(tree, source, tmp_path / "bids", copy=False)
    assert state(source) == before


def test_places_inside_each_other_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "by-link").symlink_to(source)
    for inner in (source, source / "bids", tmp_path / "by-link" / "x" / "bids"):
        with pytest.raises(UserError, match="which is never written to; give a folder elsewhere"):
            require_apart(source, inner)
    with pytest.raises(UserError, match=r"holds .*; give a new folder for the tree"):
        require_apart(source, source.parent)
    require_apart(source, source.parent / "set2")
