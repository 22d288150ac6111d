"""Output files of detectors, and checks that protect other files."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.scoring.events import HEADER, Detections
from store.runtime.outputs import guard_output

PRODUCER = "braincodec-seizure"  # of an ONNX file
PROBABILITIES_HEADER = "onset\tprobability\n"
_TABLES = (".tsv",)
_SIGNAL_SUFFIXES = (".edf", ".bdf", ".vhdr", ".vmrk", ".eeg", ".set", ".fdt")


def signal_files(eeg: Path) -> list[Path]:
    """An EEG file and those beside it that may hold its signal."""
    companions = eeg.parent.glob(f"{glob.escape(eeg.stem)}.*")
    return [eeg, *(path for path in companions if path.suffix in _SIGNAL_SUFFIXES)]


def detector_files(run: Path, encoder: str | None) -> list[Path]:
    """What a detector is read from: the run, whose heads lie in folders of folds and seeds, and an own encoder."""
    checkpoint = [Path(encoder)] if encoder is not None else []
    return [run, run / "config.json", *run.glob("folds/*/**/*"), *checkpoint]


def guard_outputs(events: Path | None, probabilities: Path | None, inputs: Sequence[Path], force: bool) -> None:
    """Refuse outputs that are inputs, links to them, or files that a detector did not write.

    Raises
    ------
    UserError
        Saying what is there.
    """
    if events is not None:
        guard_output(events, inputs=inputs, endings=_TABLES, is_ours=_is_detections, force=force)
    if probabilities is not None:
        others = [events] if events is not None else []
        guard_output(
            probabilities,
            inputs=inputs,
            outputs=others,
            endings=_TABLES,
            is_ours=_is_probabilities,
            force=force,
        )


def _is_detections(path: Path) -> bool:
    """Whether a file holds detections: not annotations, which have the same columns."""
    try:
        text = path.read_text()
        detections = Detections.from_tsv(text, path.name)
    except (OSError, ValueError):
        return False
    if not text.startswith(HEADER) or any(np.isnan(event.confidence) for event in detections.events):
        return False
    signal_pattern = f"{glob.escape(path.name.removesuffix('_events.tsv'))}_eeg.*"
    is_annotation = path.name.endswith("_events.tsv") and any(path.parent.glob(signal_pattern))
    return len(detections.events) > 0 or not is_annotation


def _is_probabilities(path: Path) -> bool:
    try:
        with path.open() as file:
            return file.readline() == PROBABILITIES_HEADER
    except (OSError, ValueError):
        return False
