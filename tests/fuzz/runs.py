"""Run folders: any of their files changes; commands refuse in one line, or score every person of the folds."""

import io
import json
import math
import os
import pickle
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from eval.__main__ import main as evaluate
from eval.detect import main as detect
from tests.fuzz import base
from tests.fuzz.base import ENTRIES, below, run_eval, run_eval_on
from tests.fuzz.checkpoints import Calls
from tests.fuzz.edits import FileEdit, JsonEdit, file_edits, json_edits
from tests.fuzz.sandbox import Finding, Outcome, run

ARRAYS = (
    "nan",
    "two",
    "minus",
    "double",
    "text",
    "shorter",
    "longer",
    "square",
    "empty",
    "pickle",
    "huge",
    "bool",
)
COMMANDS = (*["eval"] * 9, *["detect", "train", "final", "compare", "on"] * 3, "report")
MADE_BY = ("train", "train", "train", "sweep", "probe")


@dataclass(frozen=True)
class RunEdit:
    """A file of a run changes."""

    kind: str  # of file
    at: float  # which of them
    file: FileEdit | None = None
    json: JsonEdit | None = None
    array: str = ""

    def apply(self, run_folder: Path, box: Path) -> None:
        """Edit the file, if it is there as it was."""
        pattern = {"json": "*.json", "head": "head.safetensors", "npy": "*.npy", "npz": "*.npz", "any": "*"}[
            self.kind
        ]
        paths = sorted(p for p in run_folder.rglob(pattern) if p.is_file() and not p.is_symlink())
        if not paths:
            return
        path = paths[int(self.at * len(paths))]
        if self.file:
            self.file.apply(path)
        elif self.json and self.kind == "json":
            with suppress(ValueError):  # edited before
                path.write_bytes(self.json.apply(path.read_text()))
        elif self.json and self.kind == "head":
            with suppress(ValueError):  # not every text of it is JSON
                _edit_head(path, self.json)
        elif self.array:
            with suppress(ValueError, OSError):  # edited before
                _edit_array(path, self.array, box)


@dataclass(frozen=True)
class RunCase:
    """Edits of a finished run, and the command that meets them."""

    edits: tuple[RunEdit, ...]
    command: str
    made_by: str


@st.composite
def cases(draw: st.DrawFn) -> RunCase:
    """One or two edits."""
    at = st.floats(0, 1, exclude_max=True, width=32)
    array = st.sampled_from(ARRAYS)
    edit = (
        st.builds(RunEdit, st.just("json"), at, json=json_edits)
        | st.builds(RunEdit, st.just("json"), at, json=json_edits)
        | st.builds(RunEdit, st.just("head"), at, json=json_edits)
        | st.builds(RunEdit, st.sampled_from(["npy", "npz"]), at, array=array)
        | st.builds(RunEdit, st.sampled_from(["any", "json", "head", "npy", "npz"]), at, file_edits)
    )
    made_by, command = draw(st.sampled_from(MADE_BY)), draw(st.sampled_from(COMMANDS))
    return RunCase(tuple(draw(st.lists(edit, min_size=1, max_size=2))), command, made_by)


def check(case: RunCase, box: Path) -> None:
    """Give the edited run to a command."""
    finished = base.finished_run(case.made_by)
    shutil.copytree(finished / "store", box / "store")
    shutil.copytree(finished / "run", box / "run")
    shutil.copytree(finished / "run", box / "other")
    for edit in case.edits:
        edit.apply(box / "run", box)
    outcome = _command(case, box)
    if case.command in ("eval", "report") and outcome.status == 0:
        _judge_scores(box, outcome)
    if case.command == "on" and outcome.status == 0:
        _judge_persons(box / "scores" / "metrics.json", {"01", "02", "03"}, outcome)
    if case.command in ("train", "final") and outcome.status == 0:
        scored = run_eval(box, "--no-report", "--store", box / "store")
        if scored.status == 0:
            _judge_scores(box, scored)
    if case.command == "detect" and outcome.status == 0:
        _judge_probabilities(box / "out" / "p.tsv", outcome)


def _command(case: RunCase, box: Path) -> Outcome:
    match case.command:
        case "eval":
            return run_eval(box, "--no-report", "--store", box / "store")
        case "report":
            return run_eval(box, "--store", box / "store")
        case "train" | "final":
            fold = () if case.made_by == "sweep" else ("--fold", "all" if case.command == "train" else "final")
            return base.AGAIN[case.made_by](box, *fold)
        case "on":
            (box / "scores").mkdir()
            more = ["--out", box / "scores", "--fold", "all" if case.made_by == "sweep" else "final"]
            return run_eval_on(box, box / "run", *more)
        case "compare":
            arguments = ["compare", box / "other", box / "run", "--out", box / "out"]
            return run(evaluate, "eval compare", arguments, box, below("out"))
    (box / "out").mkdir()
    recording = ENTRIES[0].path(box / "bids")
    recording.parent.mkdir(parents=True)
    recording.write_bytes(base.edf_bytes(ENTRIES[0].seconds, ENTRIES[0].seed))
    more = ["--probabilities", box / "out" / "p.tsv", "--device", "cpu"]
    arguments = [recording, box / "out" / "events.tsv", "--run", box / "run", *more]
    return run(detect, "eval.detect", arguments, box, below("out"))


def _judge_scores(box: Path, outcome: Outcome) -> None:
    """Every person that a fold tests is scored, every score is one."""
    path = box / "run" / "metrics.json"
    tested = set()
    for fold in (box / "run" / "folds").glob("*/fold.json"):
        tested |= set(json.loads(fold.read_bytes())["test"])
    if tested:
        _judge_persons(path, tested, outcome)


def _judge_persons(path: Path, tested: set[str], outcome: Outcome) -> None:
    """The scores are of these persons, and can be."""
    scores = json.loads(path.read_text(), parse_constant=_no_constant)["persons"]
    if set(scores) != tested:
        raise Finding(
            "eval: persons are missing in the scores", f"{sorted(scores)} {sorted(tested)}\n{outcome.text}"
        )
    for person, row in scores.items():
        values = [row["auroc"], row["auprc"], row["brier"], row["event"]["f1"], row["sample"]["f1"]]
        if any(value is not None and not 0 <= value <= 1 for value in values) or row["seconds"] <= 0:
            raise Finding("eval: a score that is none", f"{person}: {row}\n{outcome.text}")


def _judge_probabilities(path: Path, outcome: Outcome) -> None:
    values = [float(line.split("\t")[1]) for line in path.read_text().splitlines()[1:]]
    if len(values) != math.ceil(base.SECONDS) or not all(0 <= value <= 1 for value in values):
        raise Finding("eval.detect: writes what is no probability", f"{values}\n{outcome.text}")


def _no_constant(text: str) -> float:
    raise Finding(f"eval: writes {text} as JSON")


def _edit_head(path: Path, edit: JsonEdit) -> None:
    """Change a head's metadata, a text of which is JSON itself."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    name = sorted(metadata)[int(edit.at * 997) % len(metadata)]
    if edit.what == "remove":
        del metadata[name]
    else:
        metadata[name] = edit.apply(metadata[name]).decode("utf-8", "replace")[:20_000]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def _edit_array(path: Path, what: str, box: Path) -> None:
    if path.suffix == ".npz":
        with np.load(path) as file:
            arrays = dict(file)
        if arrays:
            name = sorted(arrays)[0]
            arrays[name] = _edited(arrays[name], what)
        np.savez(path, **arrays)
        return
    if what == "pickle":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        path.write_bytes(header.getvalue() + pickle.dumps([Calls(box / "pwned")]))
    elif what == "huge":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)})
        path.write_bytes(header.getvalue() + os.urandom(8))
    else:
        np.save(path, _edited(np.load(path), what))


def _edited(array: Any, what: str) -> Any:
    match what:
        case "nan":
            return np.where(np.arange(len(array)) == 0, np.float32(np.nan), array)
        case "two":
            return array + np.float32(2)
        case "minus":
            return -array
        case "double":
            return array.astype(np.float64)
        case "text":
            return array.astype("U8")
        case "shorter":
            return array[:-1]
        case "longer":
            return np.concatenate([array, array])
        case "square":
            return array[None]
        case "empty":
            return array[:0]
        case "bool":
            return array > 0.5
    return array
