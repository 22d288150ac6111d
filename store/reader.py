"""Validated opening and fast reading: tables are read at once, features are mapped, no handle stays open."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from store.layout import Array, Sums, content_checksum, event_table, read_recordings, recording_table
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec, RecordingInfo, StoreError

_BLOCK_WINDOWS = 64


@dataclass(frozen=True)
class StoreFile:
    """One file of a store: a subject, or one recording of a subject that is still being extracted."""

    path: Path
    spec: FeatureSpec
    subject: str
    person: str
    provenance: dict[str, Any]
    recordings: tuple[RecordingInfo, ...]
    labels: Array  # (T,) uint8, all recordings
    sums: Sums
    checksum: str
    hashes: tuple[str, ...]  # sha256 of each recording's features
    offset: int  # of the features in the file

    @property
    def windows(self) -> int:
        """Windows of all recordings."""
        return sum(info.windows for info in self.recordings)

    def features(self) -> Array:
        """Map the features of all windows, ``(windows, F, C, D)``, read-only."""
        return np.memmap(
            self.path, np.dtype(self.spec.dtype), "r", self.offset, shape=(self.windows, *self.spec.shape)
        )

    def blocks(self, info: RecordingInfo) -> Iterator[Array]:
        """One recording's features in blocks of at most 64 windows."""
        features = self.features()
        stop = info.first_window + info.windows
        for start in range(info.first_window, stop, _BLOCK_WINDOWS):
            yield features[start : min(start + _BLOCK_WINDOWS, stop)]

    def verify(self) -> None:
        """Compare the whole content with its checksums.

        Raises
        ------
        StoreError
            Naming the file and the recording that is damaged.
        """
        for info, wanted in zip(self.recordings, self.hashes, strict=True):
            digest = hashlib.sha256()
            for block in self.blocks(info):
                digest.update(block.tobytes())
            if digest.hexdigest() != wanted:
                raise _damaged(self.path, f"features of {info.name} differ from their checksum")
        texts = (self.subject, self.person, json.dumps(self.provenance, sort_keys=True))
        arrays = (
            self.labels,
            recording_table(self.recordings, self.hashes),
            event_table(self.recordings),
            self.sums.count,
            self.sums.total,
            self.sums.squares,
        )
        if content_checksum(self.spec, texts, arrays) != self.checksum:
            raise _damaged(self.path, "labels, tables or attributes differ from their checksum")


@dataclass(frozen=True)
class Store:
    """All subjects of one folder. Picklable, safe to fork: it holds paths and tables, no handles."""

    path: Path
    files: tuple[StoreFile, ...]

    @property
    def spec(self) -> FeatureSpec:
        """The identity that all files share."""
        return self.files[0].spec

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
    def checksums(self) -> dict[str, str]:
        """Checksum of each subject's content."""
        return {file.subject: file.checksum for file in self.files}

    def file_of(self, subject: str) -> StoreFile:
        """The file of a subject that is there."""
        return next(file for file in self.files if file.subject == subject)

    def labels(self, info: RecordingInfo) -> Array:
        """1-Hz labels of a recording, ``(T,)`` uint8: 1 where a second is seizure."""
        return self.file_of(info.subject).labels[info.first_second : info.first_second + info.seconds]

    def features(self, info: RecordingInfo) -> Array:
        """Features of a recording, ``(B, F, C, D)``, mapped from the file."""
        return self.file_of(info.subject).features()[info.first_window : info.first_window + info.windows]

    def sums(self, person: str) -> Sums:
        """Sums over a person's recordings."""
        sums = [file.sums for file in self.files if file.person == person]
        return sum(sums, Sums.zeros(*self.spec.shape[1:]))


def open_store(path: Path | str) -> Store:
    """Open a store: check every file's kind, version, completeness and spec; features are not read.

    Raises
    ------
    StoreError
        If the folder is not there or holds no subject, if a file is no complete file of this format, or if
        the files do not share one spec.
    """
    path = Path(path)
    if not path.is_dir():
        raise StoreError(f"{path}: no such store; python -m extract makes one")
    files = tuple(open_file(file) for file in sorted(path.glob("sub-*.h5")))
    if not files:
        raise StoreError(f"{path}: no subject in this folder (sub-*.h5); python -m extract puts them there")
    for file in files[1:]:
        if difference := file.spec.difference(files[0].spec):
            raise StoreError(
                f"{file.path}: {difference} as in {files[0].path.name}; one store holds one spec, "
                "move one of them to another folder"
            )
    return Store(path, files)


def open_file(path: Path) -> StoreFile:
    """Open one file of a store.

    Raises
    ------
    StoreError
        As `open_store`.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _parse(path, file)
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise _damaged(path, f"unreadable ({error})") from error


def _parse(path: Path, file: Any) -> StoreFile:
    attributes = dict(file.attrs)
    if attributes.get("format") != FORMAT:
        raise StoreError(f"{path}: an HDF5 file, but no feature store; move it out of the store's folder")
    if (version := int(attributes["version"])) > FORMAT_VERSION:
        raise StoreError(f"{path}: format version {version}, this program reads up to {FORMAT_VERSION}; update it")
    if "checksum" not in attributes:
        raise _damaged(path, "incomplete, it has no checksum")
    spec = FeatureSpec.from_json(attributes["spec"])
    table = file["recordings"][()]
    recordings = read_recordings(table, file["events"][()], attributes["subject"], attributes["person"])
    labels = file["labels"][()]
    features = file["features"]
    wanted = (sum(info.windows for info in recordings), *spec.shape)
    if features.shape != wanted or features.dtype != spec.dtype:
        raise _damaged(path, f"features are {features.dtype} {features.shape}, wanted {spec.dtype} {wanted}")
    if len(labels) != sum(info.seconds for info in recordings):
        raise _damaged(path, f"{len(labels)} labels for {sum(info.seconds for info in recordings)} seconds")
    offset = features.id.get_offset()
    if offset is None or offset + features.nbytes > path.stat().st_size:
        raise _damaged(path, "features are cut off")
    return StoreFile(
        path=path,
        spec=spec,
        subject=attributes["subject"],
        person=attributes["person"],
        provenance=json.loads(attributes["provenance"]),
        recordings=recordings,
        labels=labels,
        sums=Sums(*(file[f"sums/{name}"][()] for name in ("count", "total", "squares"))),
        checksum=attributes["checksum"],
        hashes=tuple(digest.decode() for digest in table["features_sha256"]),
        offset=offset,
    )


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"{path}: {what}; remove the file and extract the subject again")
