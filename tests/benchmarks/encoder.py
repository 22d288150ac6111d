"""The frozen encoder against the released form (Conv1d, float32, 288 sequences a batch) and arithmetic's limit."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from extract.braincodec.avx512 import Avx512Encoder
from extract.braincodec.network import BrainCodec, Conv, paddings
from extract.encoders.braincodec import BrainCodecEncoder
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder

WINDOWS = 64
REPEATS = 3


def plain_encode(model: BrainCodec, signal_uv: Tensor) -> Tensor:
    """The encoder as published: one-dimensional convolutions."""

    def convolve(layer: Conv, x: Tensor) -> Tensor:
        padding = paddings(x.shape[-1], layer.weight.shape[-1], layer.stride)
        padded = functional.pad(x, padding, mode="reflect") if any(padding) else x
        return functional.conv1d(padded, layer.weight, layer.bias, stride=layer.stride)

    encoder, elu = model.encoder, functional.elu
    x = convolve(encoder.first, signal_uv)
    for residual, down in zip(encoder.residuals, encoder.downs, strict=True):
        x = x + convolve(residual.widen, elu(convolve(residual.narrow, elu(x))))
        x = convolve(down, elu(x))
    return convolve(encoder.last, elu(x))


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def limit(dtype: torch.dtype) -> float:
    """Operations a second of a large layer or a matrix product, whichever is faster."""
    x, weight = torch.randn(18, 256, 1, 258).to(dtype), torch.randn(256, 256, 1, 4).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    square = torch.randn(2048, 2048).to(dtype)
    ways = (
        (lambda: functional.conv2d(x, weight, stride=(1, 2)), 2 * 18 * 128 * weight.numel()),
        (lambda: square @ square, 2 * 2048**3),
    )
    with torch.inference_mode():
        return max(size / seconds(way, 20) for way, size in ways)


def main() -> None:
    """Print windows a second, ratios, the share of the limit and the error of each form."""
    windows_uv = np.random.default_rng(0).normal(0, 40, (WINDOWS, 18, 2048)).astype(np.float32)
    plain = load_encoder(EncoderSettings(encoder="random", precision="float32"))
    assert isinstance(plain, BrainCodecEncoder)
    sequences = torch.from_numpy(windows_uv).flatten(0, 1).unsqueeze(1).to(plain.device)
    with FlopCounterMode(display=False) as counter:
        plain.model.encode(sequences[:18])
    flop = counter.get_total_flops()

    def released() -> Tensor:
        with torch.inference_mode():
            return torch.cat([plain_encode(plain.model, part) for part in sequences.split(288)])

    latents = released().unflatten(0, (WINDOWS, 18)).permute(0, 3, 1, 2).cpu().numpy()
    baseline = WINDOWS / seconds(released, REPEATS)
    print(f"{'form':<32}{'ratio':>7}{'windows/s':>11}{'GFLOP each':>12}{'of limit':>10}{'relative error':>16}")

    def show(form: str, speed: float, gflop: float, dtype: torch.dtype, error: float) -> None:
        share = speed * gflop * 1e9 / limit(dtype)
        print(f"{form:<32}{speed / baseline:>7.1f}{speed:>11.1f}{gflop:>12.2f}{share:>10.0%}{error:>16.1e}")

    show("Conv1d, 288 sequences, float32", baseline, flop / 1e9, torch.float32, 0)
    for precision in ("float32", "bfloat16"):
        encoder = load_encoder(EncoderSettings(encoder="random", precision=precision))
        assert isinstance(encoder, BrainCodecEncoder)
        compiled = isinstance(encoder.to_latents, Avx512Encoder)
        row_flop = 2 * 18 * encoder.to_latents.products if compiled else flop
        speed = WINDOWS / seconds(partial(encoder.encode, windows_uv), REPEATS)
        error = np.linalg.norm(encoder.encode(windows_uv) - latents) / np.linalg.norm(latents)
        form = f"{precision}, {'AVX-512' if compiled else 'torch'}"
        show(form, speed, row_flop / 1e9, getattr(torch, precision), float(error))
