"""How a subject lies in an HDF5 file: tables and checksums, shared by writer and reader."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.schema import Event, FeatureSpec, RecordingInfo

Array = NDArray[Any]


@dataclass(frozen=True)
class Sums:
    """Sums over all frames of the electrodes that are there, for mean and standard deviation.

    ``count`` is ``(C,)``, ``total`` and ``squares`` are ``(C, D)``, all float64.
    """

    count: Array
    total: Array
    squares: Array

    @classmethod
    def zeros(cls, channels: int, dims: int) -> "Sums":
        """The sums of nothing."""
        return cls(np.zeros(channels), np.zeros((channels, dims)), np.zeros((channels, dims)))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)


def sums_of(values: Array, channel_mask: Sequence[bool]) -> Sums:
    """Sums of ``values (..., C, D)`` over the leading axes, missing electrodes left out.

    >>> sums_of(np.ones((2, 3, 2, 5)), (True, False)).count
    array([6., 0.])
    """
    flat = values.reshape(-1, *values.shape[-2:]).astype(np.float64)
    mask = np.asarray(channel_mask, dtype=np.float64)
    total = np.einsum("ncd->cd", flat) * mask[:, None]
    squares = np.einsum("ncd,ncd->cd", flat, flat) * mask[:, None]
    return Sums(len(flat) * mask, total, squares)


def dequantize(codes: Array, codebooks: Array) -> Array:
    """Latents that codes stand for: the sum of the quantizers' vectors, ``(..., Q) -> (..., D)`` float32.

    >>> dequantize(np.array([[1, 0]], np.uint8), np.array([[[1], [2]], [[10], [20]]], np.float32))
    array([[12.]], dtype=float32)
    """
    latents: Array = codebooks[0].take(codes[..., 0], axis=0)
    for quantizer, vectors in enumerate(codebooks[1:], start=1):
        latents += vectors.take(codes[..., quantizer], axis=0)
    return latents


def recording_table(recordings: Sequence[RecordingInfo], hashes: Sequence[str]) -> Array:
    """The rows of ``/recordings``."""
    width = max(len(info.name) for info in recordings)
    dtype = np.dtype(
        [
            ("name", f"S{width}"),
            ("first_window", "<i8"),
            ("windows", "<i8"),
            ("first_second", "<i8"),
            ("seconds", "<i8"),
            ("duration_s", "<f8"),
            ("start", "S32"),
            ("channel_mask", "u1", (len(recordings[0].channel_mask),)),
            ("features_sha256", "S64"),
        ]
    )
    rows = [
        (
            info.name.encode(),
            info.first_window,
            info.windows,
            info.first_second,
            info.seconds,
            info.duration_s,
            info.start.encode(),
            info.channel_mask,
            digest.encode(),
        )
        for info, digest in zip(recordings, hashes, strict=True)
    ]
    return np.array(rows, dtype)


def event_table(recordings: Sequence[RecordingInfo]) -> Array:
    """The rows of ``/events``: every seizure, with the index of its recording."""
    dtype = np.dtype([("recording", "<i8"), ("onset_s", "<f8"), ("duration_s", "<f8"), ("kind", "S64")])
    rows = [
        (index, event.onset_s, event.duration_s, event.kind.encode())
        for index, info in enumerate(recordings)
        for event in info.events
    ]
    return np.array(rows, dtype)


def read_recordings(table: Array, events: Array, subject: str, person: str) -> tuple[RecordingInfo, ...]:
    """Inverse of `recording_table` and `event_table`."""
    return tuple(
        RecordingInfo(
            name=row["name"].decode(),
            subject=subject,
            person=person,
            first_window=int(row["first_window"]),
            windows=int(row["windows"]),
            first_second=int(row["first_second"]),
            seconds=int(row["seconds"]),
            duration_s=float(row["duration_s"]),
            start=row["start"].decode(),
            channel_mask=tuple(bool(there) for there in row["channel_mask"]),
            events=tuple(
                Event(float(event["onset_s"]), float(event["duration_s"]), event["kind"].decode())
                for event in events[events["recording"] == index]
            ),
        )
        for index, row in enumerate(table)
    )


def array_names(spec: FeatureSpec) -> tuple[str, ...]:
    """Everything in a file but the features, in the order of the checksum."""
    names = ("labels", "recordings", "events", "sums/count", "sums/total", "sums/squares")
    return (*names, "codebooks") if spec.features == "codes" else names


def content_checksum(spec: FeatureSpec, attributes: Sequence[str], arrays: Sequence[Array]) -> str:
    """sha256 of everything in a file but the features, whose own hashes stand in ``/recordings``."""
    digest = hashlib.sha256()
    for text in (spec.to_json(), *attributes):
        digest.update(text.encode() + b"\0")
    for array in arrays:
        digest.update(repr((_fields(array.dtype), array.shape)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _fields(dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    """Names, types and shapes of a row, without what h5py notes beside them."""
    if not dtype.fields:
        return [("", dtype.str)]
    types = {name: field[0] for name, field in dtype.fields.items()}
    return [(name, kind.base.str, kind.shape) if kind.shape else (name, kind.str) for name, kind in types.items()]
