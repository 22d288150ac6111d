"""Heads trained together against a loop of single heads, and against the arithmetic limit of the machine."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import store
from heads.data import Windows
from heads.folds import make_folds
from heads.fused import train_group
from heads.slots import Slot, TrainSettings
from tests.benchmarks.full_size import LATENTS, write_store

PERSONS = 23
RECORDING_S = 256
SETTINGS = TrainSettings(filters=64, hidden=128, epochs=2, background_per_seizure=None)
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


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def plain_speed() -> float:
    """Windows x heads a second of one head after the other; features are in memory, as they are wanted."""
    head, batch = PlainHead(), SETTINGS.batch_windows
    optimizer = torch.optim.AdamW(head.parameters())
    x, y = torch.randn(batch, DIMS, CHANNELS, FRAMES), torch.zeros(batch, 4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(head(x), y).backward()
        optimizer.step()

    return batch / seconds(step, 5)


def product_speed(dtype: torch.dtype) -> float:
    """Windows x heads a second if the convolution's two products were all there is to do."""
    rows, inner, columns = SETTINGS.batch_windows * FRAMES, CHANNELS * DIMS, PERSONS * SETTINGS.filters
    x, weight = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    out = x @ weight

    def products() -> None:
        torch.mm(x, weight)
        torch.mm(x.mT, out)

    return SETTINGS.batch_windows * PERSONS / seconds(products, 3)


def fused_speed(windows: Windows, precision: str) -> float:
    """Windows x heads a second of a whole training: reading, steps, validation, threshold."""
    settings = replace(SETTINGS, precision=precision)
    slots = [Slot(fold, settings) for fold in make_folds(windows.counts(), "all")]
    done: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        train_group(slots, windows, torch.device("cpu"), Path(folder) / "training.pt", done.append)
        return sum(done) / (time.perf_counter() - begin)


def main() -> None:
    """Print windows x heads a second and ratios."""
    plain = plain_speed()
    print(f"{torch.get_num_threads()} threads, {PERSONS} folds, {FLOP / 1e6:.1f} MFLOP a window and head")
    print(f"{'form':<32}{'windows x heads/s':>18}{'ratio':>8}{'GFLOP/s':>9}")

    def show(form: str, speed: float) -> None:
        print(f"{form:<32}{speed:>18,.0f}{speed / plain:>8.1f}{speed * FLOP / 1e9:>9.0f}", flush=True)

    show("single heads, Conv2d, float32", plain)
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), LATENTS, PERSONS, 1, RECORDING_S)
        windows = Windows(store.open(folder))
        for precision in ("float32", "bfloat16"):
            show(f"products alone, {precision}", product_speed(getattr(torch, precision)))
            show(f"fused, {precision}", fused_speed(windows, precision))
