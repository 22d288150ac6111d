"""Scores of a run on other data; an entry in ``config.json`` marks them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heads.folds import GIVEN
from heads.run_folder import Run
from store.runtime.commands import command_line
from store.runtime.errors import UserError

TESTED = "tested"  # the entry
_HEAD_IN_USE = re.compile(rf"(final|{GIVEN})(-seed-\d+)?")  # name of the final head, or that of a given split


def read_tested(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``config.json`` says of scores on other data; None if it is that of a run.

    Raises
    ------
    UserError
        If it says so in another form.
    """
    tested = config.get(TESTED)
    if tested is None:
        return None
    heads = tested.get("heads") if isinstance(tested, dict) else None
    if not isinstance(heads, dict) or not all(map(_is_tested_head, heads.values())):
        raise UserError(
            f"config.json: {TESTED} is not as {command_line('eval')} --on writes it; give another folder"
        )
    return dict(tested)


def find_training_persons(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Tested persons of the training data, if such were asked for."""
    return tuple((read_tested(config) or {}).get("training_persons", ()))


def is_of_head_in_use(tested: Mapping[str, Any]) -> bool:
    """Whether the final head was tested, or that of a given split, and not the head of every fold."""
    return all(map(_HEAD_IN_USE.fullmatch, tested["heads"]))


def _is_tested_head(head: object) -> bool:
    """Whether an entry holds persons that a head was tested and trained on."""
    sides = [head.get("test"), head.get("train")] if isinstance(head, dict) else [None]
    return all(isinstance(side, list) and all(isinstance(person, str) for person in side) for side in sides)


def open_trained_run(path: Path) -> Run:
    """Open a run whose own predictions are to be scored.

    Raises
    ------
    UserError
        If there is none, or if it holds scores on other data.
    """
    run = Run.open(path)
    if tested := read_tested(run.config):
        again = [str(tested.get("run")), "--on", run.config["store"]["path"], "--out", path]
        again += [] if is_of_head_in_use(tested) else ["--fold", "all"]
        again += ["--allow-training-persons"] if tested.get("training_persons") else []
        again += [part for name in _list_own_heads(run) for part in ("--head", name)]
        raise UserError(f"{path}: holds scores on other data; repeat {command_line('eval', *again)}")
    return run


def _list_own_heads(run: Run) -> list[str]:
    """Heads of a run that a command has to name, since their code is run."""
    head = run.config["settings"].get("head")
    return [name for name in (head if isinstance(head, list) else [head]) if isinstance(name, str) and ":" in name]


def find_final(run: Run) -> Path:
    """Folder of the fold whose head finds seizures in other EEG; the head is there.

    Raises
    ------
    UserError
        If there is no such head.
    """
    if tested := read_tested(run.config):
        raise UserError(f"{run.path}: holds scores on other data and no heads; give the run, {tested.get('run')}")
    fold = run.path_of_head_in_use
    if not (head := fold / "head.safetensors").is_file():
        again = f"remove {fold}, then " if (fold / "fold.json").is_file() else ""
        raise UserError(f"{head}: no trained head; {again}{run.remedy_for('final')}")
    return fold
