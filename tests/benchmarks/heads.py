"""Heads trained together against a loop of single heads, and against the arithmetic limit of the machine.

Speeds are windows x heads a second, of windows that train a head: what is computed for persons that a fold holds
out costs time and counts nothing. Both forms read the same store, validate after each epoch, choose a threshold.
The loop runs in a process of its own, as its allocator begins, and again with one that is told to keep memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import store
from heads.dataset import StoreDataset
from heads.folds import Fold, Inner, make_folds
from heads.inference import best_threshold
from heads.settings import TrainSettings
from heads.training.plan import StackPlan
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from tests.benchmarks.encoder import seconds
from tests.benchmarks.full_size import LATENTS, write_store
from tests.helpers.paths import ROOT

KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 33), "MALLOC_MMAP_MAX_": "0"}
PERSONS = 23
RECORDING_S = 256
SETTINGS = TrainSettings(filters=64, hidden=128, pooling="max", epochs=6, background_per_seizure=None)
POOLING = TrainSettings.pooling
FRAMES, CHANNELS, DIMS = LATENTS.shape
FLOP = 4 * FRAMES * CHANNELS * DIMS * SETTINGS.filters  # forward and backward, a window and head


class PlainHead(nn.Module):
    """The head of the replaced system: convolution over (C, 1) of ``(B, D, C, F)``, max-pool, MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(DIMS, SETTINGS.filters, (CHANNELS, 1))
        self.pool = nn.AdaptiveMaxPool1d(4)
        self.mlp = nn.Sequential(
            nn.Linear(4 * SETTINGS.filters, SETTINGS.hidden), nn.ReLU(), nn.Linear(SETTINGS.hidden, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, D, C, F)`` -> ``(B, 4)``."""
        return self.mlp(self.pool(self.fuse(x).relu().squeeze(2)).flatten(1))


def load_batch(dataset: StoreDataset, indices: np.ndarray) -> Tensor:
    """Windows of the store as the head takes them, ``(B, D, C, F)`` float32."""
    stored = torch.from_numpy(dataset.features(np.sort(indices)))
    return stored.float().permute(0, 3, 2, 1).contiguous()


def train_plain(dataset: StoreDataset, fold: Fold) -> int:
    """Train one head as the replaced system would from a store; the windows that trained it."""
    head, batch_windows = PlainHead(), SETTINGS.batch_windows
    optimizer = torch.optim.AdamW(head.parameters(), lr=SETTINGS.lr)
    train, validation = (
        np.flatnonzero(np.isin(dataset.person, [dataset.persons.index(person) for person in persons]))
        for persons in (fold.train, fold.validation)
    )
    labels = dataset.labels[validation].ravel()
    for epoch in range(SETTINGS.epochs):
        order = np.random.default_rng(epoch).permutation(train)
        for start in range(0, len(order), batch_windows):
            batch = np.sort(order[start : start + batch_windows])
            target = torch.from_numpy(dataset.labels[batch]).float()
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(head(load_batch(dataset, batch)), target).backward()
            optimizer.step()
        with torch.no_grad():
            parts = [
                head(load_batch(dataset, validation[start : start + batch_windows])).sigmoid()
                for start in range(0, len(validation), batch_windows)
            ]
        scores = torch.cat(parts).flatten().numpy()
        roc_auc_score(labels, scores)
    best_threshold(labels, scores)
    return SETTINGS.epochs * len(train)


def plain_speed(dataset: StoreDataset, heads: int = 2) -> float:
    """Windows x heads a second of one head after the other."""
    folds = make_folds(dataset.label_counts(), "all")[:heads]
    train_plain(dataset, folds[0])  # warms up
    begin = time.perf_counter()
    return sum(train_plain(dataset, fold) for fold in folds) / (time.perf_counter() - begin)


def plain_speed_with(folder: str, environment: dict[str, str]) -> float:
    """`plain_speed` in a process of its own, whose allocator an environment tells what to do."""
    command = [sys.executable, "-m", "tests.benchmarks.heads", folder]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def step_speed() -> float:
    """Windows x heads a second of steps of one head on a batch that is in memory as it is wanted."""
    head, batch = PlainHead(), SETTINGS.batch_windows
    optimizer = torch.optim.AdamW(head.parameters())
    x, y = torch.randn(batch, DIMS, CHANNELS, FRAMES), torch.zeros(batch, 4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(head(x), y).backward()
        optimizer.step()

    return batch / seconds(step, 5)


def product_speed(dtype: torch.dtype) -> float:
    """Windows x heads a second if the convolution's two products, of all windows, were all there is to do."""
    rows, inner, columns = SETTINGS.batch_windows * FRAMES, CHANNELS * DIMS, PERSONS * SETTINGS.filters
    x, weight = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    out = x @ weight

    def products() -> None:
        torch.mm(x, weight)
        torch.mm(x.mT, out)

    return SETTINGS.batch_windows * PERSONS / seconds(products, 3)


def stacked_speed(
    dataset: StoreDataset, inner: Inner = "one", seeds: int = 1, folds: int = PERSONS, **changes: Any
) -> float:
    """Windows x heads a second of a whole training: reading, steps, validation, threshold."""
    settings = replace(SETTINGS, **changes)
    some = make_folds(dataset.label_counts(), "all", inner)[:folds]
    trials = [Trial(fold, replace(settings, seed=seed)) for fold in some for seed in range(seeds)]
    windows = dict(zip(dataset.persons, np.bincount(dataset.person).tolist(), strict=True))
    trained = sum(windows[person] for head in StackPlan(trials).heads for person in head.train)
    with tempfile.TemporaryDirectory() as folder:
        once = [replace(trial, settings=replace(trial.settings, epochs=1)) for trial in trials]
        train_stacked(once, dataset, torch.device("cpu"), Path(folder) / "warm.pt")  # as the loop is warmed up
        begin = time.perf_counter()
        train_stacked(trials, dataset, torch.device("cpu"), Path(folder) / "training.pt")
        return settings.epochs * trained / (time.perf_counter() - begin)


def main() -> None:
    """Print windows x heads a second and their ratios to both forms of single heads."""
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), LATENTS, PERSONS, 1, RECORDING_S)
        dataset = StoreDataset(store.open(folder))
        plain, step = plain_speed_with(folder, {}), step_speed()
        print(f"{PERSONS} folds, {FLOP / 1e6:.1f} MFLOP a window and head")
        print(f"{'form':<38}{'of loop':>9}{'of steps':>9}{'windows x heads/s':>18}")

        def show(form: str, speed: float) -> None:
            print(f"{form:<38}{speed / plain:>9.1f}{speed / step:>9.1f}{speed:>18,.0f}", flush=True)

        show("loop of single heads, Conv2d, float32", plain)
        show("same, allocator keeps memory", plain_speed_with(folder, KEEPS_MEMORY))
        show("its steps alone, batch in memory", step)
        for precision in ("float32", "bfloat16"):
            show(f"trained together, {precision}", stacked_speed(dataset, precision=precision))
            show(f"same with deviation, {precision}", stacked_speed(dataset, precision=precision, pooling=POOLING))
            show(f"products alone, {precision}", product_speed(getattr(torch, precision)))
        more: tuple[tuple[str, dict[str, Any]], ...] = (
            ("5 folds", {"folds": 5}),
            ("5 folds, 4 inner heads each", {"folds": 5, "inner": 4}),
            ("3 folds, inner heads of pairs", {"folds": 3, "inner": "pairs"}),
            ("3 seeds", {"seeds": 3}),
        )
        for form, options in more:
            show(f"{form}, {SETTINGS.precision}", stacked_speed(dataset, epochs=2, **options))


if __name__ == "__main__":
    print(plain_speed(StoreDataset(store.open(sys.argv[1]))))
