"""Folders that are complete or absent: filled aside, then moved into place."""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.runtime.errors import UserError, os_errors

_OURS = re.compile(r"\.[0-9a-f]{32}\.folder\.tmp")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that takes its place at the end; after a failure nothing is left.

    A folder that a killed writer left there is removed first. ``path`` is absent or an empty folder.

    Raises
    ------
    UserError
        If a folder cannot be made there, the disk is full, or ``path`` holds files by then.
    """
    with os_errors(path):
        with suppress(FileExistsError):  # a file is there: making a folder in it says so
            path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        aside, descriptor = _make_locked(path.parent)
    try:
        yield aside
        if path.is_dir() and any(path.iterdir()):
            raise UserError(f"{path}: holds files; give a new folder")
        with os_errors(path):
            os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        os.close(descriptor)


def _make_locked(folder: Path) -> tuple[Path, int]:
    """Make a folder that is locked as long as its writer lives, and open it."""
    while True:
        aside = folder / f".{uuid.uuid4().hex}.folder.tmp"
        aside.mkdir()
        with suppress(FileNotFoundError):  # removed by another writer before it was locked
            descriptor = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if aside.is_dir():
                return aside, descriptor
            os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove folders of killed writers, which nobody locks; all stay where the file system has no locks."""
    for aside in folder.glob(".*.folder.tmp"):
        if not _OURS.fullmatch(aside.name):
            continue
        with suppress(OSError):
            descriptor = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(aside, ignore_errors=True)
            finally:
                os.close(descriptor)
