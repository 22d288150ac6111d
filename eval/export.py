"""``python -m eval.export``: the encoder and the final head of a run as one ONNX file."""

import copy
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from eval.detection.detector import as_stored, choose_seed, matching_encoder
from eval.scoring.fold_choice import POSTPROCESSING, read_choice
from eval.scoring.results import find_final
from extract.encoders.protocol import FeatureExtractor
from extract.io.montage import from_spec
from extract.io.raw import open_signal
from heads.models.head import Head
from heads.models.saved import load_head
from heads.run_folder import Run
from store import FeatureSpec
from store.runtime.atomic import write_bytes
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_output
from store.runtime.plurals import count_noun

TOLERANCE = 1e-4  # of a probability
_PRODUCER = "braincodec-seizure"
_DESCRIPTION = """Write the encoder and the final head of a run as one ONNX file: windows of EEG to probabilities.

What matters first: RUN and OUTPUT.onnx, --check to compare on EEG files.

The file is run by onnxruntime and compared with this package before it is written."""


@dataclass(frozen=True)
class ExportCommand:
    """The command line of ``python -m eval.export``."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder with a final fold (trained with --fold final) that was scored."""
    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUTPUT.onnx")]
    """File to write, replaced if it is there. A missing folder is made."""
    to: Literal["onnx"] = "onnx"
    """Format of the file."""
    check: Annotated[tuple[Path, ...], optional("EEG ...")] = ()
    """EEG files on which the ONNX file is compared with this package; windows of noise by default."""
    seed: Annotated[int | None, optional("SEED")] = None
    """Of a run of several seeds, whose head to export; the first if not given."""
    encoder: Annotated[str | None, optional("ENCODER")] = None
    """The run's encoder, if it does not ship: its checkpoint."""
    force: bool = False
    """Overwrite a file that is there and was not written by this command."""


class Detector(nn.Module):
    """Windows of EEG to seizure probabilities of their seconds, ``(B, C, N)`` microvolts -> ``(B, S)``.

    A channel that a window lacks is nan.

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
        probabilities: Tensor = _classify(self.head, features, missing.any(-1)).sigmoid()
        return probabilities

    def _through_codes(self, latents: Tensor) -> Tensor:
        """What the codes of latents stand for, ``(N, D, F)``: at each stage the vector nearest to what is left."""
        rows = latents.transpose(1, 2)
        left = rows
        for book in list(self.model.quantizer.codebooks)[: self.quantizers]:
            left = left - book.vectors[book.nearest(left.flatten(0, 1))].view_as(left)
        return (rows - left).transpose(1, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.export``."""
    return run_command(
        export,
        ExportCommand,
        argv,
        module="eval.export",
        description=_DESCRIPTION,
        examples=["runs/chb-mit detector.onnx --check recording.edf"],
    )


def export(command: ExportCommand) -> None:
    """Write the detector of a run as ONNX.

    Raises
    ------
    UserError
        If the run has no scored final fold, its encoder or head cannot be exported, onnx or onnxruntime is not
        installed, the file differs from this package by more than `TOLERANCE`, or would overwrite another's.
    """
    inputs = [command.run, *command.run.glob("folds/final/*"), *command.check]
    guard_output(command.output, inputs=inputs, is_ours=_is_ours, force=command.force)
    fold = find_final(choose_seed(Run.open(command.run), command.seed))
    head, spec, _ = load_head(fold / "head.safetensors")
    post = read_choice(fold / POSTPROCESSING).post
    _require_packages()
    exact = replace(spec, precision="float32")
    encoder = matching_encoder(exact, command.encoder, "cpu")
    detector = make_detector(encoder, head, spec)
    metadata = {
        "spec": spec.to_json(),
        "postprocessing": json.dumps(post.__dict__, sort_keys=True),
        "encoder": json.dumps(encoder.provenance, sort_keys=True),
        "input": f"eeg_uv (windows, {len(spec.channels)}, {spec.window_s * spec.sample_rate_hz}) float32: "
        f"{spec.unit} at {spec.sample_rate_hz} Hz, channels {', '.join(spec.channels)}, nan if missing",
        "output": f"probability (windows, {spec.window_s}) float32: of a seizure in each second of a window",
        "use": "research only, not a medical device",
    }
    content = to_onnx(detector, spec, metadata)
    own = [matching_encoder(spec, command.encoder, "cpu")] if spec.precision != "float32" else []
    count, (apart, *of_own) = compare(content, [encoder, *own], head, _windows(command.check, spec))
    if apart > TOLERANCE:
        raise UserError(
            f"{command.output}: not written, its probabilities differ by up to {apart:.2g} from this package's "
            f"(allowed: {TOLERANCE:g})"
        )
    write_bytes(command.output, content)
    checked = count_noun(count, "window")
    print(f"{to_one_line(command.output)}: {len(content) / 1e6:.1f} MB, equal to {apart:.1g} on {checked}")
    for difference in of_own:
        print(f"the run is of {spec.precision}, from which it differs by {difference:.2g}")


def make_detector(encoder: FeatureExtractor, head: Head, spec: FeatureSpec) -> Detector:
    """The encoder's network and the head as one module.

    Raises
    ------
    UserError
        If the encoder is not a BrainCodec, its codes are searched by a beam, or the head looks beyond its window.
    """
    model = getattr(encoder, "model", None)
    if not isinstance(model, nn.Module) or not hasattr(model, "quantize"):
        raise UserError(f"encoder {spec.encoder}: cannot be exported; allowed: BrainCodec networks")
    if spec.code_search != "greedy":
        raise UserError(f"codes of {spec.encoder} are searched by a beam, which cannot be exported; use latents")
    if head.context_s > 1:
        raise UserError(
            "the run's head looks beyond its window; allowed: heads such as linear, and spatial-fusion with "
            "another --pooling than max-std-electrodes"
        )
    own = copy.deepcopy(model).float()
    return Detector(own, head.eval(), quantizers=spec.dims if spec.features == "codes" else 0).eval()


def to_onnx(detector: Detector, spec: FeatureSpec, metadata: dict[str, str]) -> bytes:
    """The detector as the content of an ONNX file, for any number of windows."""
    shape = (len(spec.channels), spec.window_s * spec.sample_rate_hz)
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
    model.producer_name = _PRODUCER
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)
    content: bytes = model.SerializeToString()
    return content


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
    return _classify(head, features, torch.from_numpy(missing.any(-1))).sigmoid().numpy()


def _classify(head: Head, features: Tensor, missing: Tensor) -> Tensor:
    """Logits ``(B, S)`` of features ``(B, F, C, D)``; missing channels ``(B, C)`` are left out."""
    if head.leaves_out_missing:
        features = head.fill_missing(features.masked_fill(missing[:, None, :, None], torch.nan))
    logits: Tensor = head(features)
    return logits


def _windows(paths: Sequence[Path], spec: FeatureSpec) -> Iterator[NDArray[np.float32]]:
    """Windows of EEG files, else of noise, of which one lacks a channel."""
    if not paths:
        shape = (8, len(spec.channels), spec.window_s * spec.sample_rate_hz)
        noise = np.random.default_rng(0).normal(0, 30, shape).astype(np.float32)
        noise[-1, 0] = np.nan
        yield noise
    for path in paths:
        with open_signal(path, "zero", from_spec(spec)) as signal:
            missing = [not present for present in signal.channel_mask]
            for windows_uv in signal.windows(spec, 8):
                marked_uv = windows_uv.copy()
                marked_uv[:, missing] = np.nan
                yield marked_uv


def _require_packages() -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise UserError(f"export needs {name}; pip install --editable '.[onnx]' in the project's folder")


def _is_ours(path: Path) -> bool:
    return _PRODUCER.encode() in path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
