"""BrainCodec as an encoder: the shipped weights, a checkpoint file, or the untrained network."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extract.braincodec import avx512
from extract.braincodec.checkpoint import load_checkpoint, weights_sha256
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.protocol import EncoderSettings
from extract.encoders.shipped import FAMILY, shipped_path
from store import FeatureSpec
from store.runtime.device import choose_device, choose_precision
from store.runtime.errors import UserError
from store.schema import name_code_search

_GPU_WINDOWS = 128  # encoded at once


class BrainCodecEncoder:
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
        self.batch_invariant = self.device.type == "cpu"  # where each window is computed by itself
        self.model = model.eval().requires_grad_(False).to(self.device)
        precision = choose_precision(settings.precision, self.device.type)
        self.to_latents: Callable[[Tensor], Tensor] = self.model.encode
        if self.device.type == "cpu" and avx512.can_run(precision):
            self.to_latents = avx512.Avx512Encoder(model.encoder, config.samples, precision == "bfloat16")
        elif precision == "bfloat16":
            self.model.encoder.bfloat16()
        self.provenance = {"name": name, "sha256": sha256, **metadata}
        codes = settings.features == "codes"
        if codes and settings.beam is not None:
            self.model.quantizer.beam = replace(config, beam=settings.beam).beam
        self._stages = config.count_quantizers(settings.quantizers) if codes else None
        self.codebooks = _codebooks(model, name)[: self._stages] if codes else None
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
            dims=self._stages or config.dimension,
            channels=settings.channels,
            resampling="linear, each window",
            precision=precision,
            code_search=name_code_search(self.model.quantizer.beam if codes else 1),
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
        stages = self._stages  # None for latents
        rows = latents.transpose(1, 2) if stages is None else self.model.quantize(latents, stages)  # (B*C, F, ...)
        features: NDArray[Any] = rows.view(*windows_uv.shape[:2], *rows.shape[1:]).transpose(1, 2).cpu().numpy()
        return features


def in_threads(encode_part: Callable[[int, int], object], count: int) -> None:
    """Call ``encode_part(start, stop)`` for each of ``count`` windows, on as many threads as torch may use.

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
                    "one window does not fit into the device's memory; free some memory, or use device cpu"
                ) from error
            batch //= 2
        else:
            start += batch


def _codebooks(model: BrainCodec, name: str) -> NDArray[np.float32]:
    """Vectors of the quantizer, ``(Q, K, D)``."""
    if not all(book.trained for book in model.quantizer.codebooks):
        raise UserError(f"features codes: the quantizer of {name} was never trained; use features latents")
    if (size := model.config.codebook_size) > 256:
        raise UserError(f"features codes: {size} codes of {name} do not fit a byte; use features latents")
    return np.stack([book.vectors.cpu().numpy() for book in model.quantizer.codebooks])


def shipped(settings: EncoderSettings) -> BrainCodecEncoder:
    """Make the encoder with weights that ship; see `shipped_path`.

    Raises
    ------
    UserError
        If they are not there.
    """
    path = shipped_path(settings.encoder, settings.weights_sha256)
    if not path.is_file():
        raise UserError(
            f"encoder {settings.encoder}: {path.name} was not installed; give a checkpoint file, or random or "
            "bandpower"
        )
    return _from_checkpoint(path, FAMILY, settings)


def untrained(settings: EncoderSettings) -> BrainCodecEncoder:
    """Make the encoder with seeded random weights: a control that any claim for trained weights needs."""
    model = BrainCodec(BrainCodecConfig())
    return BrainCodecEncoder(model, "random", {}, weights_sha256(model), settings)


def from_file(settings: EncoderSettings) -> BrainCodecEncoder:
    """Make the encoder of a checkpoint file, which the settings name."""
    path = Path(settings.encoder)
    return _from_checkpoint(path, path.name, settings)


def _from_checkpoint(path: Path, name: str, settings: EncoderSettings) -> BrainCodecEncoder:
    checkpoint = load_checkpoint(path)
    return BrainCodecEncoder(checkpoint.model, name, checkpoint.metadata, checkpoint.sha256, settings)
