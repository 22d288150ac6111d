"""Find stored recordings in the data set by the content of their signals, whatever they are called."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from extract.io.fingerprints import hash_signal, stat_signal
from extract.planning.plan import Found
from store.reader import StoreFile
from store.runtime.errors import UserError

SignalKey = tuple[int, str]  # bytes and sha256


def stored_signals(file: StoreFile) -> dict[str, SignalKey]:
    """Signals of a file's recordings by name, of those that it knows."""
    return {
        name: (source.signal_bytes, source.signal_sha256)
        for name, source in file.sources.items()
        if source.signal_sha256
    }


def find_signals(surveyed: Iterable[Found], signals: Collection[SignalKey]) -> dict[SignalKey, list[Found]]:
    """Usable recordings of the data set that have one of these signals.

    The content of a new recording is read only where one that is wanted has as many bytes.
    """
    sizes = {size for size, _ in signals}
    by_signal: dict[SignalKey, list[Found]] = {}
    for item in surveyed:
        if signals and item.problem is None and (signal := _signal_of(item, sizes)) in signals:
            by_signal.setdefault(signal, []).append(item)
    return by_signal


def find_renamed_files(files: Sequence[StoreFile], surveyed: Iterable[Found]) -> list[StoreFile]:
    """Files of subjects all of whose signals the data set has."""
    signals = [stored_signals(file) for file in files]
    by_signal = find_signals(surveyed, {signal for each in signals for signal in each.values()})
    return [
        file
        for file, each in zip(files, signals, strict=True)
        if all(info.name in each and each[info.name] in by_signal for info in file.recordings)
    ]


def _signal_of(current: Found, sizes: Collection[int]) -> SignalKey:
    """Bytes and checksum of a signal; without checksum where no other has as many bytes, or it cannot be read."""
    if current.source is not None:
        return current.source.signal_bytes, current.source.signal_sha256
    path = current.recording.path
    with suppress(UserError):
        size, mtime_ns = stat_signal(path)
        return size, _hash_once(path, size, mtime_ns) if size in sizes else ""
    return 0, ""


@lru_cache(maxsize=4096)
def _hash_once(path: Path, size: int, mtime_ns: int) -> str:
    """sha256 of a signal, read again only when its size or time has changed."""
    del size, mtime_ns
    return hash_signal(path)
