"""A synthetic store at CHB-MIT's full size: 23 persons, 982 hours, 882,000 windows as codes, 2 GB."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import store
from extract.io.montage import CHANNELS
from store import Event, FeatureSpec, RecordingInfo
from store.schema import count_windows
from store.writer import write_file
from tests.helpers import stores

PERSONS = 23
RECORDINGS = 42  # a person
RECORDING_S = 3652  # in all 882,000 windows
LATENTS = replace(stores.SPEC, encoder="synthetic", hop=64, frames=32, dims=64, channels=CHANNELS)
CODES = replace(LATENTS, features="codes", dtype="uint8", dims=4)
_BLOCK_WINDOWS = 64
_BLOCKS = 16  # that differ; a recording repeats them


def write_store(folder: Path, spec: FeatureSpec, persons: int, recordings: int, recording_s: int) -> None:
    """Write synthetic features: noise, and a seizure of 60 s, or of a third, in every fifth recording."""
    onset_s, length_s = min(100, recording_s // 3), min(60, recording_s // 3)
    rng = np.random.default_rng(0)
    shape = (_BLOCKS, _BLOCK_WINDOWS, *spec.shape)
    codebooks = None
    if spec.features == "codes":
        codebooks = rng.normal(size=(spec.dims, 256, 64)).astype(np.float32)
        noise = rng.integers(0, 256, shape, np.uint8)
    else:
        noise = rng.normal(size=shape).astype(spec.dtype)
    windows = count_windows(recording_s, spec.window_s, spec.stride_s)
    for person in range(1, persons + 1):
        infos = [
            RecordingInfo(
                name=f"sub-{person:02}_ses-01_task-szMonitoring_run-{run:02}",
                subject=f"{person:02}",
                person=f"{person:02}",
                first_window=run * windows,
                windows=windows,
                first_second=run * recording_s,
                seconds=recording_s,
                duration_s=float(recording_s),
                start="",
                channel_mask=(True,) * len(spec.channels),
                events=() if run % 5 else (Event(float(onset_s), float(length_s), "sz"),),
            )
            for run in range(recordings)
        ]
        labels = np.zeros((recordings, recording_s), np.uint8)
        labels[::5, onset_s : onset_s + length_s] = 1
        path = folder / f"sub-{person:02}.h5"
        blocks = _blocks(noise, person, recordings, windows)
        write_file(path, spec, infos, labels.ravel(), blocks, {"encoder": {"name": "synthetic"}}, codebooks)


def _blocks(noise: np.ndarray, person: int, recordings: int, windows: int) -> Iterator[np.ndarray]:
    """Blocks of a person's recordings; their first values differ: no two persons may have the same features."""
    for recording in range(recordings):
        for number, start in enumerate(range(0, windows, _BLOCK_WINDOWS)):
            block = noise[(recording + number) % _BLOCKS, : windows - start]
            if start == 0:
                block = block.copy()
                block.reshape(-1)[:2] = divmod(person, 256)
            yield block


def main() -> None:
    """Write the store, then time opening and describing it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.perf_counter()
        write_store(folder, CODES, PERSONS, RECORDINGS, RECORDING_S)
        print(f"written in {time.perf_counter() - begin:.0f} s")
        begin = time.perf_counter()
        opened = store.open(folder)
        size = sum(file.path.stat().st_size for file in opened.files)
        print(f"{len(opened.persons)} persons, {opened.windows:,} windows, {size / 1e9:.2f} GB")
        print(f"opened in {time.perf_counter() - begin:.3f} s")
        for command in (["info"], ["info", "--json"], ["verify", "--sample", "0.02"], ["verify"]):
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "store", command[0], name, *command[1:]],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"store {' '.join(command)}: {time.perf_counter() - begin:.1f} s, with Python's start")
            if "--json" in command:
                assert json.loads(done.stdout)["persons"] == list(opened.persons)


if __name__ == "__main__":
    main()
