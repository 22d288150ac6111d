"""Error against bit rate, of the first quantizers of a BrainCodec and of the transform coder."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from extract.braincodec.network import BrainCodec
from extract.coding.dct import code_at_rate
from extract.coding.distortion import channel_prd

_AT_ONCE = 64


@dataclass(frozen=True)
class CurvePoint:
    """A coder at one rate."""

    coder: str  # name of the weights, or DCT
    bits_per_s: float  # of one channel
    prd: float  # percent, mean of the windows


def measure_curve(model: BrainCodec, windows_uv: npt.NDArray[np.float32], name: str) -> list[CurvePoint]:
    """Points of both coders at the rates of the model's first 1, 2, ... Q quantizers.

    Parameters
    ----------
    windows_uv : (N, samples) float32
        Of one channel each, at the model's rate. Windows of zeros have no PRD and are left out.
    name
        Of the model.
    """
    config = model.config
    windows_uv = windows_uv[np.abs(windows_uv).max(1) > 0]
    points = []
    for count, decoded_uv in enumerate(_decode_at_rates(model, windows_uv), start=1):
        rate = config.bits_per_second * count / config.quantizers
        points.append(CurvePoint(name, rate, float(channel_prd(windows_uv, decoded_uv).mean())))
    for rate in [point.bits_per_s for point in points]:
        coded = code_at_rate(windows_uv, rate * config.window_s)
        prd = float(channel_prd(windows_uv, coded.decoded).mean())
        points.append(CurvePoint("DCT", coded.bits / config.window_s, prd))
    return points


@torch.inference_mode()
def _decode_at_rates(model: BrainCodec, windows_uv: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    """Windows decoded from codes of the first quantizer, of the first two, and so on."""
    parts = torch.split(torch.from_numpy(windows_uv).unsqueeze(1), _AT_ONCE)
    latents = [model.encode(part) for part in parts]
    for count in range(1, model.config.quantizers + 1):
        decoded = torch.cat([model.decode(model.dequantize(model.quantize(part, count))) for part in latents])
        yield decoded[:, 0, : windows_uv.shape[1]].numpy()


def draw_curve(points: Sequence[CurvePoint], title: str, form: str, creator: str) -> bytes:
    """Picture of the points; ``form`` is png, pdf or svg, ``creator`` is written into the file, not drawn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for coder in dict.fromkeys(point.coder for point in points):
        mine = [point for point in points if point.coder == coder]
        axes.plot([p.bits_per_s for p in mine], [p.prd for p in mine], marker="o", label=coder)
    axes.set_xlabel("bit/s a channel")
    axes.set_ylabel("PRD, %")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, parse_math=False, wrap=True)
    for text in axes.legend().get_texts():
        text.set_parse_math(False)
    axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=120, metadata={"Creator": creator})
    return content.getvalue()
