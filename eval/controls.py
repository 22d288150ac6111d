"""``python -m eval.controls RUN``: what a score has to survive before it is believed."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import tyro

from eval.report.files import write_table
from eval.scoring.alarms import measure_alarms
from eval.scoring.identity_audit import audit_identity, read_seconds
from eval.scoring.scored_runs import read_scored_run, require_same_test
from eval.scoring.scores import bootstrap_interval
from eval.scoring.shuffled_labels import score_shuffled
from eval.scoring.standard_test import prepare_test
from heads.run_folder import Run
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.options import optional
from store.runtime.outputs import guard_folder
from store.runtime.plurals import noun_with_names

SHUFFLED_AUROC = (0.47, 0.53)  # mean over persons: by chance alone, some thousand seconds give less
_DESCRIPTION = """Run controls of a scored run.

What matters first: RUN, --twin for the run of an untrained encoder, --on for other people.

Shuffled labels: heads trained as those of the run, on labels shuffled within each person. Identity: how well
features tell persons apart, and what is left of the scores when each person's mean and scale are removed. --twin
compares with an untrained encoder, --on counts alarms on other people. The status is 1 if a control does not come
out as expected."""


@dataclass(frozen=True, kw_only=True)
class ControlsCommand:
    """The command line of ``python -m eval.controls``."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run, scored by eval."""
    twin: Annotated[Path | None, optional("RUN")] = None
    """The same run on features of an untrained encoder (extracted with --encoder random), scored."""
    on: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(default: none)")] = ()
    """Stores of people without seizures, or without labels, for alarms of the final head."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of the results; "controls" in the run if not given."""
    seed: int = 0
    """Seed of the shuffling."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


@dataclass(frozen=True)
class Control:
    """One control: what came out, what was to be expected, and whether it did, if that can be said."""

    name: str
    result: str
    expected: str
    holds: bool | None
    values: dict[str, float | int | None]


def controls(command: ControlsCommand) -> int:
    """Run the controls, write and print them; 1 if one fails.

    Raises
    ------
    UserError
        If a run or store cannot be used, a run is not scored, or a person of ``on`` is one of the training data.
    """
    run = Run.open(command.run)
    out = command.out or command.run / "controls"
    guard_folder(out, inputs=[command.run, *command.on], own="controls.json")
    results = []
    for control in _run_controls(command, run, out):
        verdict = {True: "as expected", False: "NOT AS EXPECTED", None: ""}[control.holds]
        expected = f" (expected: {control.expected})" if control.expected else ""
        print(f"{to_one_line(control.name)}: {control.result}{expected} {verdict}".rstrip(), flush=True)
        results.append(control)
    if command.twin is None:
        print(
            "untrained twin: none is given; extract the data set with --encoder random, train and score a run on "
            "it as this one, and give that by --twin"
        )
    write_text(out / "controls.json", json.dumps([asdict(one) for one in results], indent=2) + "\n")
    table = pd.DataFrame(
        {
            "result": [control.result for control in results],
            "expected": [control.expected for control in results],
        },
        index=[control.name for control in results],
    )
    write_table(out, "controls", table.rename_axis(columns="control"))
    print(f"\nControls: {out / 'controls.json'}, {out / 'controls.md'}")
    return int(any(control.holds is False for control in results))


def _run_controls(command: ControlsCommand, run: Run, out: Path) -> Iterator[Control]:
    store, device = run.open_store(), torch.device(choose_device(command.device))
    yield _check_shuffled(score_shuffled(run, store, device, np.random.default_rng(command.seed)))
    yield from _check_identity(run, out)
    if command.twin is not None:
        yield _compare_twin(command.run, command.twin)
    for path in command.on:
        yield _count_alarms(command.run, path, out)


def _check_shuffled(auroc: pd.Series) -> Control:
    low, high = SHUFFLED_AUROC
    mean = float(auroc.mean())
    holds = low <= mean <= high
    return Control(
        "labels shuffled within persons",
        f"AUROC {_with_interval(auroc)}",
        f"{low:.2f} to {high:.2f}",
        holds,
        {"auroc": mean, "persons": len(auroc)},
    )


def _check_identity(run: Run, out: Path) -> Iterator[Control]:
    audit = audit_identity(read_seconds(run.open_store(), out))
    yield Control(
        "telling persons apart",
        f"{audit.accuracy:.3f} of the background seconds of {audit.persons} persons go to the right one",
        f"{audit.chance:.3f} by chance",
        None,
        {"accuracy": audit.accuracy, "chance": audit.chance, "persons": audit.persons},
    )
    as_is, removed = audit.scores["as_is"], audit.scores["removed"]
    yield Control(
        "each person's mean and scale removed",
        f"AUROC of a regression {_with_interval(removed)}, as is {_with_interval(as_is)}, "
        f"difference {_with_interval(removed - as_is, sign='+')}",
        "",
        None,
        {"auroc_removed": float(removed.mean()), "auroc_as_is": float(as_is.mean()), "persons": len(as_is)},
    )


def _compare_twin(path: Path, twin_path: Path) -> Control:
    trained, twin = read_scored_run(path), read_scored_run(twin_path)
    require_same_test(trained, twin)
    encoder = twin.config["store"].get("spec", {}).get("encoder")
    if encoder != "random":
        raise UserError(f"{twin_path}: its encoder is {encoder}; a twin has --encoder random")
    difference = (trained.scores["auroc"] - twin.scores["auroc"]).dropna()
    low, _ = bootstrap_interval(difference.to_numpy(float), np.random.default_rng(0))
    return Control(
        "untrained twin",
        f"AUROC {_with_interval(twin.scores['auroc'])}, the run {_with_interval(trained.scores['auroc'])}, "
        f"difference {_with_interval(difference, sign='+')}",
        "a difference above 0",
        None if np.isnan(low) else bool(low > 0),
        {"twin": float(twin.scores["auroc"].mean()), "run": float(trained.scores["auroc"].mean())},
    )


def _count_alarms(path: Path, store_path: Path, out: Path) -> Control:
    test = prepare_test(path, store_path, out, "final")
    if test.training_persons:
        raise UserError(
            f"{store_path}: holds {noun_with_names('training person', test.training_persons)} of {path}; give a "
            "store of others"
        )
    (results,) = test.score()
    alarms = measure_alarms(results)
    if not alarms.persons:
        raise UserError(f"{store_path}: the encoder saw all of its persons in pretraining; give a store of others")
    return Control(f"on {test.store.name}", alarms.describe(), "", None, asdict(alarms))


def _with_interval(values: pd.Series, sign: str = "") -> str:
    """Mean over persons and its 95 % interval."""
    known = values.dropna().to_numpy(float)
    low, high = bootstrap_interval(known, np.random.default_rng(0))
    mean = known.mean() if len(known) else np.nan
    interval = "" if np.isnan(low) else f" ({low:{sign}.3f} to {high:{sign}.3f})"
    return f"{mean:{sign}.3f}{interval}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.controls``."""
    return run_command(
        controls,
        ControlsCommand,
        argv,
        module="eval.controls",
        description=_DESCRIPTION,
        examples=["runs/chb-mit --twin runs/random --on stores/healthy"],
    )


if __name__ == "__main__":
    sys.exit(main())
