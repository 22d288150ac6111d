"""Lock a run folder, so that processes that share it change it one after the other."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.runtime.errors import os_errors


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of the same body; a killed process leaves no lock. Not reentrant.

    Where the file system has no locks, nothing keeps them out.

    Raises
    ------
    UserError
        If the folder cannot be written to.
    """
    path = folder / ".lock"
    with os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # network file systems lock what may be written
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
