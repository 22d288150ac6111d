"""python -m heads.probe: fit linear classifiers of seconds for every leave-one-person-out fold."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("heads.probe"))

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tqdm import tqdm

from heads.dataset import StoreDataset
from heads.folds import DEFAULT_INNER, Fold
from heads.run_folder import (
    FoldResult,
    Run,
    describe_run,
    follow_store,
    plan_folds,
    record_choice,
    resolve_inner,
)
from heads.settings import MemoryOption, RunOptions, SplitOption, TrainSettings
from store import open_stores
from store.runtime.cli import run as run_command
from store.runtime.commands import command_line
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_arguments
from store.runtime.options import optional

if TYPE_CHECKING:
    from heads.closed_form.leave_one_out import FittedFold
    from heads.training.trials import TrialResult

_STATISTICS = (
    "Features of a second. pooled: mean, maximum and sd over the electrodes of each dim's log sd over the frames "
    "(its value, if a second has one frame), averaged over 5 s. mean: mean over the frames, per electrode. "
    "mean-std: that and the log sd. (default: pooled for logistic, mean for the others)"
)


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """Store, folds, run folder and method; first in the help."""

    store: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(required)")]
    """Folder of the store; several stores are trained on together."""
    fold: Annotated[str | None, tyro.conf.arg(metavar="PERSON|all|final", help_behavior_hint="(default: all)")] = (
        None
    )
    """Person to test on; "all" for leave-one-person-out; "final" for a detector trained on all persons."""
    out: Annotated[Path | None, optional("RUN")] = None
    """Run folder; finished folds in it are kept. (default: runs/STORE-METHOD)"""
    method: Literal["logistic", "ridge", "lda"] = "logistic"
    """Logistic regression, ridge regression, or discriminant analysis."""
    statistics: Annotated[
        Literal["pooled", "mean", "mean-std"] | None, optional("{pooled,mean,mean-std}", _STATISTICS)
    ] = None


@dataclass(frozen=True, kw_only=True)
class ProbeCommand(RunOptions, MemoryOption, SplitOption, ProbeTarget):
    """The command line of ``python -m heads.probe``."""

    memory: Annotated[float, tyro.conf.arg(metavar="GIB")] = 3.5
    """Memory of the fit, apart from the mapped features; with less, features are read more often."""


def probe(command: ProbeCommand) -> tuple[Run, list[FoldResult]]:
    """Fit the requested folds that the run folder lacks; return the run and the requested folds.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If a fold cannot be built, the run folder belongs to other settings, or another process goes on with a
        store that has changed since.
    """
    if command.fold is not None and command.split is not None:
        raise UserError("--fold and --split do not go together: give a fold, or a given split")
    most_bytes = command.kept_bytes
    dataset = StoreDataset(open_stores(command.store))
    statistics = command.statistics or ("pooled" if command.method == "logistic" else "mean")
    pooled = TrainSettings(head="pooled-linear")
    head = pooled if statistics == "pooled" else TrainSettings(head="linear", context_s=1)
    logistic = command.method == "logistic"
    out = command.out or Path("runs") / f"{dataset.store.name}-{command.method}"
    inner = resolve_inner(None, out, DEFAULT_INNER if logistic else "pairs", command.split)
    folds = plan_folds(dataset.store, dataset.label_counts(), command.fold or "all", inner, command.split)
    options = {"head": head.head, "method": command.method, "statistics": statistics}
    recorded = {**options, **record_choice(inner, command.split)}
    run = Run.create(out, describe_run(recorded, dataset.store), force=command.force)
    run = follow_store(run, dataset.store, folds, retrain=command.retrain)
    finished = {result.fold.name for result in run.folds}
    if todo := [fold for fold in folds if fold.name not in finished]:
        _fit(run, todo, dataset, head, command.method, statistics, most_bytes)
    else:
        print(f"nothing to fit: all of the folds are in {run.path}")
    return run, [result for result in run.folds if result.fold.name in {fold.name for fold in folds}]


def _fit(
    run: Run,
    todo: Sequence[Fold],
    dataset: StoreDataset,
    head: TrainSettings,
    method: str,
    statistics: str,
    most_bytes: int,
) -> None:
    """Fit folds and write them into the run, one after the other."""
    import torch  # here, since they load torch, which --help does not need

    from heads.closed_form.electrodes import PooledElectrodes
    from heads.closed_form.leave_one_out import STRENGTHS, fit_closed_form, require_memory
    from heads.closed_form.logistic_folds import INVERSE_STRENGTHS, fit_logistic_folds
    from heads.closed_form.seconds import PooledSeconds
    from heads.training.finish import write_folds
    from heads.training.trials import Trial

    logistic = method == "logistic"
    pooled = statistics == "pooled"
    seconds = PooledElectrodes(dataset, run.path) if pooled else PooledSeconds(dataset, statistics, most_bytes)
    if logistic:
        fitted = fit_logistic_folds(seconds, todo, most_bytes)
    else:
        require_memory(seconds, 2 * most_bytes)
        fitted = fit_closed_form(seconds, todo, method, most_bytes)
    strengths = ("C", INVERSE_STRENGTHS) if logistic else ("strength", STRENGTHS)
    trained = (
        (Trial(fold.fold, head), _describe(fold, *strengths))
        for fold in tqdm(fitted, total=len(todo), unit=" folds", disable=None)
    )
    write_folds(run, trained, dataset, torch.device("cpu"))


def _describe(fitted: "FittedFold", name: str, strengths: Sequence[float]) -> "TrialResult":
    """The result of a fold; every strength counts as an epoch."""
    from heads.training.trials import TrialResult

    history = [
        {"epoch": number, name: strength, "validation_auroc": float(score)}
        for number, (strength, score) in enumerate(zip(strengths, fitted.scores, strict=True), start=1)
    ]
    if fitted.losses is not None:
        for entry, loss in zip(history, fitted.losses.tolist(), strict=True):
            entry["validation_log_loss"] = loss
    return TrialResult(
        fitted.head,
        best_epoch=fitted.best + 1,
        threshold=fitted.threshold,
        history=tuple(history),
        validation=fitted.validation,
        test=fitted.test,
    )


def _run(command: ProbeCommand) -> None:
    run, results = probe(command)
    for result in results:
        best = result.history[result.best_epoch - 1]
        strength = f"C {best['C']:g}" if "C" in best else f"strength {best['strength']:g}"
        print(f"fold {result.fold.title}: {strength}, validation AUROC {best['validation_auroc']:.3f}")
    print(f"run in {run.path}; score it with: {command_line('eval', run.path)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.probe``."""
    return run_command(
        _run,
        ProbeCommand,
        translate_arguments(sys.argv[1:] if argv is None else argv),
        module="heads.probe",
        description="Fit linear classifiers on the features of a store: a baseline in seconds.\n\n"
        "Start with: --store, --out for the run folder, --method.",
        examples=["--store store --out runs/probe"],
    )
