"""Write or update a BIDS tree of links: each file is complete or absent, the source is only read."""

import json
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from extract.io.datasets.bids_tree import BidsTree
from store.runtime.atomic import atomic_write, write_text
from store.runtime.atomic_folder import atomic_folder
from store.runtime.errors import UserError, from_os_error, os_errors

RECORD = ".link.json"  # at the tree's top: which of its files are ours, and what was on one side only


@dataclass(frozen=True)
class Changes:
    """How many files of a tree were made, replaced, removed and left unchanged."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


def require_apart(source: Path, dest: Path) -> None:
    """Refuse a destination inside its source, or around it.

    Raises
    ------
    UserError
        If one of the two folders holds the other.
    """
    inner, outer = Path(os.path.realpath(dest)), Path(os.path.realpath(source))
    if inner == outer or outer in inner.parents:
        raise UserError(f"{dest} is inside {source}, which is never written to; give a folder elsewhere")
    if inner in outer.parents:
        raise UserError(f"{dest} holds {source}; give a new folder for the tree")


def write_tree(tree: BidsTree, source: Path, dest: Path, copy: bool) -> Changes:
    """Make the files of a tree, replace those that differ, remove those that the tree no longer has.

    A new tree of links is written aside and moved into place. Copies are made in place, each whole or absent, so
    that an interrupted run can resume.

    Raises
    ------
    UserError
        If `dest` is there and no earlier run of this data set made it, or it cannot be written or take links.
    """
    dest = Path(os.path.abspath(dest))
    earlier = _read_record(dest, tree.name)
    if earlier is None and dest.exists() and not (dest.is_dir() and not any(dest.iterdir())):
        raise UserError(f"{dest}: exists and was not made by this command; give a new folder")
    if earlier is not None or copy:
        return _update(tree, source, dest, dest, earlier or (), copy)
    with atomic_folder(dest) as aside:
        changes = _update(tree, source, aside, dest, (), copy)
    return changes


def _update(tree: BidsTree, source: Path, root: Path, dest: Path, earlier: Iterable[str], copy: bool) -> Changes:
    """Bring the files below `root`, which will be at `dest`, in line with the tree."""
    ours = {*tree.texts, *tree.links}
    gone = set(earlier) - ours
    _require_own_folders(root, ours | gone)
    _write_record(root, tree, ours | gone)
    counts = {"added": 0, "changed": 0, "unchanged": 0}
    for name, text in tree.texts.items():
        counts[_put_text(root / name, text)] += 1
    for name in tqdm(tree.links, unit=" files", disable=None if copy else True, leave=False):
        path, original = root / name, tree.links[name]
        put = (
            _put_copy(path, original)
            if copy
            else _put_link(path, link_target(original, source, dest / name, dest))
        )
        counts[put] += 1
    removed = sum(_remove(root, name) for name in sorted(gone))
    _write_record(root, tree, ours)
    return Changes(**counts, removed=removed)


def link_target(original: Path, source: Path, link: Path, dest: Path) -> str:
    """Target of a link: relative where data set and tree share a folder, which may move whole, else absolute."""
    together = source.resolve().parent == dest.resolve().parent
    if not together:
        return str(original)
    return os.path.relpath(
        source.resolve() / original.relative_to(source), dest.resolve() / link.relative_to(dest).parent
    )


def _put_text(path: Path, text: str) -> str:
    with os_errors(path):
        before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    if before == text.encode():
        return "unchanged"
    write_text(path, text)
    return "added" if before is None else "changed"


def _put_link(path: Path, target: str) -> str:
    existed = path.is_symlink() or path.exists()
    if path.is_symlink() and os.readlink(path) == target:
        return "unchanged"
    aside = path.with_name(f".{uuid.uuid4().hex}.link")
    with os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.symlink(target, aside)
    except OSError as error:
        known = from_os_error(error, path)
        raise UserError(
            f"{known or f'{path}: no symbolic link can be made here ({error.strerror})'}; or give --copy"
        ) from error
    os.replace(aside, path)
    return "changed" if existed else "added"


def _put_copy(path: Path, original: Path) -> str:
    existed = path.is_symlink() or path.exists()
    with os_errors(path):
        source = original.stat()
        if path.is_file() and not path.is_symlink():
            present = path.stat()
            if (present.st_size, present.st_mtime_ns) == (source.st_size, source.st_mtime_ns):
                return "unchanged"
        with atomic_write(path) as file, original.open("rb") as content:
            shutil.copyfileobj(content, file)
        os.utime(path, ns=(source.st_atime_ns, source.st_mtime_ns))
    return "changed" if existed else "added"


def _remove(root: Path, name: str) -> bool:
    """Remove a file of an earlier run, and its folders as they become empty."""
    path = root / name
    existed = path.is_symlink() or path.exists()
    with os_errors(path):
        path.unlink(missing_ok=True)
    for folder in path.relative_to(root).parents[:-1]:
        with suppress(OSError):  # not empty
            (root / folder).rmdir()
    return existed


def _require_own_folders(root: Path, names: Iterable[str]) -> None:
    """Refuse to write through a folder that is a link: it may lead into the data set."""
    for folder in sorted({folder for name in names for folder in Path(name).parents[:-1]}):
        if (root / folder).is_symlink():
            raise UserError(f"{root / folder}: is a link, not a folder of the tree; remove it")


def _read_record(dest: Path, data_set: str) -> tuple[str, ...] | None:
    """Files that earlier runs made at a place, None if none did."""
    path = dest / RECORD
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name, files = content["data_set"], tuple(content["files"])
        good = all(isinstance(file, str) and not {"..", os.sep} & set(Path(file).parts) for file in files)
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise UserError(f"{path}: is damaged; remove the tree and make it again")
    if name != data_set:
        raise UserError(f"{dest}: holds {name}, not {data_set}; give another folder")
    return files


def _write_record(root: Path, tree: BidsTree, names: Iterable[str]) -> None:
    content = {"data_set": tree.name, "unlisted": tree.unlisted, "absent": tree.absent, "files": sorted(names)}
    path, text = root / RECORD, json.dumps(content, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
