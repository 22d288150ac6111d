"""Find the files that make up a signal, and check that they exist."""

import re
from collections.abc import Iterable
from pathlib import Path

from extract.io.annex import explain_absent_content
from store.runtime.errors import UserError, os_errors

_MOST_HEADER_BYTES = 1 << 20  # of a BrainVision header
_COMMENT = "[Comment]"  # begins the part of a BrainVision header that says nothing of the data


def _field(name: str) -> re.Pattern[str]:
    """Finds the values of a field of a BrainVision header."""
    return re.compile(rf"^(?:{name})[ \t]*[=:][ \t]*(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)


_NAMED, _FORMAT = _field("DataFile|MarkerFile"), _field("DataFormat")
_ORIENTATION, _POINTS = _field("DataOrientation"), _field("DataPoints")


def find_signal_files(path: Path) -> list[Path]:
    """Find the files that make up a signal: of BrainVision those its header names, of EEGLAB the ``.fdt``.

    Links to nothing are among them; a name for which there is nothing is not: reading the signal says so.
    """
    if path.suffix.lower() == ".vhdr":
        names = (Path(name).name for name in _read_names(path))
        others = [path.with_name(name) for name in names if name]
    elif path.suffix.lower() == ".set":
        others = [path.with_suffix(".fdt")]
    else:
        others = []
    return [path, *(other for other in others if other.is_file() or _is_link_to_nothing(other))]


def explain_absent_signal(path: Path) -> str | None:
    """Say which file of a signal has not been fetched and how to fetch it; None if all are there."""
    if reason := explain_absent_content(path):
        return reason
    try:
        files = find_signal_files(path) if path.is_file() else []
    except (OSError, ValueError):  # reading it will say what is wrong
        return None
    return next(filter(None, map(explain_absent_content, files)), None)


def require_signal_files(path: Path) -> None:
    """Refuse a header that names files of other folders or recordings, and files beside it without content.

    Raises
    ------
    UserError
        If there is such a name, or a file is absent, not fetched, a pipe or a device.
    """
    names = _read_names(path) if path.suffix.lower() == ".vhdr" else []
    for name in names:
        if Path(name).name != name:
            raise UserError(f"{path}: names a file of another folder, '{name}'; put it beside the header")
        if (other := _find_rival(path, path.with_name(name))) is not None:
            raise UserError(
                f"{path}: names {name}, but {other.name} is beside it, so that may be of another recording; "
                "correct the name in the header"
            )
    others = [path.with_name(name) for name in names]
    if (data := path.with_suffix(".fdt")).exists() or data.is_symlink():
        others += [data] if path.suffix.lower() == ".set" else []
    for other in others:
        if reason := explain_absent_content(other):
            raise UserError(f"{other}: {reason}")
        if not other.is_file():
            what = "is not a file (a folder, a pipe or a device)" if other.exists() else "no such file"
            raise UserError(f"{other}: {what}, which {path.name} names; put it there")


def require_own_samples(path: Path, files: Iterable[Path]) -> None:
    """Refuse an EEGLAB header whose samples are read from a ``.fdt`` of another name.

    EEGLAB and the fingerprints take the one of the header's own name.

    Parameters
    ----------
    path : Path
    files
        Those that its samples are read from.

    Raises
    ------
    UserError
        If one of them has another name.
    """
    if path.suffix.lower() != ".set":
        return
    fdt = path.with_suffix(".fdt")
    for file in files:
        if not _is_same_file(file, path) and not _is_same_file(file, fdt):
            raise UserError(
                f"{path}: names {file.name} for its samples, not {fdt.name}; give them that name, then open "
                "and save it in EEGLAB, which corrects the header"
            )


def holds_text(path: Path) -> bool:
    """Whether the samples of a BrainVision header are written as text."""
    return path.suffix.lower() == ".vhdr" and "ASCII" in map(str.upper, _FORMAT.findall(_read_header(path)))


def is_vectorized(path: Path) -> bool:
    """Whether the data of a BrainVision header are one channel after the other."""
    return "VECTORIZED" in _ORIENTATION.findall(_read_header(path))


def read_data_points(path: Path) -> int | None:
    """Samples of each channel as a BrainVision header says; None if it does not.

    Raises
    ------
    UserError
        If it is no number.
    """
    for text in _POINTS.findall(_read_header(path)):
        try:
            return int(text)
        except ValueError as error:
            raise UserError(f"{path}: DataPoints is '{text}'; allowed: a whole number; export it again") from error
    return None


def _find_rival(header: Path, named: Path) -> Path | None:
    """Find what makes it doubtful that a file is of the header that names it.

    Beside them may be another header with the file's name, or another file with the header's name.
    """
    other_header, other_file = named.with_suffix(header.suffix), header.with_suffix(named.suffix)
    if other_header.exists() and not _is_same_file(other_header, header):
        return other_header
    return other_file if other_file.exists() and named.exists() and not _is_same_file(other_file, named) else None


def _is_same_file(first: Path, second: Path) -> bool:
    with os_errors(first):
        return first.exists() and second.exists() and first.samefile(second)


def _is_link_to_nothing(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _read_names(path: Path) -> list[str]:
    """Names of data and markers in a BrainVision header."""
    return [name.replace("$b", path.stem) for name in _NAMED.findall(_read_header(path))]


def _read_header(path: Path) -> str:
    """Text of a BrainVision header, up to its comment."""
    with os_errors(path), path.open("rb") as file:
        text = file.read(_MOST_HEADER_BYTES).decode("utf-8", "replace").replace("\r", "\n")
    return text.partition(_COMMENT)[0]
