"""Reading a store against a plain numpy memory map of the same bytes, and memory while streaming."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import store
from store import FeatureSpec, Store, Stream
from tests.benchmarks.full_size import CODES, LATENTS, write_store

REPEATS = 9
BATCH_BYTES = 1 << 24
STREAM_BYTES = 1 << 28
PERSONS = 4
RECORDINGS = {"latents": 4, "codes": 100}
RECORDING_S = 3600


def read_map(opened: Store, batch: int) -> Iterator[np.ndarray]:
    """What the store is held against: memory maps read from their beginning to their end."""
    for file in opened.files:
        features = np.memmap(file.path, file.spec.dtype, "r", file.offset, (file.windows, *file.spec.shape))
        for start in range(0, len(features), batch):
            yield np.array(features[start : start + batch])


def read_map_at(opened: Store, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The same windows as a shuffled stream gives, by plain indexing of memory maps."""
    maps = [np.memmap(f.path, f.spec.dtype, "r", f.offset, (f.windows, *f.spec.shape)) for f in opened.files]
    for rows in batches:
        owner = np.searchsorted(opened.first_windows, rows, side="right") - 1
        out = np.empty((len(rows), *opened.spec.shape), opened.spec.dtype)
        for number in np.unique(owner):
            here = owner == number
            out[here] = maps[number][rows[here] - opened.first_windows[number]]
        yield out


def gb_a_second(read: Callable[[], Iterator[object]], size: int) -> float:
    """Speed of one pass."""
    begin = time.perf_counter()
    for _ in read():
        pass
    return size / (time.perf_counter() - begin) / 1e9


def compare(spec: FeatureSpec, folder: Path) -> None:
    """Print speeds as ratios to the memory map, the median of passes that take turns."""
    write_store(folder, spec, PERSONS, RECORDINGS[spec.features], RECORDING_S)
    opened = store.open(folder)
    for file in opened.files:  # so that the cache holds what was read from the disk, not what was written
        with file.path.open("rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    size, batch = opened.windows * spec.window_bytes, BATCH_BYTES // spec.window_bytes
    stream = Stream(opened, STREAM_BYTES)
    order = [rows for rows, _ in stream.batches(batch, seed=0)]
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "memory map": lambda: read_map(opened, batch),
        "same, indexed": lambda: read_map_at(opened, order),
        "in order": lambda: stream.batches(batch),
        "block-shuffled": lambda: stream.batches(batch, seed=0),
    }
    speeds = np.array([[gb_a_second(read, size) for read in ways.values()] for _ in range(REPEATS + 1)])[1:]
    ratios = np.median(speeds / speeds[:, :1], axis=0)
    print(f"{spec.features}: {size / 1e9:.2f} GB, {STREAM_BYTES / 1e6:.0f} MB of memory, cache warm")
    for name, speed, ratio in zip(ways, np.median(speeds, axis=0), ratios, strict=True):
        print(f"  {name:15} {speed:5.2f} GB/s  {ratio:.2f} of the memory map")


def stream_in_limit(folder: Path) -> None:
    """Stream a store in a process whose address space is smaller than the store."""
    size = sum(path.stat().st_size for path in folder.glob("*.h5"))
    limit = size * 3 // 4
    code = (
        "import resource, sys; from pathlib import Path; from tests.benchmarks.store import stream_all;"
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}));"
        f"stream_all(Path(sys.argv[1]), {STREAM_BYTES})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    print(f"streamed {size / 1e9:.2f} GB with {limit / 1e9:.2f} GB of address space: {done.stdout.strip()}")


def stream_all(folder: Path, memory_bytes: int) -> None:
    """Read every window, shuffled, and say how much memory that took."""
    opened = store.open(folder)
    seen = sum(len(rows) for rows, _ in Stream(opened, memory_bytes).batches(64, seed=0))
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1e3
    print(f"{seen} of {opened.windows} windows, peak resident {peak_mb:.0f} MB")


def main() -> None:
    """Compare latents and codes."""
    for spec in (LATENTS, CODES):
        with tempfile.TemporaryDirectory() as name:
            compare(spec, Path(name))
            if spec is LATENTS:
                stream_in_limit(Path(name))


if __name__ == "__main__":
    main()
