"""Files that are complete or absent: written aside, then moved into place."""

import errno
import fcntl
import io
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from store.runtime.errors import UserError, is_disk_full, os_errors

_OURS = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.tmp")
_ABANDONED_S = 86_400.0  # age of a file that nobody writes, where the file system has no locks
_PROBE_BYTES = 1 << 16
# entries of a folder that a write looks through on average: many writes cost no more than their number
_ENTRIES_A_WRITE = 64
_writes_before_look: dict[Path, int] = {}


class AtomicFile(io.RawIOBase):
    """A file that raises its first failed write in `check` alone: HDF5 cannot close a file whose writes fail.

    It gives no ``fileno``: numpy's ``tofile`` would write past these checks, and loses what does not fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: OSError | None = None
        self._file = io.FileIO(path, "x+")

    @property
    def descriptor(self) -> int:
        """The open file's number, for reading and for copies within the kernel."""
        return self._file.fileno()

    def write(self, data: Any) -> int:
        """Write all of the data; after a failure do nothing."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and not self.failure:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the size; after a failure do nothing."""
        try:
            return (size or 0) if self.failure else self._file.truncate(size)
        except OSError as error:
            self.failure = error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what was written."""
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def check(self) -> None:
        """Raise the failure."""
        if self.failure:
            raise self.failure


@contextmanager
def atomic_write(path: Path, *, sync: bool = False) -> Iterator[AtomicFile]:
    """Give a file beside ``path``, open for bytes; move it there when the body succeeds, else remove it.

    Parameters
    ----------
    sync
        Whether file and folder are on the disk before this returns, for what marks other files as complete.

    Raises
    ------
    UserError
        If the folder cannot be written to, or if the disk is full.
    """
    _make_folder(path.parent)
    with os_errors(path):
        _remove_abandoned(path.parent)
        file = _open_locked(path.parent)
    with file:
        try:
            yield file
            with os_errors(path):
                file.check()
                if sync:
                    os.fsync(file.descriptor)
                os.close(os.dup(file.descriptor))  # network file systems say now what they could not write
                os.replace(file.path, path)
        except BaseException as error:
            cause = _write_failure(file, error)
            with suppress(FileNotFoundError):
                os.unlink(file.path)
            if cause:
                with os_errors(path):
                    raise cause from error  # what the body raises after a failed write follows from it
            raise
    if sync:
        sync_folder(path.parent)


def _write_failure(file: AtomicFile, error: BaseException) -> OSError | None:
    """The disk's error behind a failed write, None if there is none: libraries raise errors of their own."""
    if file.failure:
        return file.failure
    if isinstance(error, OSError) and is_disk_full(error):
        return error
    if isinstance(error, (OSError, RuntimeError)):
        rest, end = _PROBE_BYTES, os.fstat(file.descriptor).st_size
        try:
            while rest > 0:
                rest -= os.pwrite(file.descriptor, bytes(rest), end + _PROBE_BYTES - rest)
        except OSError as probe:
            return probe if is_disk_full(probe) else None
    return None


def write_bytes(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Write a file that appears complete or not at all."""
    with atomic_write(path, sync=sync) as file:
        file.write(content)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text file, UTF-8, that appears complete or not at all."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), sync=sync)


def update_text(path: Path, text: str, *, sync: bool = False) -> None:
    """As `write_text`, but leave a file that holds the text already as it is."""
    content = text.encode("utf-8", "surrogateescape")
    with suppress(OSError):  # none yet, or none that may be read
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    write_bytes(path, content, sync=sync)


def sync_folder(folder: Path, *, files: bool = False) -> None:
    """Wait until a folder's entries, and with ``files`` the content of its files, are on the disk."""
    with os_errors(folder):
        for path in (*(path for path in folder.iterdir() if files and path.is_file()), folder):
            number = os.open(path, os.O_RDONLY)
            try:
                os.fsync(number)
            except OSError as error:
                if path != folder or error.errno not in (
                    errno.EINVAL,
                    errno.ENOTSUP,
                ):  # folders need no sync there
                    raise
            finally:
                os.close(number)


def require_writable(folder: Path) -> None:
    """Make a folder if needed, and try to write there.

    Raises
    ------
    UserError
        If it cannot be made or written to, with the reason.
    """
    _make_folder(folder)
    with os_errors(folder), tempfile.TemporaryFile(dir=folder):
        pass


def _make_folder(folder: Path) -> None:
    with os_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise UserError(f"{folder}: is a file; give a folder") from error


def _open_locked(folder: Path) -> AtomicFile:
    """Make a file in a folder that is locked as long as its writer lives."""
    while True:
        file = AtomicFile(folder / f".{uuid.uuid4().hex}.tmp")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file.descriptor, fcntl.LOCK_EX)
        if os.fstat(file.descriptor).st_nlink:
            return file
        file.close()  # removed by another writer before it was locked


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of killed writers: not locked or, where there are no locks, a day old."""
    waits = _writes_before_look.get(folder, 0)
    if waits:
        _writes_before_look[folder] = waits - 1
        return
    names = os.listdir(folder)
    _writes_before_look[folder] = len(names) // _ENTRIES_A_WRITE
    for name in filter(_OURS.fullmatch, names):
        with suppress(OSError), open(folder / name, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError:
                if time.time() - os.fstat(file.fileno()).st_mtime < _ABANDONED_S:
                    continue
            (folder / name).unlink()
