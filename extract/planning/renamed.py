"""Find recordings that have another name in the data set than in the store."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from extract.io.fingerprints import hash_signal, stat_signal
from extract.planning.plan import Action, Found
from extract.planning.subject import Subject
from store.runtime.errors import UserError

_Signal = tuple[int, str]  # bytes and sha256


def find_renamed(subjects: Sequence[Subject]) -> frozenset[str]:
    """Names of stored recordings that are gone and whose signal is there under another name.

    The content of a new recording is read only where one that is gone had as many bytes.
    """
    gone: dict[_Signal, list[str]] = {}
    for subject in subjects:
        sources = subject.stored.sources if subject.stored is not None else {}
        for step in subject.plan.select(Action.KEEP_GONE):
            if (source := sources.get(step.name)) is not None and source.signal_sha256:
                gone.setdefault((source.signal_bytes, source.signal_sha256), []).append(step.name)
    sizes = {size for size, _ in gone}
    found = [item for subject in subjects for item in subject.found if gone and item.problem is None]
    return frozenset(name for item in found for name in gone.get(_signal_of(item, sizes), ()))


def _signal_of(found: Found, sizes: Collection[int]) -> _Signal:
    """Bytes and checksum of a signal; without checksum where no other has as many bytes, or it cannot be read."""
    if found.source is not None:
        return found.source.signal_bytes, found.source.signal_sha256
    with suppress(UserError):
        size, _ = stat_signal(found.recording.path)
        return size, hash_signal(found.recording.path) if size in sizes else ""
    return 0, ""
