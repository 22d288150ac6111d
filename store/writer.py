"""Write store files atomically: a file is complete or absent."""

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from store.features.transfer import allocate, copy_bytes, require_hashes, write_features
from store.layout import Array, SubjectContent, content_checksum, to_arrays, to_attributes
from store.reader import StoreFile, open_file
from store.runtime.atomic import AtomicFile, atomic_write, require_writable
from store.runtime.errors import DiskFullError, StoreError
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec, LeftOut, RecordingInfo, Source

_RESERVE_BYTES = 1 << 20  # tables and HDF5's own metadata
_PAGE_BYTES = 4096


def write_file(
    path: Path,
    spec: FeatureSpec,
    recordings: Sequence[RecordingInfo],
    labels: Array,
    blocks: Iterable[Array],
    provenance: Mapping[str, Any],
    codebooks: Array | None = None,
    *,
    dataset: str = "",
    sources: Mapping[str, Source] | None = None,
    left_out: Sequence[LeftOut] = (),
    participant: Mapping[str, str] | None = None,
) -> None:
    """Write recordings of one subject to a file that appears complete or not at all.

    A file there is replaced; its checksum is kept as a former one if the content has the same identity.

    Parameters
    ----------
    recordings
        In the order of their windows; windows and seconds are consecutive.
    labels : (T,) uint8
        Of all recordings' seconds.
    blocks
        Float arrays ``(n, F, C, D)`` or codes ``(n, F, C, Q)``, all windows in order; no block holds windows
        of two recordings.
    provenance
        What wrote it (JSON): versions, and what is known of the encoder.
    codebooks : (Q, K, D) float32
        Of the quantizer, when the features are codes.
    dataset
        Name of the data set.
    sources
        What each recording was made from, by name.
    left_out
        Recordings of the subject that could not be used.
    participant
        The subject's columns of participants.tsv.

    Raises
    ------
    StoreError
        If a value does not fit the stored type, or if windows or labels are missing.
    DiskFullError
        If the disk is full.
    """
    _require_labels(path, recordings, labels)
    windows = sum(info.windows for info in recordings)
    with _new_file(path, windows * spec.window_bytes) as (sink, file):
        features = file.create_dataset("features", (windows, *spec.shape), spec.dtype)
        hashes, moments = write_features(features, recordings, _checked(blocks, sink), path, codebooks)
        content = SubjectContent(
            spec=spec,
            subject=recordings[0].subject,
            person=recordings[0].person,
            provenance={"encoder": {}, "versions": {}, **provenance},
            recordings=tuple(recordings),
            hashes=tuple(hashes),
            labels=labels,
            moments=moments,
            codebooks=codebooks,
            dataset=dataset,
            sources=sources or {},
            left_out=tuple(left_out),
            participant=participant or {},
        )
        _write_content(file, _with_former_checksums(content, path))


def join_files(
    path: Path,
    parts: Sequence[Path],
    *,
    dataset: str | None = None,
    sources: Mapping[str, Source] | None = None,
    left_out: Sequence[LeftOut] | None = None,
    participant: Mapping[str, str] | None = None,
) -> None:
    """Join files of one subject, a recording each, into one, in the order given.

    What is not given beside the parts is taken from them.

    Raises
    ------
    StoreError
        If a part is damaged or of another spec than the first.
    """
    files = [open_file(part) for part in parts]
    first = files[0]
    for file in files:
        if difference := file.spec.difference(first.spec):
            raise StoreError(f"{file.path}: {difference}; remove it and extract again")
    write_file(
        path,
        first.spec,
        _consecutive([info for file in files for info in file.recordings]),
        np.concatenate([file.labels for file in files]),
        chain.from_iterable(file.blocks(number) for file in files for number in range(len(file.recordings))),
        {key: value for key, value in first.provenance.items() if key != "source"},
        first.codebooks,
        dataset=first.dataset if dataset is None else dataset,
        sources={n: s for file in files for n, s in file.sources.items()} if sources is None else sources,
        left_out=[recording for file in files for recording in file.left_out] if left_out is None else left_out,
        participant=first.participant if participant is None else participant,
    )


def relabel_file(
    path: Path,
    *,
    recordings: Sequence[RecordingInfo],
    labels: Array,
    dataset: str = "",
    sources: Mapping[str, Source] | None = None,
    left_out: Sequence[LeftOut] = (),
    participant: Mapping[str, str] | None = None,
) -> None:
    """Replace a subject's file by one with other labels, events or person and the same features.

    Parameters
    ----------
    recordings
        New rows of the recordings in the file, or of some of them: the features of the others are dropped.
        Windows and seconds may be numbered as in the file; they are made consecutive.
    labels : (T,) uint8
        Of all these recordings' seconds, in their order.
    dataset, sources, left_out, participant
        As in `write_file`.

    Raises
    ------
    StoreError
        If the file is damaged or lacks one of the recordings.
    DiskFullError
        If the disk is full.
    """
    old = open_file(path)
    _require_same_windows(old, recordings)
    rows = _consecutive(recordings)
    _require_labels(path, rows, labels)
    metadata: dict[str, Any] = {
        "dataset": dataset,
        "sources": sources or {},
        "left_out": tuple(left_out),
        "participant": participant or {},
    }
    numbers = {info.name: number for number, info in enumerate(old.recordings)}
    if [info.name for info in rows] != list(numbers):
        blocks = chain.from_iterable(old.blocks(numbers[info.name]) for info in rows)
        write_file(path, old.spec, rows, labels, blocks, old.provenance, old.codebooks, **metadata)
        return
    fields = {field.name: getattr(old, field.name) for field in dataclasses.fields(SubjectContent)}
    fields |= {"person": rows[0].person, "recordings": tuple(rows), "labels": labels, "version": FORMAT_VERSION}
    content = SubjectContent(**{**fields, **metadata})
    _copy_file(path, old, _with_former_checksums(content, path, old))


def _require_same_windows(old: StoreFile, recordings: Sequence[RecordingInfo]) -> None:
    """Refuse recordings that a file does not hold, or whose features would have to change."""
    stored = {info.name: (info.windows, info.seconds, info.channel_mask) for info in old.recordings}
    for info in recordings:
        if info.name not in stored:
            raise StoreError(f"{old.path}: holds no recording {info.name}; extract the subject again")
        if (info.windows, info.seconds, info.channel_mask) != stored[info.name]:
            raise ValueError(
                f"{info.name}: windows, seconds and channels belong to its features and cannot change"
            )


def _copy_file(path: Path, old: StoreFile, content: SubjectContent) -> None:
    """Write a file of that content; the features are copied byte by byte and compared with their checksums."""
    features_bytes = old.windows * old.spec.window_bytes
    with _new_file(path, features_bytes) as (sink, file):
        offset = allocate(file, "features", (old.windows, *old.spec.shape), old.spec.dtype)
        _write_content(file, content)
        file.close()
        sink.check()
        with old.open_unchanged() as (handle, old_offset):
            copy_bytes(handle.fileno(), old_offset, sink.descriptor, offset, features_bytes)
        require_hashes(sink.descriptor, offset, content, path)


def _require_labels(path: Path, recordings: Sequence[RecordingInfo], labels: Array) -> None:
    seconds = sum(info.seconds for info in recordings)
    if len(labels) != seconds:
        raise StoreError(f"{path}: {len(labels)} labels for {seconds} seconds")


def _consecutive(recordings: Sequence[RecordingInfo]) -> list[RecordingInfo]:
    """Number windows and seconds of recordings one after the other."""
    rows = []
    first_window = first_second = 0
    for info in recordings:
        rows.append(dataclasses.replace(info, first_window=first_window, first_second=first_second))
        first_window, first_second = first_window + info.windows, first_second + info.seconds
    return rows


@contextmanager
def _new_file(path: Path, features_bytes: int) -> Iterator[tuple[AtomicFile, h5py.File]]:
    require_writable(path.parent)
    _require_space(path, features_bytes)
    aligned = {"alignment_threshold": _PAGE_BYTES, "alignment_interval": _PAGE_BYTES}
    with atomic_write(path, sync=True) as sink, h5py.File(sink, "w", libver="v110", **aligned) as file:
        yield sink, file


def _write_content(file: h5py.File, content: SubjectContent) -> None:
    """Write everything but the features; texts have a fixed length, as a damaged heap of strings can hang HDF5."""
    if any("\0" in text for text in _texts(content)):
        raise StoreError(f"sub-{content.subject}: a name holds the character NUL; remove it from the data set")
    arrays, attributes = to_arrays(content), to_attributes(content)
    for name, array in arrays.items():
        file.create_dataset(name, data=array)
    more = {"format": FORMAT, "spec": content.spec.to_json(), "checksum": _checksum(content)}
    for name, text in (attributes | {name: text.encode() for name, text in more.items()}).items():
        file.attrs[name] = np.bytes_(text)
    file.attrs["version"] = FORMAT_VERSION


def _checksum(content: SubjectContent) -> str:
    arrays, attributes = to_arrays(content), to_attributes(content)
    return content_checksum(content.spec, list(attributes.values()), list(arrays.values()))


def _texts(content: SubjectContent) -> Iterator[str]:
    yield from (content.subject, content.person)
    for info in content.recordings:
        yield from (info.name, info.start, *(event.kind for event in info.events))


def _with_former_checksums(content: SubjectContent, path: Path, old: StoreFile | None = None) -> SubjectContent:
    """Note the checksum of the file at the path, and those it noted, if it has the same identity."""
    if old is None and path.exists():
        with suppress(StoreError):  # a damaged file is replaced
            old = open_file(path)
    if old is None or old.identity != content.identity:
        return dataclasses.replace(content, former_checksums=())  # those were of another identity
    same = dataclasses.replace(content, former_checksums=old.former_checksums)
    if old.checksum == _checksum(same):  # written twice, as by two extractions at once
        return same
    return dataclasses.replace(
        content, former_checksums=tuple(dict.fromkeys((*old.former_checksums, old.checksum)))
    )


def _require_space(path: Path, features_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    needed = features_bytes + _RESERVE_BYTES
    if free < needed:
        raise DiskFullError(
            f"{path}: disk full: {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free; make room and run "
            "the same command again"
        )


def _checked(blocks: Iterable[Array], sink: AtomicFile) -> Iterator[Array]:
    for block in blocks:
        sink.check()
        yield block
