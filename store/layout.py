"""Layout of a subject's HDF5 file: tables, metadata and checksums, shared by writer and reader."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.schema import FORMAT_VERSION, Event, FeatureSpec, LeftOut, RecordingInfo, Source

Array = NDArray[Any]

_CODEC = ("utf-8", "surrogateescape")  # file names need not be valid UTF-8


@dataclass(frozen=True)
class FeatureMoments:
    """Count, sum and sum of squares over all frames of the electrodes present, for mean and standard deviation.

    ``count`` is ``(C,)``, ``total`` and ``squares`` are ``(C, D)``, all float64.
    """

    count: Array
    total: Array
    squares: Array

    @classmethod
    def zeros(cls, channels: int, dims: int) -> "FeatureMoments":
        """Moments of no frames."""
        return cls(np.zeros(channels), np.zeros((channels, dims)), np.zeros((channels, dims)))

    @classmethod
    def of(cls, values: Array, channel_mask: Sequence[bool]) -> "FeatureMoments":
        """Moments of ``values (..., C, D)`` over the leading axes, missing electrodes left out.

        >>> FeatureMoments.of(np.ones((2, 3, 2, 5)), (True, False)).count
        array([6., 0.])
        """
        flat = values.reshape(-1, *values.shape[-2:]).astype(np.float64)
        mask = np.asarray(channel_mask, dtype=np.float64)
        total = np.einsum("ncd->cd", flat) * mask[:, None]
        squares = np.einsum("ncd,ncd->cd", flat, flat) * mask[:, None]
        return cls(len(flat) * mask, total, squares)

    def __add__(self, other: "FeatureMoments") -> "FeatureMoments":
        return FeatureMoments(self.count + other.count, self.total + other.total, self.squares + other.squares)


@dataclass(frozen=True, kw_only=True)
class SubjectContent:
    """Everything in a subject's file but the features."""

    spec: FeatureSpec
    subject: str
    person: str
    provenance: dict[str, Any]
    recordings: tuple[RecordingInfo, ...]
    hashes: tuple[str, ...]  # sha256 of each recording's features
    labels: Array  # (T,) uint8, all recordings
    moments: FeatureMoments  # of latents, also when codes are stored
    codebooks: Array | None = None  # (Q, K, D) float32 when codes
    version: int = FORMAT_VERSION
    dataset: str = ""  # name of the data set, empty if not known
    sources: Mapping[str, Source] = field(default_factory=dict)  # by recording
    left_out: tuple[LeftOut, ...] = ()
    participant: Mapping[str, str] = field(default_factory=dict)  # columns of participants.tsv
    former_checksums: tuple[str, ...] = ()  # of earlier files of the same identity

    @cached_property
    def identity(self) -> str:
        """Hash of what a run was trained on: spec and, of each recording, name, person, labels and features."""
        digest = hashlib.sha256(self.spec.to_json().encode())
        for info, features in sorted(
            zip(self.recordings, self.hashes, strict=True), key=lambda pair: pair[0].name
        ):
            digest.update(json.dumps([info.name, info.person, self.label_hash(info), features]).encode())
        return digest.hexdigest()

    @cached_property
    def by_name(self) -> dict[str, RecordingInfo]:
        """Recordings by name."""
        return {info.name: info for info in self.recordings}

    def labels_of(self, info: RecordingInfo) -> Array:
        """1-Hz labels of one of the recordings, ``(T,)`` uint8."""
        return self.labels[info.first_second : info.first_second + info.seconds]

    def label_hash(self, info: RecordingInfo) -> str:
        """Hash of a recording's labels and events."""
        events = [dataclasses.astuple(event) for event in info.events]
        text = json.dumps([info.labelled, events])
        return hashlib.sha256(text.encode() + self.labels_of(info).tobytes()).hexdigest()


def dequantize(codes: Array, codebooks: Array) -> Array:
    """Latents that codes stand for: the sum of the quantizers' vectors, ``(..., Q) -> (..., D)`` float32.

    >>> dequantize(np.array([[1, 0]], np.uint8), np.array([[[1], [2]], [[10], [20]]], np.float32))
    array([[12.]], dtype=float32)
    """
    latents: Array = codebooks[0].take(codes[..., 0], axis=0)
    for quantizer, vectors in enumerate(codebooks[1:], start=1):
        latents += vectors.take(codes[..., quantizer], axis=0)
    return latents


def spread_frames(features: Array, window_s: int) -> Array:
    """Repeat a frame that is longer than a second for each of its seconds, ``(B, F, C, D)``; others stay.

    >>> spread_frames(np.array([1, 2]).reshape(1, 2, 1, 1), 4).ravel()
    array([1, 1, 2, 2])
    """
    frames = features.shape[1]
    return features if window_s % frames else features.repeat(window_s // frames, axis=1)


def array_names(spec: FeatureSpec, version: int = FORMAT_VERSION) -> tuple[str, ...]:
    """Everything in a file but the features, in the order of the checksum."""
    names = ["labels", "recordings", "events", "sums/count", "sums/total", "sums/squares"]
    names += ["codebooks"] * (spec.features == "codes") + ["metadata"] * (version > 1)
    return tuple(names)


def to_arrays(content: SubjectContent) -> dict[str, Array]:
    """The arrays of a file of today's version, by name."""
    moments = content.moments
    arrays = [content.labels.astype(np.uint8), _recording_table(content), _event_table(content.recordings)]
    arrays += [moments.count, moments.total, moments.squares]
    if content.codebooks is not None:
        arrays.append(content.codebooks)
    arrays.append(np.frombuffer(json.dumps(_metadata(content), sort_keys=True).encode(), np.uint8))
    return dict(zip(array_names(content.spec), arrays, strict=True))


def to_attributes(content: SubjectContent) -> dict[str, bytes]:
    """The texts of a file, in the order of the checksum."""
    texts = (content.subject, content.person, json.dumps(content.provenance, sort_keys=True))
    return {name: to_bytes(text) for name, text in zip(("subject", "person", "provenance"), texts, strict=True)}


def from_arrays(
    spec: FeatureSpec, version: int, attributes: Mapping[str, bytes], arrays: Mapping[str, Array]
) -> SubjectContent:
    """Inverse of `to_attributes` and `to_arrays`; what an earlier version lacks has its default."""
    subject, person, provenance = (to_text(attributes[name]) for name in ("subject", "person", "provenance"))
    metadata: dict[str, Any] = json.loads(arrays["metadata"].tobytes()) if "metadata" in arrays else {}
    return SubjectContent(
        spec=spec,
        subject=subject,
        person=person,
        provenance=json.loads(provenance),
        recordings=_read_recordings(arrays["recordings"], arrays["events"], subject, person),
        hashes=tuple(to_text(digest) for digest in arrays["recordings"]["features_sha256"]),
        labels=arrays["labels"],
        moments=FeatureMoments(arrays["sums/count"], arrays["sums/total"], arrays["sums/squares"]),
        codebooks=arrays.get("codebooks"),
        version=version,
        dataset=metadata.get("dataset", ""),
        sources={name: Source(**source) for name, source in metadata.get("sources", {}).items()},
        left_out=tuple(LeftOut(**recording) for recording in metadata.get("left_out", ())),
        participant=metadata.get("participant", {}),
        former_checksums=tuple(metadata.get("former_checksums", ())),
    )


def content_checksum(spec: FeatureSpec, attributes: Sequence[bytes], arrays: Sequence[Array]) -> str:
    """sha256 of everything in a file but the features, whose own hashes stand in ``/recordings``."""
    digest = hashlib.sha256()
    for text in (spec.to_json().encode(), *attributes):
        digest.update(text + b"\0")
    for array in arrays:
        digest.update(repr((_fields(array.dtype), array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def to_bytes(text: str) -> bytes:
    """Text as it is stored, UTF-8."""
    return text.encode(*_CODEC)


def to_text(content: bytes) -> str:
    """Inverse of `to_bytes`, also for bytes that are not UTF-8."""
    return content.decode(*_CODEC)


def _recording_table(content: SubjectContent) -> Array:
    """The rows of ``/recordings``; texts are as wide as the longest needs."""
    recordings = content.recordings
    names, starts = ([to_bytes(getattr(info, field)) for info in recordings] for field in ("name", "start"))
    columns = [
        ("name", _width(names)),
        ("first_window", "<i8"),
        ("windows", "<i8"),
        ("first_second", "<i8"),
        ("seconds", "<i8"),
        ("duration_s", "<f8"),
        ("start", _width(starts)),
        ("channel_mask", "u1", (len(content.spec.input_channels),)),
        ("features_sha256", "S64"),
        ("labelled", "u1"),
    ]
    rows = [
        (
            name,
            info.first_window,
            info.windows,
            info.first_second,
            info.seconds,
            info.duration_s,
            start,
            info.channel_mask,
            digest.encode(),
            info.labelled,
        )
        for info, name, start, digest in zip(recordings, names, starts, content.hashes, strict=True)
    ]
    return np.array(rows, np.dtype(columns))


def _event_table(recordings: Sequence[RecordingInfo]) -> Array:
    """The rows of ``/events``: every seizure, with the index of its recording."""
    rows = [
        (index, event.onset_s, event.duration_s, to_bytes(event.kind))
        for index, info in enumerate(recordings)
        for event in info.events
    ]
    kind = ("kind", _width([row[-1] for row in rows]))
    return np.array(rows, np.dtype([("recording", "<i8"), ("onset_s", "<f8"), ("duration_s", "<f8"), kind]))


def _width(texts: Sequence[bytes]) -> str:
    return f"S{max(1, *map(len, texts))}" if texts else "S1"


def _metadata(content: SubjectContent) -> dict[str, Any]:
    """What version 2 added, JSON-ready."""
    return {
        "dataset": content.dataset,
        "sources": {name: dataclasses.asdict(source) for name, source in content.sources.items()},
        "left_out": [dataclasses.asdict(recording) for recording in content.left_out],
        "participant": dict(content.participant),
        "former_checksums": list(content.former_checksums),
    }


def _read_recordings(table: Array, events: Array, subject: str, person: str) -> tuple[RecordingInfo, ...]:
    by_recording: dict[int, list[Event]] = {}
    for index, onset_s, duration_s, kind in events.tolist():
        by_recording.setdefault(index, []).append(Event(onset_s, duration_s, to_text(kind)))
    return tuple(
        RecordingInfo(
            name=to_text(row["name"]),
            subject=subject,
            person=person,
            first_window=int(row["first_window"]),
            windows=int(row["windows"]),
            first_second=int(row["first_second"]),
            seconds=int(row["seconds"]),
            duration_s=float(row["duration_s"]),
            start=to_text(row["start"]),
            channel_mask=tuple(bool(channel) for channel in row["channel_mask"]),
            events=tuple(by_recording.get(index, ())),
            labelled=bool(row["labelled"]) if "labelled" in (table.dtype.names or ()) else True,
        )
        for index, row in enumerate(table)
    )


def _fields(dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    """Names, types and shapes of a row, without the metadata that h5py adds to them."""
    if not dtype.fields:
        return [("", dtype.str)]
    types = {name: field[0] for name, field in dtype.fields.items()}
    return [(name, kind.base.str, kind.shape) if kind.shape else (name, kind.str) for name, kind in types.items()]
