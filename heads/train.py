"""python -m heads.train: train the heads of one fold, of all folds, or the final head."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("heads.train"))

import dataclasses
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from heads.dataset import StoreDataset
from heads.run_folder import (
    FoldResult,
    Run,
    StaleError,
    describe_run,
    follow_context,
    follow_store,
    plan_folds,
    record_choice,
    require_groups,
    resolve_inner,
)
from heads.settings import InnerOption, MemoryOption, RunOptions, SplitOption, TrainSettings
from store import open_stores
from store.runtime.cli import run as run_command
from store.runtime.commands import command_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_arguments
from store.runtime.options import optional
from store.runtime.plurals import noun_with_names
from store.runtime.progress import progress_bar

if TYPE_CHECKING:
    import torch

    from heads.training.trials import Trial, TrialResult


@dataclass(frozen=True, kw_only=True)
class TrainTarget:
    """Store, folds and run folder; first in the help."""

    store: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(required)")]
    """Folder of the store; several stores are trained on together."""
    fold: Annotated[
        str | None,
        tyro.conf.arg(metavar="PERSON|all|final", help_behavior_hint="(required, or --split)"),
    ] = None
    """Person to test on; "all" for leave-one-person-out; "final" for a detector trained on all persons."""
    out: Annotated[Path | None, optional("RUN")] = None
    """Run folder; finished folds in it are kept. (default: runs/STORE-HEAD)"""


@dataclass(frozen=True, kw_only=True)
class TrainCommand(RunOptions, MemoryOption, TrainSettings, InnerOption, SplitOption, TrainTarget):
    """The command line of ``python -m heads.train``."""

    seed: tuple[int, ...] = (0,)  # type: ignore[assignment]  # a head has one seed, a command several
    """Seeds of initial weights and dropout, trained together. The order of windows is the same for all."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""


def train(command: TrainCommand) -> tuple[Run, list[FoldResult]]:
    """Train the requested folds that the run folder lacks; return the run and the requested folds.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If the fold cannot be built, the run folder belongs to other settings, training diverges, or another
        process goes on with a store or head that has changed since.
    """
    import torch  # imported here to keep --help fast

    from heads.training.groups import split_groups

    if command.fold is None and command.split is None:
        raise UserError("nothing to train: give --fold PERSON, all or final, or --split")
    if command.fold is not None and command.split is not None:
        raise UserError("give --fold or --split, not both")
    kept_bytes = command.kept_bytes
    dataset = StoreDataset(open_stores(command.store))
    device = torch.device(choose_device(command.device))
    run, trials = _plan(command, dataset)
    todo = [trial for trial in trials if not run.of_seed(trial.settings.seed).is_finished(trial.fold.name)]
    if not todo:
        print(f"nothing to train: all of the folds are in {run.path}")
    limit_bytes = command.group_bytes(nested=bool(trials[0].fold.inner))
    failures = [
        failure
        for group in split_groups(todo, dataset, limit_bytes=limit_bytes)
        for failure in _train_and_write(group, dataset, run, device, kept_bytes)
    ]
    run.remove_checkpoints()
    if failures:
        others = "the other folds are finished, but " if len(failures) < len(todo) else ""
        raise UserError(f"{run.path}: {others}{describe_failures(failures)}")
    return run, [result for result in run.folds if result.fold.name in {trial.fold.name for trial in trials}]


def describe_failures(failures: Sequence[tuple[str, str]]) -> str:
    """Folds, each with why it failed, in one sentence; folds that share a reason are named together.

    >>> describe_failures([("01", "diverged"), ("02", "diverged"), ("", "another process went on")])
    'folds 01, 02: diverged; another process went on'
    """
    folds_of: dict[str, list[str]] = {}
    for fold, reason in failures:
        folds_of.setdefault(reason, []).extend([fold] * bool(fold))
    return "; ".join(
        f"{noun_with_names('fold', folds)}: {reason}" if folds else reason for reason, folds in folds_of.items()
    )


def _plan(command: TrainCommand, dataset: StoreDataset) -> tuple[Run, list["Trial"]]:
    """Make or resume the run; return it and the heads of the requested folds and seeds."""
    from heads.training.first_logits import require_finite_logits
    from heads.training.head_sources import describe_sources
    from heads.training.trials import Trial

    store = dataset.store
    out = command.out or Path("runs") / f"{store.name}-{command.head.rpartition(':')[2]}"
    settings = [follow_context(seed_settings, out) for seed_settings in _settings_of_seeds(command)]
    if settings[0].context_s != command.context_s:
        print(f"{out}: started before --context-s existed; its heads keep averaging {settings[0].context_s} s")
    inner = resolve_inner(command.inner, out, split=command.split)
    folds = plan_folds(store, dataset.label_counts(), command.fold or "", inner, command.split)
    require_groups(folds, command.inner)
    for seed_settings in settings:
        Trial(folds[0], seed_settings).check(dataset)
    require_finite_logits([Trial(folds[0], settings[0])], dataset)
    seed = command.seed[0] if len(command.seed) == 1 else list(command.seed)
    recorded = {**dataclasses.asdict(settings[0]), "seed": seed, **record_choice(inner, command.split)}
    sources = describe_sources([command.head])
    run = Run.create(out, describe_run(recorded, store, sources), force=command.force)
    run = follow_store(run, store, folds, sources, retrain=command.retrain)
    return run, [Trial(fold, seed_settings) for fold in folds for seed_settings in settings]


def _train_and_write(
    group: Sequence["Trial"], dataset: StoreDataset, run: Run, device: "torch.device", kept_bytes: int
) -> Iterator[tuple[str, str]]:
    """Train a group and write its folds; give each that could not be trained, or none if not kept, and why."""
    from heads.training.finish import write_fold

    for trial, result in zip(group, _train_group(group, dataset, run, device, kept_bytes), strict=True):
        kept = result
        if not (trial.fold.test or trial.fold.inner or result.error):
            kept = _train_on_everyone(trial, result, dataset, run, device, kept_bytes)
        if kept.error:
            seeded = f" with seed {trial.settings.seed}" if run.seeds else ""
            yield f"{trial.fold.title}{seeded}", kept.error
            continue
        try:
            write_fold(run.of_seed(trial.settings.seed), trial, kept, dataset, device)
        except StaleError as error:
            yield "", str(error)


def _settings_of_seeds(command: TrainCommand) -> list[TrainSettings]:
    """Settings of a head with each seed."""
    if not command.seed or len(set(command.seed)) < len(command.seed):
        raise UserError(f"--seed {' '.join(map(str, command.seed))}: give one seed or several, each once")
    names = TrainSettings.__dataclass_fields__.keys() - {"seed"}
    settings = {name: getattr(command, name) for name in names}
    return [TrainSettings(**settings, seed=seed) for seed in command.seed]


def _train_on_everyone(
    trial: "Trial",
    result: "TrialResult",
    dataset: StoreDataset,
    run: Run,
    device: "torch.device",
    kept_bytes: int,
) -> "TrialResult":
    """Train the final head on all persons, for as many epochs as validation persons chose."""
    from heads.training.trials import trial_on_everyone

    (again,) = _train_group([trial_on_everyone(trial, result, dataset)], dataset, run, device, kept_bytes)
    return dataclasses.replace(result, head=again.head, error=again.error)


def _train_group(
    group: Sequence["Trial"], dataset: StoreDataset, run: Run, device: "torch.device", kept_bytes: int
) -> list["TrialResult"]:
    from heads.training.stacked import train_stacked
    from heads.training.trials import hash_trials

    checkpoint = run.path / f"training-{hash_trials(group, run.head_sources)}.pt"
    run.checkpoints.add(checkpoint, [trial.fold.name for trial in group])
    title = group[0].fold.name if len(group) == 1 else f"{len(group)} heads"
    with progress_bar(desc=title, unit=" windows x heads", unit_scale=True) as bar:
        return train_stacked(group, dataset, device, checkpoint, bar.update, kept_bytes)


def _run(command: TrainCommand) -> None:
    run, results = train(command)
    for result in results:
        scores = [entry["validation_auroc"] for entry in result.history]
        seeded = f", {result.path.name}" if run.seeds else ""
        print(
            f"fold {result.fold.title}{seeded}: best epoch {result.best_epoch} of {len(scores)}, "
            f"validation AUROC {max(scores, default=math.nan):.3f}, threshold {result.threshold:.3f}"
        )
    print(f"these thresholds are for single seconds; {command_line('eval')} chooses those for events")
    print(f"run in {run.path}; score it with: {command_line('eval', run.path)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.train``."""
    return run_command(
        _run,
        TrainCommand,
        translate_arguments(sys.argv[1:] if argv is None else argv),
        module="heads.train",
        description="Train heads on the features of a store.\n\n"
        "Start with: --store, --fold for the persons to test on, --out for the run folder.",
        examples=["--store store --fold all --out runs/first"],
    )
