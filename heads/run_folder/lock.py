"""Lock a run folder, so that processes that share it change it one at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of the same body; a killed process leaves no lock. Not reentrant.

    Where the file system has no locks, or the folder may not be written to, nothing keeps them out.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            file = stack.enter_context((folder / ".lock").open("ab"))  # network file systems lock what is written
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
