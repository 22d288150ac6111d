"""``python -m eval.export``: export the encoder and the final head of a run as one ONNX file."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.export"))

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import tyro

from eval.detection.detector import choose_seed, matching_encoder
from eval.detection.outputs import PRODUCER, detector_files
from eval.scoring.changed_heads import warn_of_changed_heads
from eval.scoring.choice import POSTPROCESSING, read_choice
from eval.scoring.tested import find_final
from heads.run_folder import Run
from store.runtime.atomic import write_bytes
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_output
from store.runtime.plurals import count_noun

TOLERANCE = 1e-4  # of a probability
_DESCRIPTION = """Export the encoder and the final head of a run as one ONNX file: EEG windows to probabilities.

Start with: RUN and OUTPUT.onnx, --check to compare on EEG files.

Before the file is written, it is run with onnxruntime and compared with this package."""


@dataclass(frozen=True)
class ExportCommand:
    """The command line of ``python -m eval.export``."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Scored run folder with a final head (trained with --fold final)."""
    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUTPUT.onnx")]
    """File to write, replaced if it is from this command. Missing folders are created."""
    to: Literal["onnx"] = "onnx"
    """Format of the file."""
    check: Annotated[tuple[Path, ...], optional("EEG ...")] = ()
    """EEG files on which the ONNX file is compared with this package. (default: windows of noise)"""
    seed: Annotated[int | None, optional("SEED")] = None
    """In a run with several seeds, the seed of the head to export. (default: the first)"""
    encoder: Annotated[str | None, optional("ENCODER")] = None
    """The run's encoder, if it does not ship: its checkpoint."""
    head: Annotated[str | None, optional("HEAD")] = None
    """The run's head, if it does not ship: package.module:Name."""
    force: bool = False
    """Overwrite a file that this command did not write."""


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
    from eval.detection import onnx_file  # here, since they load torch
    from heads.models.saved import load_head

    inputs = [*detector_files(command.run, command.encoder), *command.check]
    guard_output(command.output, inputs=inputs, endings=[".onnx"], is_ours=_is_ours, force=command.force)
    fold = find_final(choose_seed(Run.open(command.run), command.seed))
    head, spec, _ = load_head(fold / "head.safetensors", [command.head])
    warn_of_changed_heads(command.run, [command.head])
    post = read_choice(fold / POSTPROCESSING).post
    _require_packages()
    exact = replace(spec, precision="float32")
    encoder = matching_encoder(exact, command.encoder, "cpu")
    detector = onnx_file.make_detector(encoder, head, spec)
    metadata = {
        "spec": spec.to_json(),
        "postprocessing": json.dumps(post.__dict__, sort_keys=True),
        "encoder": json.dumps(encoder.provenance, sort_keys=True),
        "input": f"eeg_uv (windows, {len(spec.channels)}, {spec.window_s * spec.sample_rate_hz}) float32: "
        f"{spec.unit} at {spec.sample_rate_hz} Hz, channels {', '.join(spec.channels)}, nan if missing; "
        "windows follow one another in a recording",
        "output": f"probability (windows, {spec.window_s}) float32: of a seizure in each second of a window",
        "context_s": str(head.context_s),
        "use": "research only, not a medical device",
    }
    content = onnx_file.to_onnx(detector, spec, metadata)
    windows = onnx_file.check_windows(command.check, spec)
    as_trained = [matching_encoder(spec, command.encoder, "cpu")] if spec.precision != "float32" else []
    count, (apart, *differences) = onnx_file.compare(content, [encoder, *as_trained], head, windows)
    if apart > TOLERANCE:
        raise UserError(
            f"{command.output}: not written, its probabilities differ by up to {apart:.2g} from this package's "
            f"(allowed: {TOLERANCE:g})"
        )
    write_bytes(command.output, content)
    checked = count_noun(count, "window")
    print(f"{to_one_line(command.output)}: {len(content) / 1e6:.1f} MB")
    print(f"Its probabilities differ from this package's by at most {apart:.1g} on {checked}.")
    for difference in differences:
        print(f"From those in {spec.precision}, as the run was trained, they differ by at most {difference:.2g}.")


def _require_packages() -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise UserError(f"export needs {name}; pip install --editable '.[onnx]' in the project's folder")


def _is_ours(path: Path) -> bool:
    return PRODUCER.encode() in path.read_bytes()
