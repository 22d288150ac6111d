"""Reading a store against a plain numpy memory map of the same bytes, and the time to open one."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import store
from store import FeatureSpec, Store
from tests.benchmarks.full_size import CODES, LATENTS, write_store

REPEATS = 9
BATCH_BYTES = 1 << 24
PERSONS = 4
RECORDINGS = {"latents": 4, "codes": 100}
RECORDING_S = 3600


def read_map(opened: Store, batch: int) -> Iterator[np.ndarray]:
    """What the store is held against: memory maps read from their beginning to their end."""
    for file in opened.files:
        features = np.memmap(file.path, file.spec.dtype, "r", file.offset, (file.windows, *file.spec.shape))
        for start in range(0, len(features), batch):
            yield np.array(features[start : start + batch])


def read_store(opened: Store, batch: int) -> Iterator[np.ndarray]:
    """The same through the store, which checks that a file is still the one that was opened."""
    for start in range(0, opened.windows, batch):
        yield opened.read(start, min(start + batch, opened.windows))


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
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "memory map": lambda: read_map(opened, batch),
        "store": lambda: read_store(opened, batch),
    }
    speeds = np.array([[gb_a_second(read, size) for read in ways.values()] for _ in range(REPEATS + 1)])[1:]
    ratios = np.median(speeds / speeds[:, :1], axis=0)
    print(f"{spec.features}: {size / 1e9:.2f} GB, cache warm, opened in {opening_s * 1e3:.0f} ms")
    for name, speed, ratio in zip(ways, np.median(speeds, axis=0), ratios, strict=True):
        print(f"  {name:15} {speed:5.2f} GB/s  {ratio:.2f} of the memory map")


def main() -> None:
    """Compare latents and codes."""
    for spec in (LATENTS, CODES):
        with tempfile.TemporaryDirectory() as name:
            compare(spec, Path(name))


if __name__ == "__main__":
    main()
