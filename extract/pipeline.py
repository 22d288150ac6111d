"""Recordings to a store: each is encoded and kept, a subject is published when all of its own are there."""

import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from extract.encoders import EncoderSettings, load_encoder
from extract.recordings import Recording, find_recordings, open_signal, read_events, read_start
from extract.windows import label_seconds, window_blocks
from store import FeatureSpec, RecordingInfo, StoreError
from store.reader import open_file
from store.schema import count_seconds, count_windows
from store.writer import join_files, prepare_folder, write_file

_BLOCK_WINDOWS = 32  # read and encoded at once: 15 MB of signal at 512 Hz


@dataclass(frozen=True, kw_only=True)
class Settings(EncoderSettings):
    """The command line of ``python -m extract``."""

    bids: Path
    """Folder of the BIDS data set."""
    store: Path
    """Folder of the store, made if needed."""
    subject: tuple[str, ...] = ()
    """Subjects to extract; all if not given."""
    missing: Literal["error", "zero"] = "error"
    """A channel that is missing or flat: refuse the recording, or store zeros and mark the gap."""
    jobs: int = 1
    """Recordings encoded at the same time, a process each."""


@dataclass(frozen=True)
class Outcome:
    """What became of one recording."""

    recording: Recording
    seconds: int
    failure: str  # empty when it is there


@dataclass(frozen=True)
class Summary:
    """What an extraction did."""

    subjects: tuple[str, ...]  # complete in the store
    encoded_hours: float
    failures: tuple[str, ...]


def extract(settings: Settings) -> Summary:
    """Encode what is not there yet and publish every subject whose recordings are all there.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such data set, subject or encoder.
    StoreError
        If the store holds features of another spec.
    OSError
        If the disk is full.
    """
    recordings = find_recordings(settings.bids, settings.subject or None)
    spec = load_encoder(_encoder_settings(settings)).spec
    count_windows(0, spec.window_s, spec.stride_s)
    _require_spec(settings.store, spec)
    prepare_folder(settings.store)
    by_subject: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_subject.setdefault(recording.subject, []).append(recording)
    failures = []
    for subject, own in by_subject.items():
        if _published(settings.store, subject).exists():
            _remove_parts(settings.store, subject)
            if failure := _outdated(settings.store, subject, own):
                failures.append(failure)
    todo = [r for r in recordings if not _published(settings.store, r.subject).exists()]
    waiting = {subject: len(own) for subject, own in by_subject.items()}
    seconds = 0
    with tqdm(total=len(todo), unit="recording", disable=None) as bar:
        for outcome in _encode_all(todo, settings):
            bar.update()
            seconds += outcome.seconds
            if outcome.failure:
                failures.append(outcome.failure)
                bar.write(f"failed: {outcome.failure}")
                continue
            subject = outcome.recording.subject
            waiting[subject] -= 1
            if not waiting[subject]:
                _publish(settings.store, subject, by_subject[subject], spec)
    complete = tuple(subject for subject in by_subject if _published(settings.store, subject).exists())
    return Summary(complete, seconds / 3600, tuple(failures))


def encode_recording(recording: Recording, settings: Settings) -> Outcome:
    """Encode one recording into a part of its own, unless a good one is there or its subject is published.

    What is wrong with the recording is returned, not raised, so that others go on.
    """
    published = _published(settings.store, recording.subject)
    if published.exists():
        return Outcome(recording, 0, "")
    path = _part(settings.store, recording)
    encoder = load_encoder(_encoder_settings(settings))
    try:
        source = _fingerprint(recording, settings)
        if _is_part(path, encoder.spec, recording, source):
            return Outcome(recording, 0, "")
        info, labels, windows = _read(recording, encoder.spec, settings.missing)
        provenance = {"encoder": encoder.provenance, "versions": _versions(), "source": source}
        features = (encoder.encode(block) for block in windows)
        write_file(path, encoder.spec, [info], labels, features, provenance, encoder.codebooks)
    except (ValueError, StoreError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        if published.exists():  # by another extraction, which then removed the parts
            return Outcome(recording, 0, "")
        return Outcome(recording, 0, f"{recording.name}: {error}")
    return Outcome(recording, info.seconds, "")


def _read(
    recording: Recording, spec: FeatureSpec, missing: str
) -> tuple[RecordingInfo, NDArray[np.uint8], Iterator[NDArray[np.float32]]]:
    """Check a recording; give its row, its labels ``(T,)`` and its windows ``(n, C, N)``, still to be read."""
    events_path = recording.events_path
    signal = open_signal(recording.path, missing)
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
    windows = window_blocks(
        signal.read,
        signal.samples,
        signal.sample_rate_hz,
        spec.window_s,
        spec.stride_s,
        spec.sample_rate_hz,
        _BLOCK_WINDOWS,
    )
    return info, label_seconds(events, signal.duration_s), windows


def _encode_all(recordings: Sequence[Recording], settings: Settings) -> Iterator[Outcome]:
    parallel = joblib.Parallel(n_jobs=settings.jobs, return_as="generator_unordered")
    yield from parallel(joblib.delayed(encode_recording)(recording, settings) for recording in recordings)


def _publish(store: Path, subject: str, recordings: Sequence[Recording], spec: FeatureSpec) -> None:
    """Join the parts of a subject; another extraction may have done it in the meantime."""
    path = _published(store, subject)
    if not path.exists():
        _require_spec(store, spec)
        try:
            join_files(path, [_part(store, recording) for recording in recordings])
        except (StoreError, FileNotFoundError):
            if not path.exists():
                raise
    _remove_parts(store, subject)


def _remove_parts(store: Path, subject: str) -> None:
    """Remove the parts of a published subject; another extraction of it notices that it is published."""
    shutil.rmtree(_parts(store, subject), ignore_errors=True)


def _require_spec(store: Path, spec: FeatureSpec) -> None:
    """Refuse to add features of another spec to a store."""
    for path in sorted(store.glob("sub-*.h5"))[:1]:
        if difference := open_file(path).spec.difference(spec):
            raise StoreError(f"{path}: {difference}; extract into another --store")


def _outdated(store: Path, subject: str, recordings: Sequence[Recording]) -> str:
    """Say how a published subject differs from the data set; empty when it does not."""
    path = _published(store, subject)
    stored = {info.name for info in open_file(path).recordings}
    wanted = {recording.name for recording in recordings}
    if stored == wanted:
        return ""
    return (
        f"{path}: holds {len(stored)} recordings, the data set has {len(wanted)} "
        f"(first difference {min(stored ^ wanted)}); remove the file to extract the subject again"
    )


def _is_part(path: Path, spec: FeatureSpec, recording: Recording, source: dict[str, Any]) -> bool:
    """Whether a complete part of this recording, as it is now, is there. A damaged one is encoded again."""
    if not path.exists():
        return False
    try:
        part = open_file(path)
        part.verify()
    except StoreError:
        return False
    return part.spec == spec and part.person == recording.person and part.provenance["source"] == source


def _fingerprint(recording: Recording, settings: Settings) -> dict[str, Any]:
    """What a part depends on beside the spec: the files as they are, and the missing-channel policy."""
    files = [path.stat() for path in (recording.path, recording.events_path) if path.exists()]
    return {"files": [[stat.st_size, stat.st_mtime_ns] for stat in files], "missing": settings.missing}


def _encoder_settings(settings: Settings) -> EncoderSettings:
    return EncoderSettings(**{field.name: getattr(settings, field.name) for field in fields(EncoderSettings)})


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("braincodec-seizure", "torch", "mne", "mne-bids", "numpy", "h5py")}


def _published(store: Path, subject: str) -> Path:
    return store / f"sub-{subject}.h5"


def _parts(store: Path, subject: str) -> Path:
    return store / ".parts" / f"sub-{subject}"


def _part(store: Path, recording: Recording) -> Path:
    return _parts(store, recording.subject) / f"{recording.name}.h5"
