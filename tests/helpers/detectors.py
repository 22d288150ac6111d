"""Runs that detect an 8-Hz rhythm, and files in which there is one."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import edfio
import numpy as np

from eval.__main__ import main as evaluate
from extract.__main__ import main as extract
from extract.io.montage import CHANNELS
from heads.train import main as train
from store import Event
from tests.helpers.eeg import noise_uv, write_recording

START = datetime(2021, 3, 4, 5, 6, 7)
QUICK = ("--epochs", "6", "--lr", "0.01", "--filters", "4", "--hidden", "4")


def train_quickly(arguments: list[str]) -> int:
    return train([*arguments, *QUICK])


def make_line(
    root: Path, *encoder: str, heads: Callable[[list[str]], int] = train_quickly, missing: int = 0
) -> Path:
    """Everything from EEG to a scored final fold: folders bids, store and run; person 01 lacks electrodes."""
    for number in range(3):
        signal_uv = noise_uv(62.25, number)
        signal_uv[:, 20 * 64 : 40 * 64] += 200 * np.sin(np.arange(20 * 64) * 2 * np.pi * 8 / 64)
        names = CHANNELS[missing:] if number == 0 else CHANNELS
        write_recording(
            root / "bids", f"{number + 1:02}", 0, signal_uv[-len(names) :], [Event(20, 20, "sz")], names
        )
    folders = [str(root / name) for name in ("bids", "store", "run")]
    assert extract(["--bids", folders[0], "--store", folders[1], "--stride", "2", "--encoder", *encoder]) == 0
    assert heads(["--store", folders[1], "--fold", "final", "--out", folders[2]]) == 0
    assert evaluate([folders[2]]) == 0
    return root


def write(
    path: Path, rate_hz: int = 64, seconds: float = 40, channels: int = 18, suffix: str = ".edf", unit: str = "uV"
) -> Path:
    """An EDF or BDF of noise in which an 8-Hz rhythm begins half-way."""
    samples = round(seconds * rate_hz)
    signal_uv = np.random.default_rng(0).normal(0, 30, (channels, samples))
    signal_uv[:, samples // 2 :] += 200 * np.sin(np.arange(samples - samples // 2) * 2 * np.pi * 8 / rate_hz)
    kind, file = (edfio.BdfSignal, edfio.Bdf) if suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
    signals = [
        kind(row, rate_hz, label=name, physical_dimension=unit, physical_range=(-800, 800))
        for name, row in zip(CHANNELS, signal_uv, strict=False)
    ]
    starting = {"starttime": START.time(), "recording": edfio.Recording(startdate=START.date())}
    path = path.with_suffix(suffix)
    record_s = 1 if seconds == int(seconds) else 0.25
    file(signals, data_record_duration=record_s, **starting).write(path)
    return path
