"""python -m extract.codec: encode and decode an EDF, to see what the codes lose."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("extract.codec"))

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import edfio
import numpy as np
import numpy.typing as npt
import tyro

from extract.coding.distortion import band_prd, channel_prd, overall_prd
from extract.coding.picture import draw_codec
from extract.encoders.shipped import SHIPPED, find_weights
from extract.io.montage import CHANNELS
from extract.io.raw import EegFile, open_signal
from extract.io.windows import WindowShape, cut_window, resample, window_blocks
from store.runtime.atomic import write_bytes
from store.runtime.cli import run, to_one_line
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_output

if TYPE_CHECKING:
    from extract.braincodec.network import BrainCodec

HELP = """Encode an EDF with BrainCodec and decode it again; print bit rate and error (PRD) of each channel.

Start with: --picture to plot the error, --missing zero if channels are missing, --weights."""
WINDOWS_AT_ONCE = 4
PICTURES = (".png", ".pdf", ".svg")
EQUIPMENT = "braincodec-seizure-codec"  # by which our files are known
_CURVE_WINDOWS = 30  # of each channel, at most
LARGEST_UV = 1e6  # of what is decoded; the header of an EDF has eight characters for it
EDF_YEARS = range(1985, 2085)


@dataclass(frozen=True, kw_only=True)
class CodecCommand:
    """What to code, and where to."""

    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT.edf")]
    """EDF with the 18 channels, or with the electrodes to derive them from."""
    output: Annotated[Path | None, tyro.conf.Positional, optional("[OUTPUT.edf]")] = None
    """EDF to write, with the 18 channels decoded from the codes; without it, errors are only printed."""
    picture: Annotated[Path | None, optional("PICTURE.png")] = None
    """Figure to write (png, pdf, svg): original, decoded and error, for ten seconds from the middle."""
    curve: Annotated[Path | None, optional("CURVE.png")] = None
    """Figure to write: error against bit rate, beside a transform coder (DCT)."""
    missing: Literal["error", "zero"] = "error"
    """If a channel is missing, flat or of an impossible amplitude: refuse the file, or code zeros."""
    weights: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "braincodec-any-eeg"
    """Shipped: braincodec-any-eeg, braincodec-any-eeg-v1, braincodec-clips (or braincodec). Or a checkpoint."""
    quantizers: Annotated[int | None, optional("N")] = None
    """Number of quantizers to use, counted from the first, 64 bit/s per channel each; default 4, as published."""
    force: bool = False
    """Overwrite files that this command did not write."""

    @property
    def weights_name(self) -> str:
        """Name of the weights, for figures."""
        return self.weights if self.weights in SHIPPED else self.checkpoint.stem

    @property
    def checkpoint(self) -> Path:
        """File of the weights."""
        return find_weights(self.weights)


def through_codes(
    model: "BrainCodec", signal: EegFile, quantizers: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """A recording through the codec.

    Parameters
    ----------
    quantizers
        Q, how many of the quantizers code, the first ones.

    Returns
    -------
    decoded_uv : (18, samples) float32
        At the rate of the recording.
    codes : (B, C, F, Q)
    """
    import torch

    config = model.config
    shape, length, rate_hz = _window_grid(model, signal)
    decoded_uv = np.zeros((len(CHANNELS), signal.samples), np.float32)
    codes = []
    blocks = window_blocks(signal.read, signal.samples, rate_hz, shape, WINDOWS_AT_ONCE)
    first = 0
    for windows_uv in blocks:
        with torch.inference_mode():
            rows = torch.from_numpy(windows_uv).flatten(0, 1).unsqueeze(1)
            block_codes = model.quantize(model.encode(rows), quantizers)
            back = model.decode(model.dequantize(block_codes))[:, 0, : config.samples]
        codes.append(block_codes.view(*windows_uv.shape[:2], config.frames, quantizers))
        back_uv = resample(back.numpy().reshape(windows_uv.shape), length)
        for window_uv in back_uv:
            start = first * length
            decoded_uv[:, start : start + length] = window_uv[:, : signal.samples - start]
            first += 1
    return decoded_uv, torch.cat(codes).numpy()


def _window_grid(model: "BrainCodec", signal: EegFile) -> tuple[WindowShape, int, float]:
    """Windows side by side, the samples of one, and the rate at which that is a whole number.

    At a rate like 199.8 Hz, windows that begin at whole multiples of 4 s leave single samples between them.
    """
    config = model.config
    length = round(config.window_s * signal.sample_rate_hz)
    shape = WindowShape(config.window_s, config.window_s, config.sample_rate_hz)
    return shape, length, length / config.window_s


def write_edf(
    path: Path,
    signal_uv: npt.NDArray[np.float32],
    sample_rate_hz: float,
    start: str,
    record_s: float | None = None,
) -> None:
    """Write the 18 channels as EDF, whole or not at all.

    Parameters
    ----------
    signal_uv : (18, samples) float32
    start
        ISO date and time; a year that an EDF cannot hold (before 1985, after 2084) leaves the date out.
    record_s
        Length of a data record, of which the signal has a whole number; by default one is looked for, and the
        last value is repeated up to a whole second where there is none.
    """
    samples = signal_uv.shape[1]
    record_s = record_s or _record_length(samples, sample_rate_hz)
    if record_s is None:
        record_s = _whole_record(sample_rate_hz)
        missing = -samples % round(record_s * sample_rate_hz)
        signal_uv = np.pad(signal_uv, ((0, 0), (0, missing)), mode="edge")
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
    date = begin.date() if begin and begin.year in EDF_YEARS else None
    recording = edfio.Recording(startdate=date, equipment_code=EQUIPMENT)
    edf = edfio.Edf(
        rows, recording=recording, starttime=begin.time() if begin else None, data_record_duration=record_s
    )
    write_bytes(path, edf.to_bytes())


def _record_length(samples: int, sample_rate_hz: float) -> float | None:
    """The longest data record, of a second at most, that divides this number of samples; None if none does.

    >>> _record_length(2688, 256), _record_length(999, 199.8), _record_length(2689, 256)
    (0.5, None, None)
    """
    for record_s in (1.0, 0.5, 0.25, 0.2, 0.125, 0.1, 0.0625, 0.05, 0.04, 0.025, 0.02, 0.01):
        length = record_s * sample_rate_hz
        if length >= 1 and length == round(length) and samples % round(length) == 0:
            return record_s
    return None


def _whole_record(sample_rate_hz: float) -> float:
    """The fewest whole seconds that hold a whole number of samples.

    >>> _whole_record(256), _whole_record(199.8)
    (1.0, 5.0)
    """
    return float(Fraction(sample_rate_hz).limit_denominator(10_000).denominator)


def _some_windows(model: "BrainCodec", signal: EegFile) -> npt.NDArray[np.float32]:
    """Windows of all channels at the model's rate, evenly spaced in time, ``(N, samples)``."""
    shape, length, rate_hz = _window_grid(model, signal)
    whole = range(max(1, signal.samples // length))  # of a shorter recording the one that extraction cuts
    some = whole[:: math.ceil(len(whole) / _CURVE_WINDOWS)]
    return np.concatenate([cut_window(signal.read, signal.samples, rate_hz, shape, index) for index in some])


def _draw(
    path: Path,
    original_uv: npt.NDArray[np.float32],
    decoded_uv: npt.NDArray[np.float32],
    rate_hz: float,
    coded: str,
) -> bytes:
    title = f"{coded}, PRD {overall_prd(original_uv, decoded_uv):.1f} %"
    form = path.suffix[1:].lower()
    return draw_codec(original_uv, decoded_uv, rate_hz, CHANNELS, title, form, EQUIPMENT)


def _range_of(row: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Whole microvolts around a row, which the eight characters of an EDF header hold."""
    low, high = float(np.floor(row.min())), float(np.ceil(row.max()))
    return (low, high) if low < high else (low - 1, high + 1)


def is_ours(path: Path) -> bool:
    """Whether an EDF or a picture was written by this command."""
    return EQUIPMENT.encode() in path.read_bytes()


def _guard(command: CodecCommand) -> None:
    """Refuse outputs that would overwrite an input or a file that this command did not write."""
    companions = (command.input.with_suffix(suffix) for suffix in (".eeg", ".vmrk", ".fdt"))
    inputs = [command.input, command.checkpoint, *(path for path in companions if path.exists())]
    outputs: list[Path] = []
    for path, endings in ((command.output, (".edf",)), (command.picture, PICTURES), (command.curve, PICTURES)):
        if path is not None:
            guard_output(
                path, inputs=inputs, outputs=outputs, endings=endings, is_ours=is_ours, force=command.force
            )
            outputs.append(path)


def _command(command: CodecCommand) -> None:
    # here, since they load torch, which --help does not need
    from extract.braincodec.checkpoint import load_checkpoint
    from extract.coding.curve import draw_curve, measure_curve

    _guard(command)
    model = load_checkpoint(command.checkpoint).model
    config = model.config
    quantizers = config.count_quantizers(command.quantizers)
    with open_signal(command.input, command.missing) as signal:
        decoded_uv, codes = through_codes(model, signal, quantizers)
        original_uv = signal.read(0, signal.samples)
        header = getattr(signal.raw, "header", None)
        points = []
        if command.curve:
            points = measure_curve(model, _some_windows(model, signal), command.weights_name)
    _require_eeg(decoded_uv, command)
    rate_hz = signal.sample_rate_hz
    bits = codes.size / len(CHANNELS) * np.log2(config.codebook_size)
    bits_per_s = bits / (len(codes) * config.window_s)
    if command.output:
        write_edf(command.output, decoded_uv, rate_hz, signal.start, header.record_s if header else None)
    if command.picture:
        coded = f"{to_one_line(command.input.name)}, {command.weights_name}, {bits_per_s:.0f} bit/s a channel"
        write_bytes(command.picture, _draw(command.picture, original_uv, decoded_uv, rate_hz, coded))
    if command.curve:
        title = f"{to_one_line(command.input.name)}, mean of windows of {config.window_s} s"
        write_bytes(command.curve, draw_curve(points, title, command.curve.suffix[1:].lower(), EQUIPMENT))
    _print_errors(original_uv, decoded_uv, rate_hz, bits_per_s)
    width = max((len(point.coder) for point in points), default=0)
    for point in points:
        rate = f"{point.bits_per_s:4.0f} bit/s a channel"
        print(f"{point.coder:{width}} {rate}  PRD {point.prd:5.1f} % (mean of windows)")
    if command.output and signal.start and int(signal.start[:4]) not in EDF_YEARS:
        print(f"{command.output}: an EDF holds the years 1985 to 2084; the date, {signal.start[:10]}, is left out")
    ratio = 16 * rate_hz / bits_per_s
    print(
        f"{command.output or command.input}: decoded from {ratio:.0f} times fewer bits than an EDF's 16 a sample"
    )


def _require_eeg(decoded_uv: npt.NDArray[np.float32], command: CodecCommand) -> None:
    if not np.abs(decoded_uv).max() <= LARGEST_UV:
        raise UserError(
            f"{command.weights}: decodes {command.input} to up to {np.abs(decoded_uv).max():.3g} uV, which is not "
            "EEG; use other weights"
        )


def _print_errors(
    original_uv: npt.NDArray[np.float32], decoded_uv: npt.NDArray[np.float32], rate_hz: float, bits_per_s: float
) -> None:
    """Print rate and error of each channel, of all of them, and of bands, ``(18, samples)``."""
    prds = channel_prd(original_uv, decoded_uv)
    for name, value in zip(CHANNELS, prds, strict=True):
        print(f"{name:8} {bits_per_s:.0f} bit/s  PRD {value:5.1f} %")
    overall = overall_prd(original_uv, decoded_uv)
    print(
        f"all      {bits_per_s * len(CHANNELS):.0f} bit/s  PRD {overall:5.1f} %  (mean of the channels "
        f"{np.nanmean(prds):.1f} %)"
    )
    bands = band_prd(original_uv, decoded_uv, rate_hz)
    print("bands    " + "  ".join(f"{name} {prd:.1f} %" for name, prd in bands.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract.codec``."""
    return run(
        _command,
        CodecCommand,
        argv,
        module="extract.codec",
        description=HELP,
        examples=["night.edf decoded.edf --picture decoded.png"],
    )
