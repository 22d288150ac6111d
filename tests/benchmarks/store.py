"""Reading a store, in order and shuffled, against numpy memory maps of the same bytes; the time to open one."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import store
from heads.dataset import StoreDataset
from store import FeatureSpec, Store
from tests.benchmarks.full_size import CODES, LATENTS, write_store

REPEATS = 9
BATCH_BYTES = 1 << 24
PERSONS = 4
RECORDINGS = {"latents": 4, "codes": 100}
RECORDING_S = 3600
SHUFFLED_WINDOWS = 256  # of a batch, as heads train


def memory_maps(opened: Store) -> list[np.ndarray]:
    """The features of each file, ``(W, *shape)``."""
    return [
        np.memmap(file.path, file.spec.dtype, "r", file.offset, (file.windows, *file.spec.shape))
        for file in opened.files
    ]


def read_map(opened: Store, batch: int) -> Iterator[np.ndarray]:
    """What the store is held against: memory maps read from their beginning to their end."""
    for features in memory_maps(opened):
        for start in range(0, len(features), batch):
            yield np.array(features[start : start + batch])


def read_store(opened: Store, batch: int) -> Iterator[np.ndarray]:
    """The same through the store, which checks that a file is still the one that was opened."""
    for start in range(0, opened.windows, batch):
        yield opened.read(start, min(start + batch, opened.windows))


def shuffled(opened: Store) -> Iterator[np.ndarray]:
    """All windows in random order, in batches that are sorted, as training asks for them."""
    order = np.random.default_rng(0).permutation(opened.windows)
    for start in range(0, len(order), SHUFFLED_WINDOWS):
        yield np.sort(order[start : start + SHUFFLED_WINDOWS])


def read_map_shuffled(opened: Store) -> Iterator[np.ndarray]:
    """What shuffled reading is held against: each batch indexed out of the memory maps of its files."""
    maps, first_windows = memory_maps(opened), opened.first_windows
    for batch in shuffled(opened):
        by_file = np.split(batch, np.searchsorted(batch, first_windows[1:-1]))
        parts = zip(maps, by_file, first_windows, strict=False)  # the last of these is where the store ends
        yield np.concatenate([features[windows - first] for features, windows, first in parts])


def read_store_shuffled(opened: Store, dataset: StoreDataset) -> Iterator[np.ndarray]:
    """The same as training reads it."""
    for batch in shuffled(opened):
        yield dataset.features(batch)


def gb_a_second(read: Callable[[], Iterator[object]], size: int) -> float:
    """Speed of one pass."""
    begin = time.perf_counter()
    for _ in read():
        pass
    return size / (time.perf_counter() - begin) / 1e9


def compare(spec: FeatureSpec, folder: Path) -> None:
    """Print speeds as ratios to the memory map, the median of passes that take turns."""
    write_store(folder, spec, PERSONS, RECORDINGS[spec.features], RECORDING_S)
    begin = time.perf_counter()
    opened = store.open(folder)
    opening_s = time.perf_counter() - begin
    for file in opened.files:  # so that the cache holds what was read from the disk, not what was written
        with file.path.open("rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    size, batch = opened.windows * spec.window_bytes, BATCH_BYTES // spec.window_bytes
    print(f"{spec.features}: {size / 1e9:.2f} GB, cache warm, opened in {opening_s * 1e3:.0f} ms")
    show(size, "in order", lambda: read_map(opened, batch), lambda: read_store(opened, batch))
    dataset = StoreDataset(opened)
    show(size, "shuffled", lambda: read_map_shuffled(opened), lambda: read_store_shuffled(opened, dataset))


def show(size: int, order: str, *ways: Callable[[], Iterator[object]]) -> None:
    """Print the speeds of the memory map and of the store, medians of passes that take turns."""
    speeds = np.array([[gb_a_second(read, size) for read in ways] for _ in range(REPEATS + 1)])[1:]
    ratio = np.median(speeds[:, 1] / speeds[:, 0])
    plain, ours = np.median(speeds, axis=0)
    print(f"  {order}: memory map {plain:.2f} GB/s, store {ours:.2f} GB/s, {ratio:.2f} of it")


def main() -> None:
    """Compare latents and codes."""
    for spec in (LATENTS, CODES):
        with tempfile.TemporaryDirectory() as name:
            compare(spec, Path(name))


if __name__ == "__main__":
    main()
