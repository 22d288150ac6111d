"""``python -m eval.detect``: find the seizures in one EEG file, streamed, without a store."""

import glob
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from eval.scoring.events import COLUMNS, Detections
from extract.encoders.protocol import EncoderSettings, FeatureExtractor, is_low_passed
from extract.encoders.registry import BRAINDECODE, BUILT_IN, GROUP, load_encoder
from extract.io.montage import from_spec
from extract.io.raw import EegFile, open_signal
from heads.run_folder import Run
from store import FeatureSpec
from store.layout import dequantize, spread_frames
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_output
from store.runtime.plugins import plugin_names
from store.runtime.plurals import count_noun
from store.schema import count_seconds, count_windows, read_beam

if TYPE_CHECKING:
    from heads.models.head import Head

_BLOCK_WINDOWS = 32  # read and encoded at once: 15 MB of signal at 512 Hz


_DESCRIPTION = """Find seizures in an EEG file with the final head of a run.

What matters first: --run, --missing zero if channels are missing, --probabilities of each second."""
_PROBABILITIES_HEADER = "onset\tprobability\n"
_SIGNAL_SUFFIXES = (".edf", ".bdf", ".vhdr", ".vmrk", ".eeg", ".set", ".fdt")


@dataclass(frozen=True)
class DetectCommand:
    """The command line of ``python -m eval.detect``."""

    input: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="INPUT.edf")]
    """EDF or BDF file (BrainVision and EEGLAB are read too) with the electrodes of the run's montage."""
    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUTPUT.tsv")]
    """Events file to write, in the form of SzCORE; replaced if it is there. A missing folder is made."""
    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run folder with a final fold (trained with --fold final) that was scored."""
    missing: Literal["error", "zero"] = "error"
    """A channel that is missing: refuse the file, or take zeros."""
    probabilities: Annotated[Path | None, optional("FILE.tsv")] = None
    """Also write the seizure probability of each second, as a table; replaced if it is there."""
    seed: Annotated[int | None, optional("SEED")] = None
    """Of a run of several seeds, whose head to use; the first if not given."""
    encoder: Annotated[str | None, optional("ENCODER")] = None
    """The run's encoder, if it does not ship: its checkpoint, or package.module:factory."""
    force: bool = False
    """Overwrite an output that is there and was not written by this command."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.detect``."""
    return run_command(
        detect,
        DetectCommand,
        argv,
        module="eval.detect",
        description=_DESCRIPTION,
        examples=["night.edf night_seizures.tsv --run runs/chb-mit"],
    )


def detect(command: DetectCommand) -> None:
    """Write the events of one recording.

    Raises
    ------
    UserError
        If the run has no scored final fold, its encoder is not available, the EEG file cannot be used, or an
        output would overwrite what this command did not write.
    """
    from eval.report.timeline import clock  # here, since they load torch, which --help does not need
    from eval.scoring.fold_choice import POSTPROCESSING, read_choice
    from eval.scoring.results import find_final
    from heads.models.saved import load_head

    _guard_outputs(command)
    fold = find_final(choose_seed(Run.open(command.run), command.seed))
    head, spec, _ = load_head(fold / "head.safetensors")
    post = read_choice(fold / POSTPROCESSING).post
    encoder = matching_encoder(spec, command.encoder, command.device)
    with open_signal(command.input, command.missing, from_spec(spec)) as signal:
        probabilities = predict(signal, encoder, head)
    detections = Detections(post.detect(probabilities, signal.duration_s), signal.duration_s, signal.start)
    write_text(command.output, detections.to_tsv())
    if command.probabilities is not None:
        rows = (f"{second}\t{value:.4f}\n" for second, value in enumerate(probabilities.tolist()))
        write_text(command.probabilities, _PROBABILITIES_HEADER + "".join(rows))
    number = len(detections.events)
    print(f"{to_one_line(command.input)}: {count_noun(number, 'seizure')} in {clock(signal.duration_s)}")
    print(f"Events: {to_one_line(command.output)}")


def choose_seed(run: Run, seed: int | None) -> Run:
    """The run as that seed has it, or its first.

    Raises
    ------
    UserError
        If the run has no such seed.
    """
    if seed is None:
        return run.by_seed[0]
    seeds = run.seeds or (run.config["settings"].get("seed"),)
    if seed not in seeds:
        raise UserError(f"--seed {seed}: {run.path} was trained with {', '.join(map(str, seeds))}")
    return run.of_seed(seed)


def matching_encoder(spec: FeatureSpec, reference: str | None, device: str) -> FeatureExtractor:
    """Load the encoder whose features a head was trained on; ``reference`` names one that is not known by name.

    Raises
    ------
    UserError
        If it is not available, or its features differ.
    """
    is_known = spec.encoder in (*BUILT_IN, *plugin_names(GROUP)) or spec.encoder.startswith(BRAINDECODE)
    if reference is None and not is_known:
        raise UserError(
            f"the run's encoder is {spec.encoder}, which does not ship; give its checkpoint file, or "
            "package.module:factory, by --encoder"
        )
    settings = EncoderSettings(
        encoder=reference or spec.encoder,
        features="codes" if spec.features == "codes" else "latents",
        quantizers=spec.dims if spec.features == "codes" else None,
        beam=read_beam(spec.code_search),
        stride=spec.stride_s,
        precision="bfloat16" if spec.precision == "bfloat16" else "float32",
        device=device,
        weights_sha256=spec.weights_sha256,
        montage=spec.montage,
        resolved=from_spec(spec),
        low_passed=is_low_passed(spec),
    )
    encoder = load_encoder(settings)
    if difference := replace(encoder.spec, encoder=spec.encoder).difference(spec):
        raise UserError(
            f"encoder {settings.encoder} is not the one that the head was trained on: {difference}; "
            "give the right one by --encoder, or train the run again"
        )
    return encoder


def _guard_outputs(command: DetectCommand) -> None:
    """Refuse outputs that are inputs, links to them, or files that this command did not write.

    Raises
    ------
    UserError
        Saying what is there.
    """
    companions = command.input.parent.glob(f"{glob.escape(command.input.stem)}.*")
    signal = [path for path in companions if path.suffix in _SIGNAL_SUFFIXES]
    inputs = [command.input, *signal, command.run, *command.run.glob("folds/*/**/*")]
    inputs += [Path(command.encoder)] if command.encoder is not None else []
    guard_output(command.output, inputs=inputs, is_ours=_is_detections, force=command.force)
    if command.probabilities is not None:
        inputs.append(command.output)
        guard_output(command.probabilities, inputs=inputs, is_ours=_is_probabilities, force=command.force)


def _is_detections(path: Path) -> bool:
    """Whether a file holds detections of this command: not annotations, which have the same columns."""
    try:
        text = path.read_text()
        detections = Detections.from_tsv(text, path.name)
    except (OSError, ValueError):
        return False
    if not text.startswith("\t".join(COLUMNS)) or any(np.isnan(event.confidence) for event in detections.events):
        return False
    signal_pattern = f"{glob.escape(path.name.removesuffix('_events.tsv'))}_eeg.*"
    is_annotation = path.name.endswith("_events.tsv") and any(path.parent.glob(signal_pattern))
    return len(detections.events) > 0 or not is_annotation


def _is_probabilities(path: Path) -> bool:
    try:
        with path.open() as file:
            return file.readline() == _PROBABILITIES_HEADER
    except (OSError, ValueError):
        return False


def predict(signal: EegFile, encoder: FeatureExtractor, head: "Head") -> NDArray[np.float32]:
    """Seizure probability of each second, ``(T,)``; a few windows of the signal are in memory at a time."""
    import torch

    from heads.inference import merge_predictions

    spec, seconds = encoder.spec, count_seconds(signal.duration_s)
    windows, parts = count_windows(seconds, spec.window_s, spec.stride_s), []
    with torch.inference_mode(), tqdm(total=windows, unit=" windows", disable=None) as bar:
        for block_uv in signal.windows(spec, _BLOCK_WINDOWS):
            stored = as_stored(encoder.encode(block_uv), encoder)
            features = torch.from_numpy(spread_frames(stored, spec.window_s))
            if head.leaves_out_missing and not spec.inputs:
                features[:, :, [not present for present in signal.channel_mask]] = torch.nan
            logits = head(head.fill_missing(features) if head.leaves_out_missing else features)
            parts.append((logits.sigmoid() if head.context_s == 1 else logits).numpy())
            bar.update(len(block_uv))
    return merge_predictions(head, np.concatenate(parts), seconds, spec.stride_s)


def as_stored(features: NDArray[Any], encoder: FeatureExtractor) -> NDArray[np.float32]:
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
