"""All folds at full size: an epoch of 23 heads on 882,000 windows of codes, and what ten would take."""

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import store
from heads.data import Windows
from heads.folds import make_folds
from heads.fused import train_group
from heads.slots import Slot, TrainSettings
from tests.benchmarks.full_size import CODES, PERSONS, RECORDING_S, RECORDINGS, write_store


def main() -> None:
    """Print times and the peak memory."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), CODES, PERSONS, RECORDINGS, RECORDING_S)
        windows = Windows(store.open(folder))
        folds = make_folds(windows.counts(), "all")
        times = []
        for epochs in (1, 2):
            slots = [Slot(fold, replace(TrainSettings(), epochs=epochs)) for fold in folds]
            begin = time.perf_counter()
            train_group(slots, windows, device, Path(folder) / f"{epochs}.pt")
            times.append(time.perf_counter() - begin)
        size = len(windows.epoch(1, TrainSettings().background_per_seizure))
        each = times[1] - times[0]
        print(f"{len(windows):,} windows, {len(folds)} folds, {size:,} windows an epoch, {device}")
        print(f"an epoch {each:.0f} s, thresholds of all folds {times[0] - each:.0f} s")
        print(f"10 epochs, from these: {times[0] + 9 * each:.0f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak resident memory {peak:.1f} GB, the mapped store included")
