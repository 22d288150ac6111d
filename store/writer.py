"""Atomic writing: a file of a store is complete or it is not there."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from store.layout import Array, Sums, content_checksum, event_table, recording_table, sums_of
from store.reader import open_file
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec, RecordingInfo, StoreError

_RESERVE_BYTES = 1 << 20  # tables and HDF5's own metadata


def write_file(
    path: Path,
    spec: FeatureSpec,
    recordings: Sequence[RecordingInfo],
    labels: Array,
    blocks: Iterable[Array],
    provenance: Mapping[str, Any],
) -> None:
    """Write recordings of one subject to a file that appears complete or not at all.

    Parameters
    ----------
    recordings
        In the order of their windows; windows and seconds are consecutive.
    labels : (T,) uint8
        Of all recordings' seconds.
    blocks
        Float arrays ``(n, F, C, D)``, all windows in order; no block holds windows of two recordings.
    provenance
        What wrote it (JSON): versions, and what is known of the encoder.

    Raises
    ------
    StoreError
        If a value does not fit the stored type, or if windows are missing.
    OSError
        With ENOSPC if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    windows = sum(info.windows for info in recordings)
    dtype = np.dtype(spec.dtype)
    _require_space(path, windows * int(np.prod(spec.shape)) * dtype.itemsize)
    with _publish(path) as sink, h5py.File(sink, "w", libver="v110") as file:
        features = file.create_dataset("features", (windows, *spec.shape), dtype)
        hashes, sums = _write_features(features, recordings, _checked(blocks, sink), path)
        texts = (recordings[0].subject, recordings[0].person, json.dumps(provenance, sort_keys=True))
        arrays = {
            "labels": labels,
            "recordings": recording_table(recordings, hashes),
            "events": event_table(recordings),
            "sums/count": sums.count,
            "sums/total": sums.total,
            "sums/squares": sums.squares,
        }
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
        file.attrs.update(zip(("subject", "person", "provenance"), texts, strict=True))
        file.attrs.update({"format": FORMAT, "version": FORMAT_VERSION, "spec": spec.to_json()})
        file.attrs["checksum"] = content_checksum(spec, texts, list(arrays.values()))


def join_files(path: Path, parts: Sequence[Path]) -> None:
    """Join files of one subject, a recording each, into one, in the order given.

    Raises
    ------
    StoreError
        If a part is damaged or of another spec than the first.
    """
    files = [open_file(part) for part in parts]
    spec = files[0].spec
    recordings: list[RecordingInfo] = []
    first_window = first_second = 0
    for file in files:
        if difference := file.spec.difference(spec):
            raise StoreError(f"{file.path}: {difference}; remove it and extract again")
        for info in file.recordings:
            recordings.append(dataclasses.replace(info, first_window=first_window, first_second=first_second))
            first_window += info.windows
            first_second += info.seconds
    for file in files:
        file.verify()
    provenance = {key: value for key, value in files[0].provenance.items() if key != "source"}
    blocks = (block for file in files for info in file.recordings for block in file.blocks(info))
    write_file(path, spec, recordings, np.concatenate([file.labels for file in files]), blocks, provenance)


def _write_features(
    dataset: Any, recordings: Sequence[RecordingInfo], blocks: Iterable[Array], path: Path
) -> tuple[list[str], Sums]:
    """Write the blocks one after the other; return each recording's sha256 and the sums of all."""
    stream = iter(blocks)
    hashes = []
    sums = Sums.zeros(*dataset.shape[2:])
    for info in recordings:
        digest = hashlib.sha256()
        written = 0
        while written < info.windows:
            block = next(stream, None)
            if block is None or written + len(block) > info.windows:
                raise StoreError(f"{path}: {info.name} has not the {info.windows} windows that were announced")
            values = _cast(block, dataset.dtype, info.name)
            start = info.first_window + written
            dataset[start : start + len(values)] = values
            digest.update(values.tobytes())
            sums += sums_of(values, info.channel_mask)
            written += len(values)
        hashes.append(digest.hexdigest())
    return hashes, sums


def _cast(block: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Cast to the stored type; h5py itself would turn an overflow into inf without a word."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(block, dtype)
    if not np.isfinite(values).all():
        largest = np.abs(block[np.isfinite(block)]).max(initial=0.0)
        raise StoreError(
            f"{name}: a feature is not finite as {dtype} (largest finite value {largest:.3g}, "
            f"{dtype} ends at {np.finfo(dtype).max:.3g}); check its units and the encoder's weights"
        )
    return values


def _require_space(path: Path, features_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    needed = features_bytes + _RESERVE_BYTES
    if free < needed:
        raise _disk_full(path, f": {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free")


def _disk_full(path: Path, figures: str = "") -> OSError:
    return OSError(errno.ENOSPC, f"disk full{figures}; make room and run the same command again", str(path))


class _Sink(io.FileIO):
    """A file that keeps its first failed write to itself: HDF5 cannot close a file that fails under it."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = self.failure or error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the failure."""
        if self.failure:
            raise self.failure


def _checked(blocks: Iterable[Array], sink: _Sink) -> Iterator[Array]:
    for block in blocks:
        sink.check()
        yield block


@contextmanager
def _publish(path: Path) -> Iterator[_Sink]:
    """Give a file to write beside ``path``; move it there when the body succeeds, else remove it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with _Sink(temporary, "w+b") as sink:
            yield sink
            sink.check()
            os.fsync(sink.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _disk_full(path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
