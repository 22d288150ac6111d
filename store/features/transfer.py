"""Write features into a file: cast and checked, or copied byte by byte and verified by checksum."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from store.hdf5.structure import damaged
from store.layout import Array, FeatureMoments, SubjectContent, dequantize
from store.runtime.errors import StoreError
from store.schema import RecordingInfo

_COPY_BYTES = 1 << 24


def write_features(
    dataset: Any,
    recordings: Sequence[RecordingInfo],
    blocks: Iterable[Array],
    path: Path,
    codebooks: Array | None,
) -> tuple[list[str], FeatureMoments]:
    """Write the blocks one after the other; return each recording's sha256 and the moments of all latents."""
    stream = iter(blocks)
    hashes = []
    channels, dims = dataset.shape[2:]
    moments = FeatureMoments.zeros(channels, dims if codebooks is None else codebooks.shape[2])
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
            moments += FeatureMoments.of(latents, info.mask_of(channels))
            written += len(values)
        hashes.append(digest.hexdigest())
    return hashes, moments


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


def allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> int:
    """Make a dataset whose bytes are written without HDF5; return their offset in the file."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)  # the same content is the same bytes
    kind = h5t.py_create(np.dtype(dtype), logical=True)
    dataset = h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape), creation)
    return int(dataset.get_offset())


def copy_bytes(source: int, source_offset: int, sink: int, sink_offset: int, size: int) -> None:
    """Copy between two open files, by the file system itself where it can: it may share the blocks.

    A source that ends too early leaves the rest as it is.
    """
    done = 0
    while done < size:
        position, target, rest = source_offset + done, sink_offset + done, size - done
        copied = 0
        with suppress(OSError, AttributeError):  # not between these file systems, or not on this system
            copied = os.copy_file_range(source, sink, rest, position, target)
        if not copied:
            block = os.pread(source, min(rest, _COPY_BYTES), position)
            if not block:
                return
            copied = os.pwrite(sink, block, target)
        done += copied


def require_hashes(number: int, offset: int, content: SubjectContent, path: Path) -> None:
    """Compare features in an open file with their checksums.

    Raises
    ------
    StoreError
        Naming the recording whose features differ.
    """
    for info, expected in zip(content.recordings, content.hashes, strict=True):
        digest = hashlib.sha256()
        position = offset + info.first_window * content.spec.window_bytes
        rest = info.windows * content.spec.window_bytes
        while rest and (block := os.pread(number, min(rest, _COPY_BYTES), position)):
            digest.update(block)
            position, rest = position + len(block), rest - len(block)
        if digest.hexdigest() != expected:
            raise damaged(path, f"features of {info.name} differ from their checksum")
