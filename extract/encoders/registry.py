"""What can fill a store: BrainCodec with given weights, and the controls ``random`` and ``bandpower``."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extract.braincodec import avx512 as packed
from extract.braincodec.checkpoint import load_checkpoint, weights_sha256
from extract.braincodec.network import BrainCodec, BrainCodecConfig
from extract.io.montage import CHANNELS
from store import FeatureSpec
from store.runtime.device import choose_device, choose_precision
from store.runtime.errors import UserError

WEIGHTS = Path(__file__).parents[1] / "weights" / "braincodec.safetensors"
BANDS_HZ = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 48)}
_POWER_FLOOR_UV2 = 1e-3  # keeps the logarithm of a silent channel finite
_GPU_WINDOWS = 128  # encoded at once


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder, and how it computes."""

    encoder: str = "braincodec"
    """braincodec (the weights that ship), random (the same network untrained), bandpower, or a checkpoint file."""
    features: Literal["latents", "codes"] = "latents"
    """What is stored: the encoder's output as float16, or the quantizer's codes, 32 times smaller."""
    stride: int = 4
    """Seconds from one window's start to the next, 1 to 4."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; "auto" takes bfloat16 where the processor or GPU multiplies it."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


class Encoder(Protocol):
    """Turns windows of microvolts into features."""

    spec: FeatureSpec
    provenance: dict[str, Any]  # what is known of the encoder, JSON-ready
    codebooks: NDArray[np.float32] | None  # (Q, K, D) when the features are codes

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """``(B, C, N)`` microvolts at the spec's sample rate -> ``(B, F, C, D)``, or codes ``(B, F, C, Q)``."""


class NetworkEncoder:
    """The encoder half of a BrainCodec, frozen, with its quantizer when codes are asked for.

    Raises
    ------
    UserError
        If codes are asked for and the quantizer is untrained or has more codes than a byte can tell.
    """

    def __init__(
        self, model: BrainCodec, name: str, metadata: dict[str, Any], sha256: str, settings: EncoderSettings
    ) -> None:
        config = model.config
        self.device = torch.device(choose_device(settings.device))
        self.model = model.eval().requires_grad_(False).to(self.device)
        precision = choose_precision(settings.precision, self.device.type)
        self.to_latents: Callable[[Tensor], Tensor] = self.model.encode
        if self.device.type == "cpu" and packed.runs_here(precision):
            self.to_latents = packed.PackedEncoder(model.encoder, config.samples, precision == "bfloat16")
        elif precision == "bfloat16":
            self.model.encoder.bfloat16()
        self.provenance = {"name": name, "sha256": sha256, **metadata}
        codes = settings.features == "codes"
        self.codebooks = _codebooks(model, name) if codes else None
        self.spec = FeatureSpec(
            encoder=name,
            weights_sha256=sha256,
            features=settings.features,
            dtype="uint8" if codes else "float16",
            sample_rate_hz=config.sample_rate_hz,
            window_s=config.window_s,
            stride_s=settings.stride,
            hop=config.hop,
            frames=config.frames,
            dims=config.quantizers if codes else config.dimension,
            channels=CHANNELS,
            resampling="linear, each window",
            precision=precision,
        )

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[Any]:
        """``(B, C, N)`` microvolts -> ``(B, F, C, D)`` float32 latents or ``(B, F, C, Q)`` uint8 codes."""
        out = np.empty((len(windows_uv), *self.spec.shape), np.float32 if self.codebooks is None else np.uint8)

        def encode_part(start: int, stop: int) -> None:
            out[start:stop] = self._encode(torch.from_numpy(windows_uv[start:stop]))

        if self.device.type == "cpu":
            in_threads(encode_part, len(out))
        else:
            in_batches(encode_part, len(out), _GPU_WINDOWS)
        return out

    @torch.inference_mode()
    def _encode(self, windows_uv: Tensor) -> NDArray[Any]:
        latents = self.to_latents(windows_uv.to(self.device).flatten(0, 1).unsqueeze(1))
        rows = latents.transpose(1, 2) if self.codebooks is None else self.model.quantize(latents)  # (B*C, F, ...)
        return rows.unflatten(0, windows_uv.shape[:2]).transpose(1, 2).cpu().numpy()


def in_threads(encode_part: Callable[[int, int], object], count: int) -> None:
    """Call ``encode_part(start, stop)`` for each of so many windows, on as many threads as torch may use.

    A window stays in the cache of one processor and threads never wait for each other, as those of torch's own
    operations do: faster, and much so where other programs use the processors too.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(encode_part, range(count), range(1, count + 1)))
    finally:
        torch.set_num_threads(threads)  # the setting of a thread reaches into others through MKL


def in_batches(encode_part: Callable[[int, int], object], count: int, batch: int) -> None:
    """Call ``encode_part(start, stop)`` for batches of windows, half as large when the memory does not suffice.

    Raises
    ------
    UserError
        If not even one window fits.
    """
    start = 0
    while start < count:
        try:
            encode_part(start, min(start + batch, count))
        except torch.cuda.OutOfMemoryError as error:
            if batch == 1:
                raise UserError(
                    "--device: its memory does not hold one window; free some of it, or use --device cpu"
                ) from error
            batch //= 2
        else:
            start += batch


def _codebooks(model: BrainCodec, name: str) -> NDArray[np.float32]:
    """Vectors of the quantizer, ``(Q, K, D)``."""
    if not all(book.trained for book in model.quantizer.codebooks):
        raise UserError(f"--features codes: the quantizer of {name} was never trained; use --features latents")
    if (size := model.config.codebook_size) > 256:
        raise UserError(f"--features codes: {size} codes of {name} do not fit a byte; use --features latents")
    return np.stack([book.vectors.cpu().numpy() for book in model.quantizer.codebooks])


class BandpowerEncoder:
    """Five log band powers and the log line length of each second: what a trained encoder has to beat."""

    codebooks = None

    def __init__(self, settings: EncoderSettings) -> None:
        if settings.features == "codes":
            raise UserError("--features codes: bandpower has no quantizer; use --features latents")
        rate_hz = 512
        self.provenance: dict[str, Any] = {"name": "bandpower", "bands_hz": BANDS_HZ}
        self.spec = FeatureSpec(
            encoder="bandpower",
            weights_sha256="",
            features="latents",
            dtype="float16",
            sample_rate_hz=rate_hz,
            window_s=4,
            stride_s=settings.stride,
            hop=rate_hz,
            frames=4,
            dims=len(BANDS_HZ) + 1,
            channels=CHANNELS,
            resampling="linear, each window",
            precision="float32",
        )

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(B, C, N)`` microvolts -> ``(B, F, C, D)``: log10 of band powers in uV^2, mean |difference| in uV."""
        rate_hz = self.spec.sample_rate_hz
        seconds = windows_uv.reshape(*windows_uv.shape[:2], -1, rate_hz)  # (B, C, F, rate)
        taper = np.hanning(rate_hz).astype(np.float32)
        centred = seconds - seconds.mean(-1, keepdims=True)
        power = np.abs(np.fft.rfft(centred * taper)) ** 2 * 2 / (rate_hz * np.square(taper).sum())
        bands = [power[..., low:high].sum(-1) for low, high in BANDS_HZ.values()]  # a bin is 1 Hz
        length = np.abs(np.diff(seconds)).mean(-1)
        features = np.stack([*bands, length], -1)
        return np.log10(features + _POWER_FLOOR_UV2).transpose(0, 2, 1, 3).astype(np.float32)


@lru_cache(maxsize=1)
def load_encoder(settings: EncoderSettings) -> Encoder:
    """Make the encoder that the settings name; a process makes it once.

    Raises
    ------
    UserError
        If the checkpoint is not there.
    UserError
        If the checkpoint or the device cannot be used.
    """
    if settings.encoder == "bandpower":
        return BandpowerEncoder(settings)
    if settings.encoder == "random":
        model = BrainCodec(BrainCodecConfig())
        return NetworkEncoder(model, "random", {}, weights_sha256(model), settings)
    path = WEIGHTS if settings.encoder == "braincodec" else Path(settings.encoder)
    if path == WEIGHTS and not path.is_file():
        raise UserError(
            "--encoder braincodec: this version ships no weights; give a checkpoint file, or random or bandpower"
        )
    if not path.is_file():
        raise UserError(f"--encoder {path}: no such file; allowed: braincodec, random, bandpower or a checkpoint")
    checkpoint = load_checkpoint(path)
    name = "braincodec" if path == WEIGHTS else path.name
    return NetworkEncoder(checkpoint.model, name, checkpoint.metadata, checkpoint.sha256, settings)
