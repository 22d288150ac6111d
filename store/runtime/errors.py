"""Errors that a user can cause. Any other exception is a bug."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REASONS = {
    errno.ENOENT: "no such file or folder; check the path, or give another",
    errno.EACCES: "permission denied; change its permissions, or use a copy or another path",
    errno.EPERM: "permission denied; change its permissions, or use a copy or another path",
    errno.EROFS: "the file system is read-only; use a copy or a path on another one",
    errno.EISDIR: "is a folder; give a file",
    errno.ENOTDIR: "a part of this path is a file; give another path",
    errno.EEXIST: "already exists; give another path",
    errno.ENAMETOOLONG: "the name is too long; give a shorter one",
    errno.ELOOP: "a loop of links; give the file itself",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n), or use fewer processes",
    errno.EIO: "the disk or the network cannot read or write it; check the hardware, then run this again",
    errno.ESTALE: "the network file system lost it; run the same command again",
    **dict.fromkeys(DISK_FULL, "disk full; make room and run the same command again"),
}


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of the file system says that no room is left."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


class UserError(ValueError):
    """An error that a person can cause and mend: a command prints it as one line and ends with status 2."""


class StoreError(UserError):
    """A store, or a file of one, is missing, damaged, of another kind or does not fit."""


class DiskFullError(UserError):
    """No room is left. Long work stops; what is finished is kept."""


def from_os_error(error: OSError, path: Path | str | None = None) -> UserError | None:
    """Turn an error of the file system that is to be expected into a `UserError`, None if it is not expected.

    Parameters
    ----------
    path
        What was being read or written; by default the file that the error names.
    """
    name = path if path is not None else error.filename
    reason = _REASONS.get(error.errno or 0)
    if name is None or reason is None:
        return None
    kind = DiskFullError if is_disk_full(error) else UserError
    return kind(f"{name}: {reason}")


@contextmanager
def os_errors(path: Path | str) -> Iterator[None]:
    """Raise errors of the file system that are to be expected as a `UserError` that names the path."""
    try:
        yield
    except OSError as error:
        if known := from_os_error(error, path):
            raise known from error
        raise
