"""python -m extract.codec: an EDF to codes and back, to see what the codes keep."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import edfio
import numpy as np
import numpy.typing as npt
import torch
import tyro

from extract.braincodec.checkpoint import load_checkpoint
from extract.braincodec.network import BrainCodec
from extract.encoders.braincodec import WEIGHTS
from extract.io.montage import CHANNELS
from extract.io.raw import EegFile, open_signal
from extract.io.windows import resample, window_blocks
from store.runtime.cli import run
from store.runtime.errors import UserError

WINDOWS_AT_ONCE = 4
PICTURE_S = 10


@dataclass(frozen=True, kw_only=True)
class CodecCommand:
    """What to code, and where to."""

    input: tyro.conf.Positional[Path]
    """EDF with the 18 channels, or with electrodes that give them."""
    output: tyro.conf.Positional[Path]
    """EDF to write: the 18 channels as decoded from the codes."""
    picture: Path | None = None
    """Picture to write (png, pdf, svg): original against decoded, ten seconds from the middle."""
    weights: Path = WEIGHTS
    """Checkpoint; the one that ships by default."""


@torch.inference_mode()
def through_codes(model: BrainCodec, signal: EegFile) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """A recording through the codec.

    Returns
    -------
    decoded_uv : (18, samples) float32
        At the rate of the recording.
    codes : (B, C, F, Q)
    """
    config = model.config
    rate_hz, length = signal.sample_rate_hz, round(config.window_s * signal.sample_rate_hz)
    decoded_uv = np.zeros((len(CHANNELS), signal.samples), np.float32)
    codes = []
    blocks = window_blocks(
        signal.read,
        signal.samples,
        rate_hz,
        config.window_s,
        config.window_s,
        config.sample_rate_hz,
        WINDOWS_AT_ONCE,
    )
    first = 0
    for windows_uv in blocks:
        rows = torch.from_numpy(windows_uv).flatten(0, 1).unsqueeze(1)
        block_codes = model.quantize(model.encode(rows))
        codes.append(block_codes.view(*windows_uv.shape[:2], config.frames, config.quantizers))
        back = model.decode(model.dequantize(block_codes))[:, 0, : config.samples]
        back_uv = resample(back.numpy().reshape(windows_uv.shape), length)
        for window_uv in back_uv:
            start = round(first * config.window_s * rate_hz)
            decoded_uv[:, start : start + length] = window_uv[:, : signal.samples - start]
            first += 1
    return decoded_uv, torch.cat(codes).numpy()


def channel_prd(
    original_uv: npt.NDArray[np.float32], decoded_uv: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Percent root-mean-square difference of each row; nan for a row of zeros.

    >>> channel_prd(np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 3.0]], np.float32)).round(3)
    array([20.])
    """
    error, power = ((original_uv - decoded_uv) ** 2.0).sum(1), (original_uv**2.0).sum(1)
    share: npt.NDArray[np.float64] = np.divide(error, power, out=np.full(len(power), np.nan), where=power > 0)
    return 100 * np.sqrt(share)


def write_edf(path: Path, signal_uv: npt.NDArray[np.float32], sample_rate_hz: float, start: str) -> None:
    """Write the 18 channels as EDF."""
    rows = [
        edfio.EdfSignal(
            row.astype(np.float64),
            sample_rate_hz,
            label=name,
            physical_dimension="uV",
            physical_range=_range_of(row),
        )
        for row, name in zip(signal_uv, CHANNELS, strict=True)
    ]
    begin = datetime.fromisoformat(start) if start else None
    recording = edfio.Recording(startdate=begin.date()) if begin else None
    edfio.Edf(rows, recording=recording, starttime=begin.time() if begin else None).write(path)


def draw(
    path: Path, original_uv: npt.NDArray[np.float32], decoded_uv: npt.NDArray[np.float32], rate_hz: float
) -> None:
    """Picture of ten seconds from the middle, original in black, decoded in red."""
    from matplotlib.figure import Figure

    shown = min(original_uv.shape[1], round(PICTURE_S * rate_hz))
    first = (original_uv.shape[1] - shown) // 2
    part = slice(first, first + shown)
    times_s = np.arange(first, first + shown) / rate_hz
    step_uv = 4 * float(np.median(original_uv[:, part].std(1))) or 1.0
    figure = Figure(figsize=(12, 10), layout="constrained")
    axes = figure.subplots()
    offsets = -step_uv * np.arange(len(CHANNELS))
    for rows, colour, name in ((original_uv, "black", "original"), (decoded_uv, "red", "decoded")):
        lines = axes.plot(times_s, (rows[:, part] + offsets[:, None]).T, color=colour, linewidth=0.7)
        lines[0].set_label(name)
    axes.set_yticks(offsets, CHANNELS)
    axes.set_xlabel("s")
    axes.set_title(f"PRD {np.nanmean(channel_prd(original_uv, decoded_uv)):.1f} %, rows {step_uv:.0f} uV apart")
    axes.legend(loc="upper right")
    axes.margins(x=0, y=0.02)
    figure.savefig(path, dpi=120)


def _range_of(row: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Whole microvolts around a row, which the eight characters of an EDF header hold."""
    low, high = float(np.floor(row.min())), float(np.ceil(row.max()))
    return (low, high) if low < high else (low - 1, high + 1)


def _command(settings: CodecCommand) -> None:
    if settings.output.resolve() == settings.input.resolve():
        raise UserError(f"{settings.output}: is the input; give another name for the output")
    model = load_checkpoint(settings.weights).model
    with open_signal(settings.input) as signal:
        decoded_uv, codes = through_codes(model, signal)
        original_uv = signal.read(0, signal.samples)
    write_edf(settings.output, decoded_uv, signal.sample_rate_hz, signal.start)
    if settings.picture:
        draw(settings.picture, original_uv, decoded_uv, signal.sample_rate_hz)
    config = model.config
    bits = codes.size / len(CHANNELS) * np.log2(config.codebook_size)
    rate = bits / (len(codes) * config.window_s)
    for name, value in zip(CHANNELS, channel_prd(original_uv, decoded_uv), strict=True):
        print(f"{name:8} {rate:.0f} bit/s  PRD {value:5.1f} %")
    stored = 16 * signal.sample_rate_hz
    print(f"{settings.output}: {stored / rate:.0f} times fewer bits than the input's 16 a sample")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract.codec``."""
    return run(
        _command,
        CodecCommand,
        argv,
        prog="python -m extract.codec",
        description="Code an EDF with BrainCodec and decode it again.",
    )


if __name__ == "__main__":
    sys.exit(main())
