"""Windows to train on: drawn at random from recordings, and augmented."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from extract.braincodec.config import BrainCodecConfig
from store.runtime.errors import UserError


@dataclass(frozen=True)
class TrainingSignal:
    """Microvolts ``(C, samples)`` float32 of one recording."""

    person: str
    sample_rate_hz: float
    signal_uv: Tensor


def draw_windows(
    signals: Sequence[TrainingSignal], config: BrainCodecConfig, count: int, generator: Generator
) -> Tensor:
    """Windows of random channels and starts, ``(count, 1, samples)`` float32, microvolts.

    Persons are drawn by the root of how much EEG each has, so that none dominates.
    """
    lengths = torch.tensor([s.signal_uv.shape[1] / s.sample_rate_hz - config.window_s for s in signals])
    seconds: dict[str, float] = {}
    for signal, length in zip(signals, lengths.tolist(), strict=True):
        seconds[signal.person] = seconds.get(signal.person, 0.0) + length + config.window_s
    weights = (lengths + config.window_s) / torch.tensor([math.sqrt(seconds[s.person]) for s in signals])
    windows = []
    for which in torch.multinomial(weights, count, replacement=True, generator=generator).tolist():
        signal = signals[which]
        samples = round(config.window_s * signal.sample_rate_hz)
        channel, start = torch.rand(2, generator=generator).tolist()
        first = int(start * (signal.signal_uv.shape[1] - samples + 1))
        row = signal.signal_uv[int(channel * len(signal.signal_uv)), first : first + samples]
        windows.append(resample(row[None, None], config.samples))
    return torch.cat(windows)


def cut_windows(signal: TrainingSignal, config: BrainCodecConfig) -> Tensor:
    """All whole windows of a recording side by side, ``(windows * C, 1, samples)`` float32, microvolts."""
    samples = round(config.window_s * signal.sample_rate_hz)
    whole = signal.signal_uv.shape[1] // samples * samples
    return resample(signal.signal_uv[:, :whole].reshape(-1, 1, samples), config.samples)


def resample(windows: Tensor, samples: int) -> Tensor:
    """Linear interpolation of each window on its own, ``(N, 1, L) -> (N, 1, samples)``."""
    return F.interpolate(windows, size=samples, mode="linear", align_corners=False)


def augment(windows: Tensor, others: Tensor, generator: Generator) -> Tensor:
    """Mix, filter, scale, turn and reverse windows at random; all shapes ``(N, 1, samples)``.

    Each window keeps its share of chance: a third are mixed with another, a third filtered, half each
    scaled (half to twice), turned in polarity and reversed in time.
    """
    chances = torch.rand(8, len(windows), 1, 1, generator=generator)
    x = windows + torch.where(chances[0] < 1 / 3, chances[1], 0.0) * others
    tilt = torch.where(chances[2] < 1 / 3, 0.3 * chances[3] - 0.1, 0.0)
    padded = F.pad(x, (1, 1), mode="replicate")
    x = x + tilt * (0.5 * (padded[..., 2:] + padded[..., :-2]) - x)
    x = x * torch.where(chances[4] < 1 / 2, 2.0 ** (2 * chances[5] - 1), 1.0)
    x = torch.where(chances[6] < 1 / 2, -x, x)
    return torch.where(chances[7] < 1 / 2, x.flip(-1), x)


def by_person(signals: Sequence[TrainingSignal]) -> Mapping[str, list[TrainingSignal]]:
    """Recordings of each person, persons in order."""
    persons = sorted({signal.person for signal in signals})
    return {person: [s for s in signals if s.person == person] for person in persons}


def split(
    signals: Sequence[TrainingSignal], hold_out: Sequence[str], config: BrainCodecConfig, batch: int
) -> tuple[list[TrainingSignal], list[TrainingSignal]]:
    """Recordings to train on and those of the persons held out; recordings shorter than a window are left out.

    Raises
    ------
    UserError
        If a person held out is not there, or what is left is too little for a batch.
    """
    persons = sorted({signal.person for signal in signals})
    if absent := sorted(set(hold_out) - set(persons)):
        raise UserError(f"--hold-out: no EEG of person {', '.join(absent)}; there: {', '.join(persons)}")
    usable = [s for s in signals if s.signal_uv.shape[1] >= config.window_s * s.sample_rate_hz]
    rest = [signal for signal in usable if signal.person not in hold_out]
    windows = sum(len(s.signal_uv) * int(s.signal_uv.shape[1] / s.sample_rate_hz / config.window_s) for s in rest)
    if windows < batch:
        raise UserError(
            f"{windows} windows of {config.window_s} s to train on, a batch has {batch}; "
            "give more EEG or hold out fewer persons"
        )
    return rest, [signal for signal in usable if signal.person in hold_out]
