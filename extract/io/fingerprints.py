"""Fingerprints of the files that a recording is made from."""

import hashlib
from pathlib import Path

from extract.io.bids import Recording
from extract.io.events import hash_events
from extract.io.recorded_channels import hash_channels
from extract.io.signal_files import find_signal_files
from store.runtime.errors import os_errors
from store.schema import Source

_READ_BYTES = 1 << 20


def read_source(recording: Recording, missing: str, before: Source | None = None) -> Source:
    """Fingerprints of a recording as it is now.

    Parameters
    ----------
    recording : Recording
    missing
        Policy for missing channels.
    before : Source, optional
        Fingerprints from earlier: where size and time of the signal are still those, its content is not read; its
        ``channels.tsv`` counts where it did then.

    Raises
    ------
    UserError
        If a file cannot be read or has not been fetched.
    """
    size, mtime_ns = stat_signal(recording.path)
    is_same = before is not None and (before.signal_bytes, before.signal_mtime_ns) == (size, mtime_ns)
    return Source(
        signal_bytes=size,
        signal_mtime_ns=mtime_ns,
        signal_sha256=before.signal_sha256 if before is not None and is_same else hash_signal(recording.path),
        events_sha256=hash_events(recording.events_path),
        person=recording.person,
        missing=missing,
        witnessed=True,
        channels_sha256=hash_channels(recording.path) if before is not None and before.channels_sha256 else "",
    )


def is_same_signal(first: Source, second: Source) -> bool:
    """Whether two fingerprints are of the same signal, whenever it was copied."""
    return (first.signal_bytes, first.signal_sha256) == (second.signal_bytes, second.signal_sha256)


def stat_signal(path: Path) -> tuple[int, int]:
    """Bytes of a signal, and its time in ns: those of its files, added up."""
    with os_errors(path):
        files = [file.stat() for file in find_signal_files(path)]
    return sum(file.st_size for file in files), sum(file.st_mtime_ns for file in files) % (1 << 63)


def hash_signal(path: Path) -> str:
    """sha256 of the files of a signal, one after the other."""
    digest = hashlib.sha256()
    with os_errors(path):
        for file in find_signal_files(path):
            with file.open("rb") as stream:
                while block := stream.read(_READ_BYTES):
                    digest.update(block)
    return digest.hexdigest()
