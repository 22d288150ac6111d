"""Stopped trainings whose files change: the same command refuses in one line, or ends as it would have."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hypothesis import strategies as st

from heads.probe import main as probe
from heads.sweep import main as sweep
from heads.train import main as train
from tests.fuzz import base
from tests.fuzz.base import SMALL_HEAD, may_probe, run_eval
from tests.fuzz.checkpoints import Calls
from tests.fuzz.edits import JSON_VALUES, FileEdit, JsonEdit, file_edits, fractions, json_edits
from tests.fuzz.sandbox import Finding, Outcome, run

Main = Callable[[Sequence[str]], int]
COMMANDS: dict[str, tuple[Main, str, tuple[str, ...]]] = {
    "train": (train, "heads.train", ("--fold", "all", *SMALL_HEAD, "--epochs", "3")),
    "sweep": (sweep, "heads.sweep", (*SMALL_HEAD, "--epochs", "3", "--lr", "0.001", "0.01")),
    "probe": (probe, "heads.probe", ()),
}
PATTERNS = {
    "train": ["training-*.pt", "*.json"],
    "sweep": ["cells/*.pt", "cells/*"],
    "probe": ["statistics/*.npy"],
}
KEYS = ("parameters", "exp_avg", "exp_avg_sq", "best_state", "best_epoch", "best_score", "running", "history")
KEYS += ("errors", "epoch", "step")
TENSORS = ("nan", "huge", "shape", "double", "int", "empty", "sparse", "complex", "gone", "number")


@dataclass(frozen=True)
class TrainingEdit:
    """A file of an unfinished training changes."""

    pattern: int
    at: float
    file: FileEdit | None = None
    json: JsonEdit | None = None
    key: str = ""  # of a state
    tensor: str = ""
    value: int = 0  # of JSON_VALUES, for what is no tensor

    def apply(self, folders: Sequence[Path], patterns: Sequence[str]) -> None:
        """Edit a file, if it is there and of that kind."""
        pattern = patterns[self.pattern % len(patterns)]
        paths = sorted(path for folder in folders for path in folder.glob(pattern) if path.is_file())
        if not paths:
            return
        path = paths[int(self.at * len(paths))]
        if self.file:
            self.file.apply(path)
        elif path.suffix == ".pt" and self.key:
            with contextlib.suppress(Exception):  # edited before
                _edit_state(path, self)
        elif path.suffix == ".json" and self.json:
            with contextlib.suppress(ValueError):  # edited before
                path.write_bytes(self.json.apply(path.read_text()))
        elif path.suffix == ".npy":
            with contextlib.suppress(ValueError):  # edited before
                values = np.load(path)
                np.save(path, values[:-1] if self.value % 2 else values.astype(np.float64))


@dataclass(frozen=True)
class TrainingCase:
    """Edits of what a stopped command left."""

    command: str
    edits: tuple[TrainingEdit, ...]


@st.composite
def cases(draw: st.DrawFn) -> TrainingCase:
    """None, one or two edits."""
    value = st.integers(0, len(JSON_VALUES) - 1)
    state = st.builds(
        TrainingEdit,
        st.just(0),
        fractions,
        key=st.sampled_from((*KEYS, "pickle")),
        tensor=st.sampled_from(TENSORS),
        value=value,
    )
    edit = (
        state
        | state
        | st.builds(TrainingEdit, st.integers(0, 1), fractions, file_edits)
        | st.builds(TrainingEdit, st.just(1), fractions, json=json_edits, value=value)
    )
    command = draw(st.sampled_from(["train", "train", "sweep", "sweep", "probe"]))
    least = draw(st.sampled_from([0, 1, 1, 1, 1, 1]))
    return TrainingCase(command, tuple(draw(st.lists(edit, min_size=least, max_size=2))))


def check(case: TrainingCase, box: Path) -> None:
    """Give the same command again."""
    shutil.copytree(stopped(case.command), box, dirs_exist_ok=True)
    for edit in case.edits:
        edit.apply([box / "run", box / "store"], PATTERNS[case.command])
    outcome = _again(case.command, box)
    if outcome.status != 0:
        if not case.edits:
            raise Finding(f"{case.command}: does not go on", outcome.text)
        return
    scored = run_eval(box, "--no-report", "--store", box / "store")
    if scored.status != 0:
        raise Finding("eval: refuses a run just trained", outcome.text + scored.text)
    persons = json.loads((box / "run" / "metrics.json").read_text())["persons"]
    if sorted(persons) != ["01", "02", "03"]:
        raise Finding("eval: persons are missing in the scores", f"{sorted(persons)}\n{outcome.text}")
    for path in (box / "run").rglob("*_probabilities.npy"):
        values = np.load(path)
        if not ((values >= 0) & (values <= 1)).all():
            raise Finding(f"{case.command}: predicts what is no probability", f"{path}\n{outcome.text}")
    if not case.edits and predictions(box) != whole(case.command):
        raise Finding(f"{case.command}: goes on to another end than without the stop", outcome.text)


def _again(command: str, box: Path) -> Outcome:
    main, prog, arguments = COMMANDS[command]
    both = ["--store", box / "store", "--out", box / "run", *arguments]
    return run(main, prog, both, box, may_probe)


def predictions(box: Path) -> dict[str, bytes]:
    """Probabilities of all recordings by name."""
    return {path.name: path.read_bytes() for path in (box / "run").rglob("*_probabilities.npy")}


@cache
def whole(command: str) -> dict[str, bytes]:
    """What the command predicts when nothing stops it."""
    box = base.new_folder(f"whole-{command}")
    shutil.copytree(base.finished_run() / "store", box / "store")
    outcome = _again(command, box)
    assert outcome.status == 0, outcome.text
    return predictions(box)


@cache
def stopped(command: str) -> Path:
    """A box with a store, and a run that was stopped after an epoch, or after a fold."""
    box = base.new_folder(f"stopped-{command}")
    shutil.copytree(base.finished_run() / "store", box / "store")
    import heads.training.checkpoint as checkpoint

    def save(path: Path, state: Any) -> None:
        checkpoint.save_checkpoint(path, state)
        raise KeyboardInterrupt

    main, _, arguments = COMMANDS[command]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.ExitStack() as stack:
        if command == "probe":
            stack.enter_context(patch("heads.training.finish.write_fold", side_effect=KeyboardInterrupt))
        else:
            stack.enter_context(patch("heads.training.stacked.save_checkpoint", save))
            stack.enter_context(patch("heads.training.stacked._SAVE_EVERY_S", 0.0))
        status = main(["--store", str(box / "store"), "--out", str(box / "run"), *arguments])
    assert status == 130, out.getvalue()
    return box


def _edit_state(path: Path, edit: TrainingEdit) -> None:
    """Change one entry of a training's state."""
    state = torch.load(path, weights_only=True)
    if edit.key == "pickle":
        state["epoch"] = Calls(path.parent / "pwned")
        torch.save(state, path)
        return
    value = state[edit.key]
    if isinstance(value, torch.Tensor):
        state[edit.key] = _edit_tensor(value, edit.tensor)
    elif isinstance(value, list) and value and edit.value % 3:
        value[int(edit.at * 997) % len(value)] = JSON_VALUES[edit.value]
    else:
        state[edit.key] = JSON_VALUES[edit.value]
    if edit.tensor == "gone":
        del state[edit.key]
    torch.save(state, path)


def _edit_tensor(tensor: torch.Tensor, edit: str) -> Any:
    match edit:
        case "nan":
            return torch.full_like(tensor, torch.nan)
        case "huge":
            return torch.full_like(tensor, 3e38)
        case "shape":
            return tensor.flatten()
        case "double":
            return tensor.double()
        case "int":
            return tensor.int()
        case "empty":
            return tensor[:0]
        case "sparse":
            return tensor.to_sparse()
        case "complex":
            return tensor.to(torch.complex64)
    return 1.0
