"""Atomic writing: a file of a store is complete or it is not there."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from store.layout import (
    Array,
    Sums,
    array_names,
    content_checksum,
    dequantize,
    event_table,
    recording_table,
    sums_of,
)
from store.reader import open_file
from store.runtime.atomic import AtomicFile, atomic_write, require_writable
from store.runtime.errors import DiskFullError, StoreError
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec, RecordingInfo

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
) -> None:
    """Write recordings of one subject to a file that appears complete or not at all.

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

    Raises
    ------
    StoreError
        If a value does not fit the stored type, or if windows or labels are missing.
    DiskFullError
        If the disk is full.
    """
    windows, seconds = (sum(getattr(info, name) for info in recordings) for name in ("windows", "seconds"))
    if len(labels) != seconds:
        raise StoreError(f"{path}: {len(labels)} labels for {seconds} seconds")
    require_writable(path.parent)
    _require_space(path, windows * spec.window_bytes)
    aligned = {"alignment_threshold": _PAGE_BYTES, "alignment_interval": _PAGE_BYTES}
    with atomic_write(path, sync=True) as sink, h5py.File(sink, "w", libver="v110", **aligned) as file:
        features = file.create_dataset("features", (windows, *spec.shape), spec.dtype)
        hashes, sums = _write_features(features, recordings, _checked(blocks, sink), path, codebooks)
        texts = (recordings[0].subject, recordings[0].person, json.dumps(provenance, sort_keys=True))
        tables = (recording_table(recordings, hashes), event_table(recordings))
        arrays = [labels, *tables, sums.count, sums.total, sums.squares]
        if codebooks is not None:
            arrays.append(codebooks)
        for name, array in zip(array_names(spec), arrays, strict=True):
            file.create_dataset(name, data=array)
        attributes = dict(zip(("subject", "person", "provenance"), texts, strict=True))
        attributes |= {"format": FORMAT, "spec": spec.to_json(), "checksum": content_checksum(spec, texts, arrays)}
        for name, text in attributes.items():  # of fixed length: a damaged heap of strings can hang HDF5
            file.attrs[name] = np.bytes_(text.encode())
        file.attrs["version"] = FORMAT_VERSION


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
    provenance = {key: value for key, value in files[0].provenance.items() if key != "source"}
    blocks = (block for file in files for number in range(len(file.recordings)) for block in file.blocks(number))
    labels = np.concatenate([file.labels for file in files])
    write_file(path, spec, recordings, labels, blocks, provenance, files[0].codebooks)


def _write_features(
    dataset: Any,
    recordings: Sequence[RecordingInfo],
    blocks: Iterable[Array],
    path: Path,
    codebooks: Array | None,
) -> tuple[list[str], Sums]:
    """Write the blocks one after the other; return each recording's sha256 and the sums of all."""
    stream = iter(blocks)
    hashes = []
    channels, dims = dataset.shape[2:]
    sums = Sums.zeros(channels, dims if codebooks is None else codebooks.shape[2])
    for info in recordings:
        digest = hashlib.sha256()
        written = 0
        while written < info.windows:
            block = next(stream, None)
            if block is None or written + len(block) > info.windows:
                raise StoreError(f"{path}: {info.name} has not the {info.windows} windows that were announced")
            values = _cast(block, dataset.dtype, info.name, codebooks)
            start = info.first_window + written
            dataset[start : start + len(values)] = values
            digest.update(values.tobytes())
            latents = values if codebooks is None else dequantize(values, codebooks)
            sums += sums_of(latents, info.channel_mask)
            written += len(values)
        hashes.append(digest.hexdigest())
    return hashes, sums


def _cast(block: Array, dtype: np.dtype[Any], name: str, codebooks: Array | None) -> Array:
    """Cast to the stored type; h5py itself would turn an overflow into inf, or wrap a code, without a word."""
    if codebooks is not None:
        size = codebooks.shape[1]
        if block.min() < 0 or block.max() >= size:
            raise StoreError(f"{name}: code {block.max()} in codebooks of {size}; check the encoder's quantizer")
        return np.ascontiguousarray(block, dtype)
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
        raise DiskFullError(
            f"{path}: disk full: {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB free; make room and run "
            "the same command again"
        )


def _checked(blocks: Iterable[Array], sink: AtomicFile) -> Iterator[Array]:
    for block in blocks:
        sink.check()
        yield block
