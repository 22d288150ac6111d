"""Refuse to overwrite inputs, and files that a command did not write."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from store.runtime.errors import UserError, os_errors

MARKS = {  # by which folders are known
    "sub-*.h5": "a feature store",
    "config.json": "a run",
    "study.json": "a study",
    "sub-*/": "a BIDS data set",
}
_HDF5 = b"\x89HDF\r\n\x1a\n"


def guard_output(
    path: Path,
    *,
    inputs: Iterable[Path] = (),
    outputs: Iterable[Path] = (),
    endings: Sequence[str] = (),
    is_ours: Callable[[Path], bool] | None = None,
    force: bool = False,
) -> None:
    """Refuse to write a file where that would destroy another one.

    Parameters
    ----------
    inputs
        Files and folders that are read; nothing in such a folder is overwritten unless it is ours.
    outputs
        Other files that the command writes.
    endings
        How the name may end, in lower case, since that says what the file is; any way by default.
    is_ours
        Whether the file there is one that this command writes, and may be replaced; without it, none is.
    force
        Whether a file that is not ours is overwritten too. Inputs, features and weights never are.

    Raises
    ------
    UserError
        Saying what is there and what to do.
    """
    with os_errors(path):
        if path.is_dir():
            raise UserError(f"{path}: is a folder; give a file")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is a device or a pipe, not a file; give another path to write to")
        exists = os.path.lexists(path)
        target = _resolve(path)
        ours = exists and path.exists() and is_ours is not None and is_ours(path)
        if any(_is_same(target, other) for other in outputs):
            raise UserError(f"{path}: is given for two outputs; give another path for one")
        for source in inputs:
            if _is_same(target, source):
                raise UserError(f"{path}: is the input {source}, or a link to it; give another path to write to")
            if exists and not ours and source.is_dir() and any(_is_same(up, source) for up in target.parents):
                raise UserError(f"{path}: is a file of the input {source}; give another path to write to")
        if endings and path.suffix.lower() not in endings:
            raise UserError(
                f"{path}: the name does not fit what is written; give one that ends in {_any(endings)}"
            )
        if not exists or ours:
            return
        if kind := _kind(path):
            raise UserError(f"{path}: is {kind} and is not overwritten; give another path, or remove it yourself")
        if not force:
            raise UserError(
                f"{path}: already exists, and this command did not write it; give another path, or --force "
                "to overwrite it"
            )


def guard_folder(path: Path, *, inputs: Iterable[Path], allowed_mark: str, apart: Iterable[Path] = ()) -> None:
    """Refuse to write into an input, a BIDS data set, or a folder that holds what another kind of command keeps.

    Parameters
    ----------
    inputs
        Files and folders that are read.
    allowed_mark
        Which of `MARKS` the folder may hold.
    apart
        Folders that the folder may not lie in either, as in a BIDS data set, but in their ``derivatives``.

    Raises
    ------
    UserError
        Saying what is there and what to do.
    """
    with os_errors(path):
        for source in inputs:
            if _is_same(path, source):
                raise UserError(f"{path}: is the input {source}, or a link to it; give another folder to write to")
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: is a file; give a folder")
        target = _resolve(path)
        for data in (*apart, *filter(_is_raw_data_set, reversed(target.parents))):
            inner = next((below for below in (target, *target.parents) if _is_same(below.parent, data)), None)
            if inner is not None and inner.name != "derivatives":
                raise UserError(
                    f"{path}: is in the data set {data}; give a folder elsewhere, or in its derivatives"
                )
        if _is_raw_data_set(path):
            raise UserError(f"{path}: holds a BIDS data set; give another folder to write to")
        for mark, kind in MARKS.items():
            if mark != allowed_mark and path.is_dir() and next(path.glob(mark), None) is not None:
                raise UserError(f"{path}: holds {kind}; give another folder to write to")


def list_others(folder: Path) -> list[str]:
    """Names of what a folder holds but hidden files, sorted; none if there is no such folder."""
    with os_errors(folder):
        return sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".") if folder.exists() else []


def _any(endings: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))


def _is_raw_data_set(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS data set that is not derived from another."""
    if folder.parent.name == "derivatives":
        return False
    try:
        description = json.loads((folder / "dataset_description.json").read_bytes())
    except (OSError, ValueError):
        return os.path.lexists(folder / "dataset_description.json")
    return not (isinstance(description, dict) and description.get("DatasetType") == "derivative")


def _is_same(first: Path, second: Path) -> bool:
    """Whether two paths are one file or folder, by device and inode; what does not exist yet, by its folder."""
    if first.exists() and second.exists():
        return first.samefile(second)
    first, second = _resolve(first), _resolve(second)
    if first.name != second.name or not (first.parent.exists() and second.parent.exists()):
        return first == second
    return first.parent.samefile(second.parent)


def _resolve(path: Path) -> Path:
    """Follow links, also those that lead nowhere or in a circle."""
    return Path(os.path.realpath(path))


def _kind(path: Path) -> str:
    """Name the kind of a file that took long to make, features or weights; empty for any other."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(_HDF5):
        return "an HDF5 file, perhaps of a feature store,"
    if start[8:10] in (b'{"', b"{ ") and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return "a safetensors file of weights or of a head"
    return ""
