"""One recording to a part of a store: read, encoded and written at the same time, in threads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.io.bids import Recording, read_events, read_start
from extract.io.prefetch import prefetch
from extract.io.raw import open_signal
from extract.io.windows import label_seconds
from store import FeatureSpec, RecordingInfo, StoreError
from store.reader import open_file
from store.runtime.errors import DiskFullError, is_disk_full
from store.schema import count_seconds, count_windows
from store.writer import write_file

_BLOCK_WINDOWS = 128  # read and encoded at once: 19 MB of signal at 512 Hz, and what fills a GPU


@dataclass(frozen=True, kw_only=True)
class EncodeSettings(EncoderSettings):
    """What encoded recordings depend on, and where they go."""

    store: Path
    """Folder of the store, made if needed."""
    missing: Literal["error", "zero"] = "error"
    """A channel that is missing or flat: refuse the recording, or store zeros and mark the gap."""

    @property
    def only_encoder(self) -> EncoderSettings:
        """The encoder's settings alone, by which it is loaded once."""
        return EncoderSettings(**{field.name: getattr(self, field.name) for field in fields(EncoderSettings)})


@dataclass(frozen=True)
class RecordingResult:
    """Result of encoding one recording."""

    recording: Recording
    windows: int = 0  # encoded; none when a good part was there already
    seconds: int = 0
    error: str | None = None


@dataclass(frozen=True)
class _Opened:
    """A recording that passed its checks, its windows ``(n, C, N)`` still to be read."""

    recording: Recording
    info: RecordingInfo
    labels: NDArray[np.uint8]  # (T,)
    windows: Iterator[NDArray[np.float32]]
    source: dict[str, Any]


def encode_recordings(
    recordings: Sequence[Recording], settings: EncodeSettings, progress: Callable[[int], object]
) -> Iterator[RecordingResult]:
    """Encode each recording into a part of its own, unless a good one is there or its subject is published.

    The next recording is opened and checked, and this one read, while it is encoded; writing lags behind.
    What is wrong with a recording is in its outcome, not raised, so that others go on. ``progress`` is told
    of windows as they are encoded.

    Raises
    ------
    OSError
        If the disk is full.
    """
    with closing(prefetch((_open(recording, settings) for recording in recordings), 1)) as opened:
        for item in opened:
            yield item if isinstance(item, RecordingResult) else _write(item, settings, progress)


def encode_recording(recording: Recording, settings: EncodeSettings) -> RecordingResult:
    """Encode one recording, as `encode_recordings`; a task of a worker."""
    (outcome,) = encode_recordings([recording], settings, lambda windows: None)
    return outcome


def is_part(recording: Recording, settings: EncodeSettings) -> bool:
    """Whether a complete part of this recording, as it is now, is there. A damaged one is encoded again."""
    path = part_path(settings.store, recording)
    if not path.exists():
        return False
    try:
        part = open_file(path)
        part.verify()
    except (StoreError, FileNotFoundError):  # removed by an extraction that published the subject meanwhile
        return False
    spec = load_encoder(settings.only_encoder).spec
    source = _fingerprint(recording, settings)
    return part.spec == spec and part.person == recording.person and part.provenance["source"] == source


def published_path(store: Path, subject: str) -> Path:
    """File of a subject whose recordings are all there."""
    return store / f"sub-{subject}.h5"


def parts_path(store: Path, subject: str) -> Path:
    """Folder of a subject's parts."""
    return store / ".parts" / f"sub-{subject}"


def part_path(store: Path, recording: Recording) -> Path:
    """File of one recording."""
    return parts_path(store, recording.subject) / f"{recording.name}.h5"


def _open(recording: Recording, settings: EncodeSettings) -> _Opened | RecordingResult:
    try:
        if published_path(settings.store, recording.subject).exists() or is_part(recording, settings):
            return RecordingResult(recording)
        source = _fingerprint(recording, settings)
        return _Opened(recording, *_read(recording, load_encoder(settings.only_encoder).spec, settings), source)
    except (ValueError, OSError) as error:
        return _failure(recording, settings, error)


def _write(opened: _Opened, settings: EncodeSettings, progress: Callable[[int], object]) -> RecordingResult:
    encoder, recording = load_encoder(settings.only_encoder), opened.recording
    provenance = {"encoder": encoder.provenance, "versions": _versions(), "source": opened.source}
    try:
        with (
            closing(prefetch(opened.windows)) as windows,
            closing(prefetch(encoder.encode(block) for block in windows)) as features,
        ):
            write_file(
                part_path(settings.store, recording),
                encoder.spec,
                [opened.info],
                opened.labels,
                _counted(features, progress),
                provenance,
                encoder.codebooks,
            )
    except (ValueError, OSError) as error:
        return _failure(recording, settings, error)
    return RecordingResult(recording, opened.info.windows, opened.info.seconds)


def _counted(blocks: Iterator[NDArray[Any]], progress: Callable[[int], object]) -> Iterator[NDArray[Any]]:
    for block in blocks:
        progress(len(block))
        yield block


def _failure(recording: Recording, settings: EncodeSettings, error: Exception) -> RecordingResult:
    if isinstance(error, DiskFullError) or is_disk_full(error):
        raise error
    if published_path(settings.store, recording.subject).exists():  # by another, which then removed the parts
        return RecordingResult(recording)
    return RecordingResult(recording, error=f"{recording.name}: {error}")


def _read(
    recording: Recording, spec: FeatureSpec, settings: EncodeSettings
) -> tuple[RecordingInfo, NDArray[np.uint8], Iterator[NDArray[np.float32]]]:
    """Check a recording; give its row, its labels ``(T,)`` and its windows ``(n, C, N)``, still to be read."""
    events_path = recording.events_path
    signal = open_signal(recording.path, settings.missing)
    events = read_events(events_path, signal.duration_s)
    seconds = count_seconds(signal.duration_s)
    info = RecordingInfo(
        name=recording.name,
        subject=recording.subject,
        person=recording.person,
        first_window=0,
        windows=count_windows(seconds, spec.window_s, spec.stride_s),
        first_second=0,
        seconds=seconds,
        duration_s=signal.duration_s,
        start=read_start(events_path) or signal.start,
        channel_mask=signal.channel_mask,
        events=events,
    )
    return info, label_seconds(events, signal.duration_s), signal.windows(spec, _BLOCK_WINDOWS)


def _fingerprint(recording: Recording, settings: EncodeSettings) -> dict[str, Any]:
    """What a part depends on beside the spec: the files as they are, and the missing-channel policy."""
    files = [path.stat() for path in (recording.path, recording.events_path) if path.exists()]
    return {"files": [[stat.st_size, stat.st_mtime_ns] for stat in files], "missing": settings.missing}


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("braincodec-seizure", "torch", "mne", "mne-bids", "numpy", "h5py")}
