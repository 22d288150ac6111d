"""Recordings to a store: each is encoded and kept, a subject is published when all of its own are there."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from extract.encode_recording import (
    EncodeSettings,
    RecordingResult,
    encode_recording,
    encode_recordings,
    is_part,
    part_path,
    parts_path,
    published_path,
)
from extract.encoders.registry import load_encoder
from extract.io.bids import Recording, find_recordings
from extract.io.raw import read_duration
from extract.io.shards import parse_shard, split_by_duration
from store import FeatureSpec, StoreError
from store.reader import open_file
from store.runtime.atomic import require_writable
from store.runtime.parallel import WorkerSettings, run_tasks
from store.schema import count_seconds, count_windows
from store.writer import join_files


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(WorkerSettings, EncodeSettings):
    """The command line of ``python -m extract``."""

    bids: Path
    """Folder of the BIDS data set."""
    subject: tuple[str, ...] = ()
    """Subjects to extract; all if not given."""
    shard: str | None = None
    """Do one share of the recordings, as 1/8, in a job of its own; "slurm" takes it from the Slurm job array."""


@dataclass(frozen=True)
class Summary:
    """What an extraction did."""

    subjects: tuple[str, ...]  # complete in the store
    waiting: tuple[str, ...]  # for other shards
    encoded_hours: float
    failures: tuple[str, ...]


def extract(settings: ExtractCommand) -> Summary:
    """Encode what is not there yet and publish every subject whose recordings are all there.

    Raises
    ------
    UserError
        If there is no such data set, subject, encoder or shard, or the settings do not go together.
    StoreError
        If the store holds features of another spec.
    OSError
        If the disk is full, or a cluster does not answer.
    """
    settings.check()
    index, shards = parse_shard(settings.shard, os.environ) if settings.shard is not None else (0, 1)
    if settings.backend != "loky":  # workers may be in another folder
        settings = replace(settings, bids=settings.bids.absolute(), store=settings.store.absolute())
        if Path(settings.encoder).is_file():
            settings = replace(settings, encoder=str(Path(settings.encoder).absolute()))
    recordings = find_recordings(settings.bids, settings.subject or None)
    spec = load_encoder(settings.only_encoder).spec
    if settings.backend != "loky":  # and of another kind, where the encoder's own choice would be another
        settings = replace(settings, precision=spec.precision)
    count_windows(0, spec.window_s, spec.stride_s)
    _require_spec(settings.store, spec)
    require_writable(settings.store)
    by_subject: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_subject.setdefault(recording.subject, []).append(recording)
    failures = []
    for subject, own in by_subject.items():
        if published_path(settings.store, subject).exists():
            _remove_parts(settings.store, subject)
            if failure := _outdated(settings.store, subject, own):
                failures.append(failure)
    lengths_s = {recording: read_duration(recording.path) for recording in recordings}
    ours = [recordings[number] for number in split_by_duration(list(lengths_s.values()), index, shards)]
    todo = [r for r in ours if not published_path(settings.store, r.subject).exists()]
    good: set[Recording] = set()
    seconds = 0
    with closing(_encode_with_bar(todo, settings, spec, lengths_s)) as results:
        for result in results:
            seconds += result.seconds
            if result.error:
                failures.append(result.error)
                continue
            good.add(result.recording)
            own = by_subject[result.recording.subject]
            if _all_there(own, good, settings):
                _publish(settings.store, own, spec)
    complete = tuple(subject for subject in by_subject if published_path(settings.store, subject).exists())
    waiting = {r.subject for r in good} - set(complete) if shards > 1 else set()
    return Summary(complete, tuple(sorted(waiting)), seconds / 3600, tuple(failures))


def _encode_with_bar(
    recordings: Sequence[Recording], settings: ExtractCommand, spec: FeatureSpec, lengths_s: dict[Recording, float]
) -> Generator[RecordingResult, None, None]:
    """Encode recordings, showing windows a second and hours of EEG."""
    windows = {
        recording: count_windows(count_seconds(lengths_s[recording]), spec.window_s, spec.stride_s)
        for recording in recordings
    }
    with tqdm(total=sum(windows.values()), unit=" windows", disable=None) as bar:

        def show(count: int) -> None:
            hours, total_hours = ((n * spec.stride_s) / 3600 for n in (bar.n + count, bar.total))
            bar.set_postfix_str(f"{hours:.2f} of {total_hours:.2f} h of EEG", refresh=False)
            bar.update(count)

        for result in _encode_all(recordings, settings, show):
            if result.error:
                bar.write(f"failed: {result.error}")
            bar.total -= windows[result.recording] - result.windows  # what was there already, or failed
            yield result


def _encode_all(
    recordings: Sequence[Recording], settings: ExtractCommand, progress: Callable[[int], object]
) -> Iterator[RecordingResult]:
    if settings.alone:
        yield from encode_recordings(recordings, settings, progress)
        return
    for _, result in run_tasks(
        partial(encode_recording, settings=settings), recordings, settings, settings.device
    ):
        progress(result.windows)
        yield result


def _all_there(recordings: Sequence[Recording], good: set[Recording], settings: ExtractCommand) -> bool:
    """Whether every recording is encoded: by this extraction, or by others such as the other shards."""
    others = [recording for recording in recordings if recording not in good]
    if not all(part_path(settings.store, recording).exists() for recording in others):
        return False
    return all(is_part(recording, settings) for recording in others)


def _publish(store: Path, recordings: Sequence[Recording], spec: FeatureSpec) -> None:
    """Join the parts of a subject; another extraction may have done it in the meantime."""
    subject = recordings[0].subject
    path = published_path(store, subject)
    if not path.exists():
        _require_spec(store, spec)
        try:
            join_files(path, [part_path(store, recording) for recording in recordings])
        except (StoreError, FileNotFoundError):
            if not path.exists():
                raise
    _remove_parts(store, subject)


def _remove_parts(store: Path, subject: str) -> None:
    """Remove the parts of a published subject; another extraction of it notices that it is published."""
    shutil.rmtree(parts_path(store, subject), ignore_errors=True)


def _require_spec(store: Path, spec: FeatureSpec) -> None:
    """Refuse to add features of another spec to a store."""
    for path in sorted(store.glob("sub-*.h5"))[:1]:
        if difference := open_file(path).spec.difference(spec):
            raise StoreError(f"{path}: {difference}; use its options, or another --store")


def _outdated(store: Path, subject: str, recordings: Sequence[Recording]) -> str:
    """Say how a published subject differs from the data set; empty when it does not."""
    path = published_path(store, subject)
    stored = {info.name for info in open_file(path).recordings}
    wanted = {recording.name for recording in recordings}
    if stored == wanted:
        return ""
    return (
        f"{path}: holds {len(stored)} recordings, the data set has {len(wanted)} "
        f"(first difference {min(stored ^ wanted)}); remove the file to extract the subject again"
    )
