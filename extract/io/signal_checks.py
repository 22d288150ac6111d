"""Scan a whole signal, a minute at a time, for samples that are not EEG and for channels without an electrode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from extract.io.montage import ChannelSources
from store.runtime.errors import UserError

# standard deviation of scalp EEG: noise alone has more than 0.5, artefacts throughout have less than 5000
AMPLITUDES_UV = (0.5, 5000.0)
# a channel's standard deviation over the median channel's; in 360 recordings the largest is 82 (intensive care),
# the next 13
LARGEST_RATIO = 150.0
DUPLICATE_TOLERANCE_UV = 1.0  # two gains may round a signal differently
SCAN_S = 60


@dataclass(frozen=True)
class Remedies:
    """What to do about samples that are refused, by where they come from."""

    values: str  # that are not finite
    flat: str
    amplitude: str
    duplicate: str


OF_FILE = Remedies(
    values="export the file again without such samples",
    flat="export the file again",
    amplitude="the unit in the header is probably wrong (V, mV, uV), or the gain; correct it",
    duplicate="rename or remove one of them",
)


class Samples(Protocol):
    """Raw channels of a file, by index."""

    def read_uv(self, channels: Sequence[int], start: int, stop: int) -> npt.NDArray[np.float64]:
        """Samples ``[start, stop)`` of channels, ``(len(channels), stop - start)``, microvolts."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True)
class ChannelFaults:
    """Rows of the channels that count as missing."""

    flat: tuple[int, ...]
    implausible: tuple[int, ...]  # an amplitude that no electrode gives
    text: str  # what is wrong, for an error; empty when nothing is


def scan(
    path: Path,
    samples: Samples,
    names: Sequence[str],
    sources: ChannelSources,
    length: int,
    sample_rate_hz: float,
    remedies: Remedies = OF_FILE,
) -> ChannelFaults:
    """Read all of a signal, a minute at a time.

    A channel is implausible when its standard deviation is outside `AMPLITUDES_UV`, or above `LARGEST_RATIO` times
    that of the median channel: a unit or a gain in the header is wrong, or nothing was plugged in.

    Parameters
    ----------
    names
        Of all channels of the file, to which the indices of the sources refer.
    length
        Samples of the recording.

    Raises
    ------
    UserError
        If a sample is not finite, duplicates disagree, all channels are flat, or the amplitude of the median
        channel, or of every channel, is not one of scalp EEG.
    """
    needed = sources.needed
    used = [needed.index(index) for index in sources.used]
    first_uv = samples.read_uv(needed, 0, 1)
    origin_uv = sources.apply(first_uv[used])
    moving = np.zeros(len(needed), bool)
    total, squares = np.zeros(len(sources.channels)), np.zeros(len(sources.channels))
    step = math.ceil(SCAN_S * sample_rate_hz)
    for start in range(0, length, step):
        raw_uv = samples.read_uv(needed, start, min(start + step, length))
        check_samples(path, names, sources, raw_uv, start / sample_rate_hz, sample_rate_hz, remedies)
        moving |= (raw_uv != first_uv).any(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # of amplitudes that are refused below
            away_uv = (sources.apply(raw_uv[used]) - origin_uv).astype(np.float64)
            total += away_uv.sum(axis=1)
            squares += (away_uv**2).sum(axis=1)
    dead = {index for index, moves in zip(needed, moving, strict=True) if not moves}
    pairs = list(zip(sources.plus, sources.minus, strict=True))
    alive = [int(row) for row in np.flatnonzero(squares) if not dead.intersection(pairs[row])]
    if not alive:
        raise UserError(f"{path}: all channels are flat from beginning to end; {remedies.flat}")
    with np.errstate(over="ignore", invalid="ignore"):
        deviation_uv = np.sqrt(np.maximum(squares / length - (total / length) ** 2, 0))
    deviation_uv[np.isnan(deviation_uv)] = np.inf
    flat = tuple(row for row, present in enumerate(sources.mask) if present and row not in alive)
    return _judge(path, sources.channels, alive, flat, deviation_uv, remedies)


def _judge(
    path: Path,
    channels: Sequence[str],
    alive: list[int],
    flat: tuple[int, ...],
    deviation_uv: npt.NDArray[np.float64],
    remedies: Remedies,
) -> ChannelFaults:
    """Compare the standard deviation of each channel, ``(C,)``, with that of scalp EEG."""
    median_uv = float(np.median(deviation_uv[alive]))
    lowest, highest = AMPLITUDES_UV
    if not lowest <= median_uv <= highest:
        raise UserError(
            f"{path}: standard deviation is {median_uv:.3g} uV (median of channels), scalp EEG has "
            f"{lowest:g} to {highest:g}; {remedies.amplitude}"
        )
    highest = min(highest, LARGEST_RATIO * median_uv)
    implausible = tuple(row for row in alive if not lowest <= deviation_uv[row] <= highest)
    listed = ", ".join(f"{channels[row]} {deviation_uv[row]:.3g} uV" for row in implausible)
    if len(implausible) == len(alive):
        raise UserError(
            f"{path}: no channel has the standard deviation of scalp EEG: {listed} (allowed {lowest:g} to "
            f"{highest:.4g}); {remedies.amplitude}"
        )
    parts = []
    if flat:
        parts.append(f"flat from beginning to end: {', '.join(channels[row] for row in flat)}")
    if implausible:
        parts.append(
            f"a standard deviation that no electrode gives: {listed} (allowed {lowest:g} to {highest:.4g}, the "
            f"median channel has {median_uv:.3g}; check unit and gain)"
        )
    return ChannelFaults(flat, implausible, "; ".join(parts))


def check_samples(
    path: Path,
    names: Sequence[str],
    sources: ChannelSources,
    raw_uv: npt.NDArray[np.float64],
    start_s: float,
    sample_rate_hz: float,
    remedies: Remedies = OF_FILE,
) -> None:
    """Refuse samples that are not finite, and duplicates that disagree, in a part that begins at ``start_s``."""
    needed = sources.needed
    if not np.isfinite(raw_uv).all():
        row, sample = np.argwhere(~np.isfinite(raw_uv))[0]
        raise UserError(
            f"{path}: {names[needed[row]]} is not a finite number at {start_s + sample / sample_rate_hz:.2f} s; "
            f"{remedies.values}"
        )
    for index, other in sources.duplicates:
        apart_uv = np.abs(raw_uv[needed.index(index)] - raw_uv[needed.index(other)]).max()
        if apart_uv > DUPLICATE_TOLERANCE_UV:
            raise UserError(
                f"{path}: {names[index]} occurs twice and differs by up to {apart_uv:.1f} uV "
                f"(allowed: {DUPLICATE_TOLERANCE_UV} uV); {remedies.duplicate}"
            )
