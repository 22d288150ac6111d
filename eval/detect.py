"""``python -m eval.detect``: one EEG file in, its seizures out. The whole way, streamed, without a store."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from eval.report.timeline import clock
from eval.scoring.events import Detections
from eval.scoring.postprocess import PostProcessing
from eval.scoring.results import POSTPROCESSING
from extract.encoders.protocol import EncoderSettings, FeatureExtractor, is_low_passed
from extract.encoders.registry import load_encoder
from extract.io.raw import EegFile, open_signal
from heads.dataset import merge_windows
from heads.models.head import Head
from heads.models.saved import load_head
from heads.run_folder import Run
from store import FeatureSpec
from store.layout import dequantize
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.errors import UserError
from store.schema import count_seconds, count_windows

_BLOCK_WINDOWS = 32  # read and encoded at once: 15 MB of signal at 512 Hz


@dataclass(frozen=True)
class DetectCommand:
    """Find seizures in an EEG file with the final head of a run."""

    input: tyro.conf.Positional[Path]
    """EDF or BDF file (BrainVision and EEGLAB are read too) with the electrodes of the 18 bipolar channels."""
    output: tyro.conf.Positional[Path]
    """Events file to write, in the form of SzCORE."""
    run: Path
    """Run folder with a final fold, scored: python -m heads.train --fold final, then python -m eval."""
    probabilities: Path | None = None
    """Also write the seizure probability of each second, as a table."""
    encoder: Path | None = None
    """Checkpoint of the run's encoder, if it was trained with one that does not ship."""
    missing: Literal["error", "zero"] = "error"
    """A channel that is missing: refuse the file, or take zeros."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.detect``."""
    description = DetectCommand.__doc__ or ""
    return run_command(detect, DetectCommand, argv, prog="python -m eval.detect", description=description)


def detect(command: DetectCommand) -> None:
    """Write the events of one recording.

    Raises
    ------
    UserError
        If the run has no scored final fold, its encoder is not at hand, or the EEG file cannot be used.
    """
    for output in (command.output, command.probabilities):
        if output is not None and output.is_dir():
            raise UserError(f"{output}: is a folder; name the file to write")
    fold = Run.open(command.run).fold_path("final")
    head, spec, _ = load_head(fold / "head.safetensors")
    post = read_postprocessing(fold / POSTPROCESSING)
    encoder = matching_encoder(spec, command.encoder, command.device)
    with open_signal(command.input, command.missing) as signal:
        probabilities = predict(signal, encoder, head)
    detections = Detections(post.detect(probabilities, signal.duration_s), signal.duration_s, signal.start)
    write_text(command.output, detections.to_tsv())
    if command.probabilities is not None:
        rows = (f"{second}\t{value:.4f}\n" for second, value in enumerate(probabilities.tolist()))
        write_text(command.probabilities, "onset\tprobability\n" + "".join(rows))
    number = len(detections.events)
    print(f"{command.input}: {number} seizure{'s' * (number != 1)} in {clock(signal.duration_s)}")
    print(f"Events: {command.output}")


def read_postprocessing(path: Path) -> PostProcessing:
    """Post-processing of a fold.

    Raises
    ------
    UserError
        If it was not chosen yet.
    UserError
        If the file is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: post-processing is not chosen yet; python -m eval {path.parents[2]} does it")
    try:
        return PostProcessing.from_json(json.loads(path.read_bytes()))
    except ValueError as error:
        raise UserError(f"{path}: not readable ({error}); run python -m eval {path.parents[2]} again") from error


def matching_encoder(spec: FeatureSpec, checkpoint: Path | None, device: str) -> FeatureExtractor:
    """Load the encoder whose features a head was trained on.

    Raises
    ------
    UserError
        If it is not at hand, or is another one.
    """
    if checkpoint is None and spec.encoder not in ("braincodec", "random", "bandpower"):
        raise UserError(f"the run's encoder is the checkpoint {spec.encoder}; give that file by --encoder")
    settings = EncoderSettings(
        encoder=str(checkpoint or spec.encoder),
        features="codes" if spec.features == "codes" else "latents",
        stride=spec.stride_s,
        precision="bfloat16" if spec.precision == "bfloat16" else "float32",
        device=device,
        low_passed=is_low_passed(spec),
    )
    encoder = load_encoder(settings)
    if difference := replace(encoder.spec, encoder=spec.encoder).difference(spec):
        raise UserError(
            f"encoder {settings.encoder} is not the one that the head was trained on: {difference}; "
            "give the right checkpoint by --encoder, or train the run again"
        )
    return encoder


@torch.inference_mode()
def predict(signal: EegFile, encoder: FeatureExtractor, head: Head) -> NDArray[np.float32]:
    """Seizure probability of each second, ``(T,)``; a few windows of the signal are in memory at a time."""
    spec, seconds = encoder.spec, count_seconds(signal.duration_s)
    windows, parts = count_windows(seconds, spec.window_s, spec.stride_s), []
    with tqdm(total=windows, unit=" windows", disable=None) as bar:
        for block_uv in signal.windows(spec, _BLOCK_WINDOWS):
            features = torch.from_numpy(_as_stored(encoder.encode(block_uv), encoder))
            parts.append(head(features).sigmoid().numpy())
            bar.update(len(block_uv))
    return merge_windows(np.concatenate(parts), seconds, spec.stride_s)


def _as_stored(features: NDArray[Any], encoder: FeatureExtractor) -> NDArray[np.float32]:
    """Features as a store gives them back, ``(B, F, C, D)`` float32: rounded to its type, codes looked up."""
    if encoder.codebooks is not None:
        return dequantize(features, encoder.codebooks)
    with np.errstate(over="ignore"):
        stored = features.astype(encoder.spec.dtype)
    if not np.isfinite(stored).all():
        raise UserError(f"a feature is not finite as {encoder.spec.dtype}; check the units of the EEG file")
    return stored.astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
