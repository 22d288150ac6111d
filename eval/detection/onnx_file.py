"""Export a detector as an ONNX file, and compare the two on the same windows."""

import copy
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from eval.detection.detector import as_stored
from eval.detection.outputs import PRODUCER
from extract.encoders.protocol import FeatureExtractor
from extract.io.montage import from_spec
from extract.io.recorded_channels import open_recording
from heads.inference import centred_mean
from heads.models.head import Head
from store import FeatureSpec
from store.runtime.errors import UserError


class DetectorModule(nn.Module):
    """Windows of EEG to seizure probabilities of their seconds, ``(B, C, N)`` microvolts -> ``(B, S)``.

    A channel that a window lacks is nan. Windows follow one another in a recording: a head with context averages
    logits over the seconds of its neighbours too.

    Parameters
    ----------
    model
        A BrainCodec.
    head : Head
    quantizers
        That the head's codes are of, the first ones; 0 for latents.
    """

    def __init__(self, model: Any, head: Head, quantizers: int) -> None:
        super().__init__()
        self.model, self.head, self.quantizers = model, head, quantizers

    def forward(self, eeg_uv: Tensor) -> Tensor:
        """Encode each channel, round as a store does, classify."""
        missing = eeg_uv.isnan()
        present_uv = torch.where(missing, 0.0, eeg_uv)
        latents = self.model.encode(present_uv.flatten(0, 1).unsqueeze(1))  # (B * C, D, F)
        latents = self._through_codes(latents) if self.quantizers else latents.half().float()
        features = latents.view(*eeg_uv.shape[:2], *latents.shape[1:]).permute(0, 3, 1, 2)
        logits = _classify(self.head, features, missing.any(-1))
        if (width := self.head.context_s) > 1:
            in_line = logits.view(1, 1, -1)
            averaged = F.avg_pool1d(in_line, width, stride=1, padding=width // 2, count_include_pad=False)
            logits = averaged.view(-1, self.head.seconds)
        return logits.sigmoid()

    def _through_codes(self, latents: Tensor) -> Tensor:
        """What the codes of latents stand for, ``(N, D, F)``: at each stage the vector nearest to what is left."""
        rows = latents.transpose(1, 2)
        left = rows
        for book in list(self.model.quantizer.codebooks)[: self.quantizers]:
            left = left - book.vectors[book.nearest(left.flatten(0, 1))].view_as(left)
        return (rows - left).transpose(1, 2)


def make_detector(encoder: FeatureExtractor, head: Head, spec: FeatureSpec) -> DetectorModule:
    """The encoder's network and the head as one module.

    Raises
    ------
    UserError
        If the encoder is not a BrainCodec, its codes are searched by a beam, or a head with context was trained on
        windows that overlap.
    """
    model = getattr(encoder, "model", None)
    if not isinstance(model, nn.Module) or not hasattr(model, "quantize"):
        raise UserError(f"encoder {spec.encoder}: cannot be exported; allowed: BrainCodec networks")
    if spec.code_search != "greedy":
        raise UserError(f"codes of {spec.encoder} are searched by a beam, which cannot be exported; use latents")
    if head.context_s > 1 and spec.stride_s < spec.window_s:
        raise UserError(
            f"a head with a context of {head.context_s} s cannot be exported with windows that overlap; "
            f"extract with --stride {spec.window_s}, or train with --context-s 1"
        )
    network = copy.deepcopy(model).float()
    return DetectorModule(network, head.eval(), quantizers=spec.dims if spec.features == "codes" else 0).eval()


def to_onnx(detector: DetectorModule, spec: FeatureSpec, metadata: dict[str, str]) -> bytes:
    """The detector as the content of an ONNX file, for any number of windows."""
    shape = (len(spec.channels), spec.window_s * spec.sample_rate_hz)
    with _quiet_exporter():
        program = torch.onnx.export(
            detector,
            (torch.zeros(2, *shape),),
            dynamo=True,
            verbose=False,
            input_names=["eeg_uv"],
            output_names=["probability"],
            dynamic_shapes=({0: torch.export.Dim("windows")},),
        )
    assert program is not None  # with dynamo there is one
    model = program.model_proto
    model.producer_name = PRODUCER
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)
    content: bytes = model.SerializeToString()
    return content


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out what torch's exporter says of operators of torchvision, and of a class that it uses itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*\bLeafSpec\b.*deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def compare(
    content: bytes, encoders: Sequence[FeatureExtractor], head: Head, windows: Iterable[NDArray[np.float32]]
) -> tuple[int, list[float]]:
    """Number of windows, and the largest difference of a probability between an ONNX file and each encoder."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    count, largest = 0, np.zeros(len(encoders))
    with tqdm(unit=" windows", disable=None, leave=False) as bar:
        for block in windows:
            exported = session.run(None, {"eeg_uv": block})[0]
            apart = [np.abs(exported - _predict(block, encoder, head)).max() for encoder in encoders]
            count, largest = count + len(block), np.maximum(largest, apart)
            bar.update(len(block))
    return count, largest.tolist()


@torch.inference_mode()
def _predict(windows_uv: NDArray[np.float32], encoder: FeatureExtractor, head: Head) -> NDArray[np.float32]:
    missing = np.isnan(windows_uv)
    features = torch.from_numpy(as_stored(encoder.encode(np.where(missing, 0, windows_uv)), encoder))
    logits = _classify(head, features, torch.from_numpy(missing.any(-1))).numpy()
    probabilities: NDArray[np.float32] = expit(centred_mean(logits.ravel(), head.context_s)).reshape(logits.shape)
    return probabilities


def _classify(head: Head, features: Tensor, missing: Tensor) -> Tensor:
    """Logits ``(B, S)`` of features ``(B, F, C, D)``; missing channels ``(B, C)`` are left out."""
    if head.leaves_out_missing:
        features = head.fill_missing(features.masked_fill(missing[:, None, :, None], torch.nan))
    logits: Tensor = head(features)
    return logits


def check_windows(paths: Sequence[Path], spec: FeatureSpec) -> Iterator[NDArray[np.float32]]:
    """Windows of EEG files, else of noise, of which one lacks a channel."""
    if not paths:
        shape = (8, len(spec.channels), spec.window_s * spec.sample_rate_hz)
        noise = np.random.default_rng(0).normal(0, 30, shape).astype(np.float32)
        noise[-1, 0] = np.nan
        yield noise
    for path in paths:
        with open_recording(path, "zero", from_spec(spec)) as signal:
            missing = [not present for present in signal.channel_mask]
            for windows_uv in signal.windows(spec, 8):
                marked_uv = windows_uv.copy()
                marked_uv[:, missing] = np.nan
                yield marked_uv
