"""All folds at full size, with and without inner heads: 882,000 windows of codes; an epoch is measured."""

import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import store
from heads.dataset import StoreDataset
from heads.folds import Inner, make_folds
from heads.settings import TrainSettings
from heads.training.plan import StackPlan
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from tests.benchmarks.full_size import CODES, PERSONS, RECORDING_S, RECORDINGS, write_store

POOLING = TrainSettings.pooling


def main() -> None:
    """Print times and the peak memory, for the pooling of the replaced system and the default one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), CODES, PERSONS, RECORDINGS, RECORDING_S)
        dataset = StoreDataset(store.open(folder))
        print(f"{len(dataset):,} windows, {PERSONS} folds, {device}")
        cases: tuple[tuple[str, Inner], ...] = (("max", "one"), (POOLING, "one"), (POOLING, 4))
        for pooling, inner in cases:
            print(f"--pooling {pooling} --inner {inner}", flush=True)
            settings = replace(TrainSettings(), pooling=pooling, epochs=1)
            measure(dataset, settings, inner, device, Path(folder) / f"{pooling}-{inner}.pt")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak resident memory {peak:.1f} GB, the mapped store included")


def measure(
    dataset: StoreDataset, settings: TrainSettings, inner: Inner, device: torch.device, checkpoint: Path
) -> None:
    """Train one epoch of all folds and print times."""
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all", inner)]
    heads = len(StackPlan(trials).heads)
    done: list[int] = []
    begin = last_step = time.time()

    def count(windows_x_heads: int) -> None:
        nonlocal last_step
        done.append(windows_x_heads)
        last_step = time.time()

    train_stacked(trials, dataset, device, checkpoint, count)
    end, validated = time.time(), checkpoint.stat().st_mtime
    trained_s, size = last_step - begin, sum(done) // heads
    speed = sum(done) / trained_s
    print(f"{heads} heads, an epoch of {size:,} windows: {trained_s:.0f} s, {speed:,.0f} windows x heads/s")
    print(f"validation {validated - last_step:.1f} s an epoch, thresholds of all folds {end - validated:.0f} s")
    print(f"10 epochs, from these: {10 * (validated - begin) + end - validated:.0f} s")
    print(f"an epoch of all windows, from the speed: {len(dataset) * heads / speed:.0f} s")
