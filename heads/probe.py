"""python -m heads.probe: linear probes of seconds, every leave-one-person-out fold at once."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from heads.closed_form.leave_one_out import STRENGTHS, fit_closed_form, fit_folds
from heads.closed_form.ridge_lda import best_strength
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import StoreDataset
from heads.run_folder import Run, describe_run
from heads.settings import RunOptions, TrainSettings
from heads.training.finish import write_fold
from heads.training.trials import Trial, TrialResult
from store import open as open_store
from store.runtime.cli import run as run_command
from store.runtime.old_spellings import translate_arguments


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """What to fit on, where to and how; first in the help."""

    store: Annotated[Path, tyro.conf.arg(metavar="STORE")]
    """Folder of the store."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Run folder; runs/STORE-METHOD if not given. Finished folds in it are kept."""
    method: Literal["ridge", "lda", "logistic"] = "lda"
    """Ridge regression, discriminant analysis, or logistic regression."""
    statistics: Literal["mean", "mean-std"] = "mean"
    """Mean over the frames of a second, and its log deviation; a store with one frame a second has a mean only."""


@dataclass(frozen=True, kw_only=True)
class ProbeCommand(RunOptions, ProbeTarget):
    """The command line of ``python -m heads.probe``."""


def probe(command: ProbeCommand) -> Run:
    """Fit every fold, predict its test person and write the run.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If a fold cannot be built, or the run folder belongs to other settings.
    """
    dataset = StoreDataset(open_store(command.store))
    folds = dataset.folds("all")
    recorded = {"head": "linear", "method": command.method, "statistics": command.statistics}
    out = command.out or Path("runs") / f"{command.store.resolve().name}-{command.method}"
    run = Run.create(out, describe_run(recorded, dataset.store), force=command.force)
    run = run.follow_store(dataset.store, folds, retrain=command.retrain)
    seconds = PooledSeconds(dataset, command.statistics)
    logistic = command.method == "logistic"
    for fitted in fit_folds(seconds, folds) if logistic else fit_closed_form(seconds, folds, command.method):
        history = tuple(
            {"epoch": number, "strength": strength, "validation_auroc": float(score)}
            for number, (strength, score) in enumerate(zip(STRENGTHS, fitted.scores, strict=True), start=1)
        )
        best = best_strength(fitted.scores[None]) + 1
        result = TrialResult(fitted.head, best, fitted.threshold, history)
        trial = Trial(fitted.fold, TrainSettings(head="linear"))
        write_fold(run, trial, result, dataset, torch.device("cpu"), fitted.validation_head)
    return run


def _run(command: ProbeCommand) -> None:
    run = probe(command)
    for result in run.folds:
        best = result.history[result.best_epoch - 1]
        score = f"validation AUROC {best['validation_auroc']:.3f}"
        print(f"fold {result.fold.name}: strength {best['strength']:g}, {score}")
    print(f"run in {run.path}; score it with: python -m eval {run.path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.probe``."""
    return run_command(
        _run,
        ProbeCommand,
        translate_arguments(sys.argv[1:] if argv is None else argv),
        prog="python -m heads.probe",
        description="Fit linear probes on the features of a store, every fold at once.\n\n"
        "Example: python -m heads.probe --store store --out runs/probe --method lda",
    )


if __name__ == "__main__":
    sys.exit(main())
