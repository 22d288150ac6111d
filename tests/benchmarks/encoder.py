"""The frozen encoder against the released form: Conv1d, float32, 288 sequences a batch."""

import platform
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from extract.braincodec import BrainCodec, Conv, paddings
from extract.encoders import EncoderSettings, NetworkEncoder, load_encoder

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


def windows_a_second(encode: Callable[[], object]) -> float:
    """Windows encoded in a second, the best of some runs after one that warms up."""
    encode()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        encode()
        times.append(time.perf_counter() - begin)
    return WINDOWS / min(times)


def main() -> None:
    """Print windows a second, ratios and the error of each form."""
    windows_uv = np.random.default_rng(0).normal(0, 40, (WINDOWS, 18, 2048)).astype(np.float32)
    plain = load_encoder(EncoderSettings(encoder="random"))
    assert isinstance(plain, NetworkEncoder)
    sequences = torch.from_numpy(windows_uv).flatten(0, 1).unsqueeze(1).to(plain.device)

    def released() -> Tensor:
        with torch.inference_mode():
            return torch.cat([plain_encode(plain.model, part) for part in sequences.split(288)])

    latents = released().unflatten(0, (WINDOWS, 18)).permute(0, 3, 1, 2).cpu().numpy()
    baseline = windows_a_second(released)
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {plain.device}")
    print(f"{'form':<24}{'windows/s':>10}{'ratio':>8}{'relative error':>16}")
    print(f"{'Conv1d, 288 sequences':<24}{baseline:>10.1f}{1:>8.1f}{0:>16.1e}")
    for precision in ("float32", "bfloat16"):
        encoder = load_encoder(EncoderSettings(encoder="random", precision=precision))
        speed = windows_a_second(partial(encoder.encode, windows_uv))
        error = np.linalg.norm(encoder.encode(windows_uv) - latents) / np.linalg.norm(latents)
        print(f"{precision:<24}{speed:>10.1f}{speed / baseline:>8.1f}{error:>16.1e}")
