"""Open and read stores: tables are validated at once, features read on demand, no file stays open."""

import dataclasses
import hashlib
import math
import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from store.gate import read_checked
from store.hdf5.structure import damaged
from store.layout import Array, FeatureMoments, SubjectContent, dequantize
from store.runtime.commands import command_line
from store.runtime.errors import StoreError
from store.runtime.plurals import count_noun
from store.schema import FeatureSpec, RecordingInfo

_BLOCK_WINDOWS = 64
_READ_BYTES = 1 << 26
_PLACE = (
    "start",
    "duration_s",
    "first_window",
    "windows",
    "first_second",
    "seconds",
)  # of one recording in a file


@dataclass(frozen=True, kw_only=True)
class StoreFile(SubjectContent):
    """One file of a store: a subject, or one recording of a subject that is still being extracted."""

    path: Path
    checksum: str  # of everything but the features
    offset: int  # of the features in the file
    file_state: tuple[int, int, int]  # inode, bytes and time of change, to notice another file at the path
    original: "StoreFile | None" = None  # with its own names, if several stores are read as one

    def __repr__(self) -> str:
        return f"<StoreFile {self.path}: person {self.person}, {_describe_content(self.recordings, self.spec)}>"

    @cached_property
    def windows(self) -> int:
        """Windows of all recordings."""
        return sum(info.windows for info in self.recordings)

    def is_current(self) -> bool:
        """Whether the path still holds the file that was opened."""
        with suppress(OSError), _open_binary(self.path) as handle:
            return _file_state(handle) == self.file_state
        return False

    def features(self) -> Array:
        """Map the features of all windows as stored, ``(windows, F, C, D)`` or ``(..., Q)``, read-only."""
        with self.open_unchanged() as (handle, offset):
            end = offset + self.windows * self.spec.window_bytes
            first = offset - offset % mmap.ALLOCATIONGRANULARITY
            memory = mmap.mmap(handle.fileno(), end - first, access=mmap.ACCESS_READ, offset=first)
        shape = (self.windows, *self.spec.shape)
        return np.frombuffer(memory, self.spec.dtype, math.prod(shape), offset - first).reshape(shape)

    def read(self, start: int, stop: int) -> Array:
        """Read the features of windows ``[start, stop)`` as stored, ``(B, F, C, D)`` or ``(B, F, C, Q)``.

        Raises
        ------
        StoreError
            If the file was cut off, or now holds other content than when it was opened.
        """
        out = np.empty((stop - start, *self.spec.shape), self.spec.dtype)
        rest = out.reshape(-1).view(np.uint8).data if out.size else memoryview(b"")
        with self.open_unchanged() as (handle, offset):
            position = offset + start * self.spec.window_bytes
            while rest:
                count = os.preadv(handle.fileno(), [rest[:_READ_BYTES]], position)
                if not count:
                    raise damaged(self.path, "features are cut off")
                rest, position = rest[count:], position + count
        return out

    def blocks(self, number: int) -> Iterator[Array]:
        """One recording's features in blocks of at most 64 windows.

        Raises
        ------
        StoreError
            Before the last block, if the features differ from their checksum.
        """
        info = self.recordings[number]
        stop = info.first_window + info.windows
        digest = hashlib.sha256()
        for start in range(info.first_window, stop, _BLOCK_WINDOWS):
            block = self.read(start, min(start + _BLOCK_WINDOWS, stop))
            digest.update(block.data)
            if start + _BLOCK_WINDOWS >= stop and digest.hexdigest() != self.hashes[number]:
                raise damaged(self.path, f"features of {info.name} differ from their checksum")
            yield block

    def verify(self, numbers: Sequence[int] | None = None) -> None:
        """Compare the features of these recordings, or of all, with their checksums; opening compared the rest.

        Raises
        ------
        StoreError
            Naming the file and the recording that is damaged.
        """
        for number in range(len(self.recordings)) if numbers is None else numbers:
            for _ in self.blocks(number):
                pass

    @contextmanager
    def open_unchanged(self) -> Iterator[tuple[BinaryIO, int]]:
        """Open the file, and give it with the offset of its features.

        Raises
        ------
        StoreError
            If the file has been replaced by one of other content.
        """
        if self.original is not None:
            with self.original.open_unchanged() as opened:
                yield opened
            return
        with _open_binary(self.path) as handle:
            offset = self.offset
            if _file_state(handle) != self.file_state:
                now = _parse(self.path, handle)
                if now.identity != self.identity:
                    raise StoreError(f"{self.path}: changed since it was opened; open the store again")
                offset = now.offset
            yield handle, offset


@dataclass(frozen=True)
class StoreMember:
    """One of several stores that are read as one."""

    name: str  # stands before its subjects
    path: Path
    prefix: str  # stands before its persons and recordings; empty if all members are of one data set


@dataclass(frozen=True)
class Store:
    """All subjects of one folder, or of several. Picklable, safe to fork: it holds paths and tables, no handles.

    The windows of the files, one after the other, are the windows ``[0, store.windows)`` of the store.
    """

    path: Path  # of several folders the first
    files: tuple[StoreFile, ...]
    members: tuple[StoreMember, ...] = ()  # of several folders, as `store.open_stores` joins them

    def __repr__(self) -> str:
        content = _describe_content(self.recordings, self.spec)
        return f"<Store {self.location}: {count_noun(len(self.persons), 'person')}, {content}>"

    @property
    def paths(self) -> tuple[Path, ...]:
        """All folders."""
        return tuple(member.path for member in self.members) or (self.path,)

    @property
    def name(self) -> str:
        """Name of the folder, or of all with a plus between them."""
        return "+".join(member.name for member in self.members) or self.path.resolve().name

    @property
    def location(self) -> str:
        """All folders, for a message."""
        return ", ".join(map(str, self.paths))

    @property
    def spec(self) -> FeatureSpec:
        """The identity that all files share."""
        return self.files[0].spec

    @property
    def codebooks(self) -> Array | None:
        """Vectors of the quantizers, ``(Q, K, D)`` float32, when codes are stored."""
        return self.files[0].codebooks

    @property
    def latent_dims(self) -> int:
        """D, dims of a latent, whether latents or codes are stored."""
        return self.spec.dims if self.codebooks is None else int(self.codebooks.shape[2])

    @property
    def provenance(self) -> dict[str, Any]:
        """What wrote the store, and what is known of its encoder."""
        return self.files[0].provenance

    @cached_property
    def persons(self) -> tuple[str, ...]:
        """Persons, sorted."""
        return tuple(sorted({file.person for file in self.files}))

    @cached_property
    def recordings(self) -> tuple[RecordingInfo, ...]:
        """Recordings of all subjects, sorted by name."""
        return tuple(sorted((r for file in self.files for r in file.recordings), key=lambda r: r.name))

    @cached_property
    def first_windows(self) -> Array:
        """First window of each file among the windows of the store, and their end, ``(files + 1,)`` int64."""
        return np.cumsum([0, *(file.windows for file in self.files)], dtype=np.int64)

    @property
    def windows(self) -> int:
        """Windows of all files."""
        return int(self.first_windows[-1])

    @cached_property
    def checksums(self) -> dict[str, str]:
        """Checksum of each subject's content."""
        return {file.subject: file.checksum for file in self.files}

    @cached_property
    def identities(self) -> dict[str, str]:
        """Identity of each subject's content: what a run was trained on."""
        return {file.subject: file.identity for file in self.files}

    def recording_identities(self) -> dict[str, dict[str, str]]:
        """Person, and short hashes of labels and features, of each recording: to say what moved in a store."""
        return {
            info.name: {"person": info.person, "labels": file.label_hash(info)[:16], "features": features[:16]}
            for file in self.files
            for info, features in zip(file.recordings, file.hashes, strict=True)
        }

    def file_of(self, subject: str) -> StoreFile:
        """The file of a subject of the store."""
        return self._by_subject[subject]

    @cached_property
    def _by_subject(self) -> dict[str, StoreFile]:
        return {file.subject: file for file in self.files}

    @cached_property
    def _moments(self) -> dict[str, FeatureMoments]:
        """Moments of each person."""
        grouped: dict[str, list[FeatureMoments]] = {}
        for file in self.files:
            grouped.setdefault(file.person, []).append(file.moments)
        none = FeatureMoments.zeros(len(self.spec.channels), self.latent_dims)
        return {person: sum(moments, none) for person, moments in grouped.items()}

    def labels(self, info: RecordingInfo) -> Array:
        """1-Hz labels of a recording, ``(T,)`` uint8: 1 where a second is seizure.

        Raises
        ------
        StoreError
            If the recording is not labelled, or not of this store.
        """
        if not info.labelled:
            raise StoreError(f"{info.name}: has no labels; leave out recordings whose info.labelled is False")
        return self._file_with(info).labels_of(info)

    def stored_labels(self, info: RecordingInfo) -> Array:
        """As `labels`, but 0 in all seconds of a recording that is not labelled."""
        return self._file_with(info).labels_of(info)

    def features(self, info: RecordingInfo) -> Array:
        """Features of a recording as stored, ``(B, F, C, D)`` or codes ``(B, F, C, Q)``, mapped from the file.

        Raises
        ------
        StoreError
            If the recording is not of this store.
        """
        return self._file_with(info).features()[info.first_window : info.first_window + info.windows]

    def _file_with(self, info: RecordingInfo) -> StoreFile:
        """The file that holds a recording."""
        file = self._by_subject.get(info.subject)
        held = file.by_name.get(info.name) if file is not None else None
        if file is None or held is None or any(getattr(held, name) != getattr(info, name) for name in _PLACE):
            raise StoreError(f"{self.location}: holds no such recording {info.name}; give one of its recordings")
        return file

    def latents(self, info: RecordingInfo, start: int = 0, stop: int | None = None) -> Array:
        """Latents of a recording's windows ``[start, stop)``, ``(B, F, C, D)`` float32, codes looked up.

        Raises
        ------
        StoreError
            If the recording is not of this store.
        """
        stored = self.features(info)[start:stop]
        return stored.astype(np.float32) if self.codebooks is None else dequantize(stored, self.codebooks)

    def read(self, start: int, stop: int) -> Array:
        """Read the features of the store's windows ``[start, stop)`` as stored, ``(B, F, C, D)`` or codes."""
        parts = [] if start < stop else [self.files[0].read(0, 0)]
        for file, first in zip(self.files, self.first_windows, strict=False):
            begin, end = max(start - first, 0), min(stop - first, file.windows)
            if begin < end:
                parts.append(file.read(begin, end))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def moments(self, person: str) -> FeatureMoments:
        """Moments of latents over a person's recordings."""
        return self._moments[person]


def _describe_content(recordings: Sequence[RecordingInfo], spec: FeatureSpec) -> str:
    hours = sum(info.duration_s for info in recordings) / 3600
    return f"{count_noun(len(recordings), 'recording')} of {hours:.2f} h, {spec.encoder} {spec.features}"


def open_store(path: Path | str) -> Store:
    """Open a store: check all of every file but the features, which `StoreFile.verify` reads.

    Raises
    ------
    StoreError
        If the folder is not there or holds no subject, if a file is incomplete, of another format,
        damaged or misnamed, if the files do not share one spec, if two persons share a recording, or if two
        recordings have the same name.
    """
    files = tuple(open_file(file) for file in list_files(Path(path)))
    require_one_store(files)
    return Store(Path(path), files)


def require_one_store(files: Sequence[StoreFile]) -> None:
    """Refuse files of one folder that are not one store.

    Raises
    ------
    StoreError
        If one is misnamed, if they do not share one spec, if two persons share a recording, or if two recordings
        have the same name.
    """
    for file in files:
        if file.path.stem != f"sub-{file.subject}":
            path = file.path.with_name(f"sub-{file.subject}.h5")
            remedy = f"{path.name} is there too, remove one of them" if path.exists() else f"name it {path.name}"
            raise StoreError(f"{file.path}: holds subject {file.subject}; {remedy}")
        if difference := file.spec.difference(files[0].spec):
            raise StoreError(
                f"{file.path}: {difference} as in {files[0].path.name}; one store holds one spec, "
                "move one of them to another folder"
            )
    require_one_person(files)
    require_distinct_recordings(
        files, lambda file, other: "write it again with a name of its own, as BIDS gives each recording"
    )


def merge_persons(file: StoreFile, other: StoreFile) -> str:
    """Say how the features of two persons of one store become those of one."""
    return (
        f"if a recording was renamed, run {command_line('extract')} without --subject, else give both the "
        "same person_id in participants.tsv, or remove one"
    )


def require_one_person(
    files: Iterable[StoreFile], remedy: Callable[[StoreFile, StoreFile], str] = merge_persons
) -> None:
    """Refuse features that two persons have: one human would train and test a head.

    Parameters
    ----------
    files
    remedy
        Says what to do about two files that share features.

    Raises
    ------
    StoreError
        If two persons have a recording with the same features.
    """
    seen: dict[str, tuple[StoreFile, str]] = {}
    for file in files:
        for info, features in zip(file.recordings, file.hashes, strict=True):
            other, twin = seen.setdefault(features, (file, info.name)) if info.windows else (file, "")
            if other.person != file.person:
                raise StoreError(
                    f"{file.path}: {info.name} has the same features as {twin}, and is of person {file.person}, "
                    f"not {other.person}; {remedy(file, other)}"
                )


def require_distinct_recordings(files: Iterable[StoreFile], remedy: Callable[[StoreFile, StoreFile], str]) -> None:
    """Refuse two recordings of one name: windows, labels and predictions are found by it.

    Parameters
    ----------
    files
    remedy
        Says what to do about two files that hold a recording of one name.

    Raises
    ------
    StoreError
        Naming the files and the recording.
    """
    seen: dict[str, StoreFile] = {}
    for file in files:
        for info in file.recordings:
            if (other := seen.setdefault(info.name, file)) is not file:
                raise StoreError(
                    f"{file.path}: holds {info.name.rpartition('/')[2]}, which {other.path} holds too; "
                    f"{remedy(file, other)}"
                )


def list_files(path: Path) -> list[Path]:
    """Paths of a store's files, sorted.

    Raises
    ------
    StoreError
        If the folder is not there or holds no subject.
    """
    if not path.is_dir():
        what = "a file; give the folder of a store" if path.exists() else "no such store"
        raise StoreError(f"{path}: {what}; {command_line('extract')} makes one")
    files = sorted(path.glob("sub-*.h5"))
    if not files and (waiting := sum(1 for _ in path.glob(".parts/sub-*/*.h5"))):
        raise StoreError(
            f"{path}: no finished subject; {count_noun(waiting, 'recording')} wait{'s' * (waiting == 1)} "
            f"in .parts until all of a subject's are there; run the same {command_line('extract')} "
            "again, which goes on where it stopped; if recordings failed, fix them or add --skip-unusable"
        )
    if not files:
        raise StoreError(f"{path}: no subject in this folder (sub-*.h5); {command_line('extract')} makes them")
    return files


def open_file(path: Path) -> StoreFile:
    """Open one file of a store.

    Raises
    ------
    StoreError
        As `open_store`.
    """
    try:
        with _open_binary(path) as handle:
            return _parse(path, handle)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(path: Path, handle: BinaryIO) -> StoreFile:
    state = _file_state(handle)
    content, checksum, offset = read_checked(path, handle, state[1])
    fields = {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
    return StoreFile(**fields, path=path, checksum=checksum, offset=offset, file_state=state)


def _open_binary(path: Path) -> BinaryIO:
    """Open a regular file: a pipe in its place would wait for a writer."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise StoreError(f"{path}: not a regular file; move it out of the store's folder")
    return os.fdopen(number, "rb", buffering=0)


def _file_state(handle: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(handle.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns
