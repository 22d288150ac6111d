"""Walk through folders, links to folders too."""

from collections.abc import Callable, Iterator
from pathlib import Path

from store.runtime.errors import os_errors


def walk(
    folder: Path, enters: Callable[[Path], bool], above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[Path]:
    """Walk through a folder in order of names; a link that leads back is not followed.

    Parameters
    ----------
    enters
        Whether to enter a folder, if it is one.
    above
        Device and inode of the folders that the folder is in.

    Yields
    ------
    Path
        Files, and folders that are not entered.

    Raises
    ------
    UserError
        Naming a folder that cannot be read.
    """
    with os_errors(folder):
        status = folder.stat()
        here = status.st_dev, status.st_ino
        paths = sorted(folder.iterdir()) if here not in above else []
    for path in paths:
        if enters(path) and _is_folder(path):
            yield from walk(path, enters, above | {here})
        else:
            yield path


def _is_folder(path: Path) -> bool:
    with os_errors(path):
        return path.is_dir()
