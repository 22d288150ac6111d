"""Tiny BIDS recordings of known content."""

from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray

from extract.io.montage import CHANNELS
from store import Event

RATE_HZ = 64
HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration"


def noise_uv(seconds: float, seed: int, channels: int = len(CHANNELS)) -> NDArray[np.float64]:
    """White noise, ``(channels, seconds * RATE_HZ)``."""
    return np.random.default_rng(seed).normal(0, 30, (channels, round(seconds * RATE_HZ)))


def write_edf(path: Path, signal_uv: NDArray[np.float64], names: Sequence[str] = CHANNELS) -> None:
    """An EDF whose data records are a quarter of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        edfio.EdfSignal(row, RATE_HZ, label=name, physical_dimension="uV", physical_range=(-800, 800))
        for name, row in zip(names, signal_uv, strict=True)
    ]
    edfio.Edf(signals, data_record_duration=0.25).write(path)


def write_recording(
    bids: Path,
    subject: str,
    run: int,
    signal_uv: NDArray[np.float64],
    events: Sequence[Event] = (),
    names: Sequence[str] = CHANNELS,
) -> Path:
    """A recording with its events; the path of the EDF."""
    folder = bids / f"sub-{subject}" / "ses-01" / "eeg"
    stem = f"sub-{subject}_ses-01_task-szMonitoring_run-{run:02}"
    write_edf(folder / f"{stem}_eeg.edf", signal_uv, names)
    duration_s = signal_uv.shape[1] / RATE_HZ
    rows = [(e.onset_s, e.duration_s, e.kind) for e in events] or [(0.0, duration_s, "bckg")]
    lines = [f"{o:.2f}\t{d:.2f}\t{k}\tn/a\tn/a\t2026-01-02 03:04:05\t{duration_s:.2f}" for o, d, k in rows]
    (folder / f"{stem}_events.tsv").write_text("\n".join([HEADER, *lines, ""]))
    return folder / f"{stem}_eeg.edf"
