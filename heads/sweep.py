"""python -m heads.sweep: train every setting on every fold and seed; choose without the test person."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("heads.sweep"))

import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import numpy as np
import tyro

from heads.dataset import StoreDataset
from heads.run_folder import (
    Run,
    describe_run,
    follow_store,
    is_before_context,
    plan_folds,
    record_choice,
    require_current,
    require_groups,
    resolve_inner,
    with_old_context,
)
from heads.run_folder.head_sources import HeadSources
from heads.run_folder.lock import lock_folder
from heads.run_folder.sweep_choice import SWEEP_TABLE
from heads.settings import InnerOption, MemoryOption, RunOptions, SplitOption, TrainSettings, field_sentences
from store import open_stores
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.commands import command_line
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.old_spellings import old_context, translate_arguments
from store.runtime.options import optional
from store.runtime.parallel import WorkerSettings, run_tasks
from store.runtime.plurals import count_noun
from store.runtime.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from heads.sweep_results import SweepRow
    from heads.training.trials import Trial

_ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class SweepTarget:
    """Store, run folder and number of settings; first in the help."""

    store: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STORE ...", help_behavior_hint="(required)")]
    """Folder of the store; several stores are trained on together."""
    out: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run folder; finished groups of heads in it are kept."""
    random: Annotated[int | None, optional("N")] = None
    """Try N combinations of the values, drawn without replacement. (default: all combinations)"""


@dataclass(frozen=True, kw_only=True)
class SweepSettings(RunOptions, MemoryOption, InnerOption, SplitOption, WorkerSettings, SweepTarget):
    """Options of a sweep other than the values to try."""

    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""


def _values_to_try() -> list[tuple[str, Any, Any]]:
    """Each setting of a head as a field that takes several values."""
    hints, sentences = get_type_hints(TrainSettings), field_sentences(TrainSettings)
    annotated: Any = Annotated
    several: Any = tuple
    values = []
    for field in dataclasses.fields(TrainSettings):
        help_text = f"{sentences[field.name]} (several values: try each)"
        hint = annotated[several[hints[field.name], ...], tyro.conf.arg(help=help_text)]
        values.append((field.name, hint, dataclasses.field(default=(field.default,))))
    return values


SweepValues: type = dataclasses.make_dataclass("SweepValues", _values_to_try(), frozen=True, kw_only=True)
SweepCommand: Any = dataclasses.make_dataclass(
    "SweepCommand", [], bases=(SweepSettings, SweepValues, SweepTarget), frozen=True, kw_only=True
)
SweepCommand.__doc__ = "The command line of ``python -m heads.sweep``: several values of every setting of a head."


def sweep(command: SweepSettings) -> tuple[Run, "pd.DataFrame"]:
    """Train what the run folder lacks, choose a setting for each fold, predict the fold's test person.

    Returns
    -------
    run : Run
        With a finished fold for each person, of the setting that is best on the fold's validation persons.
    table : DataFrame
        One row per setting, the best mean validation AUROC first.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If a setting has no value, a fold cannot be built, the run folder belongs to another sweep, every
        setting failed in a fold, or another process goes on with a store or head that has changed since.
    """
    import torch  # here, since they load torch, which --help does not need

    from heads.sweep_results import choose_row, read_rows, tabulate, unseeded
    from heads.training.finish import write_folds
    from heads.training.first_logits import require_finite_logits
    from heads.training.groups import split_groups
    from heads.training.head_sources import describe_sources
    from heads.training.trials import Trial

    command.check()
    dataset = StoreDataset(open_stores(command.store))
    inner = resolve_inner(command.inner, command.out, split=command.split)
    folds = plan_folds(dataset.store, dataset.label_counts(), "all", inner, command.split)
    require_groups(folds, command.inner)
    device = choose_device(command.device)
    grid = {name: getattr(command, name) for name in TrainSettings.__dataclass_fields__}
    _require_values(grid)
    recorded = {name: values[0] if len(values) == 1 else values for name, values in grid.items()}
    seeds = grid.pop("seed")
    tried = combinations(grid, command.random)
    if grid["context_s"] == (TrainSettings.context_s,) and is_before_context(command.out):
        recorded["context_s"] = old_context(recorded)
        tried = [with_old_context(settings) for settings in tried]
        print(f"{command.out}: started before --context-s existed; its heads keep their context")
    trials = [
        Trial(fold, dataclasses.replace(settings, seed=seed))
        for settings in tried
        for fold in folds
        for seed in seeds
    ]
    groups = split_groups(trials, dataset, len(seeds), command.group_bytes(nested=bool(folds[0].inner)))
    require_finite_logits(trials, dataset)
    recorded |= {"random": command.random, **record_choice(inner, command.split)}
    sources = describe_sources(grid["head"])
    run = Run.create(command.out, describe_run(recorded, dataset.store, sources), force=command.force)
    run = follow_store(run, dataset.store, folds, sources, retrain=command.retrain)
    _train_groups(groups, dataset, command, run.head_sources)
    require_current(run, folds, dataset.store, sources)
    rows = [row for group in groups for row in read_rows(_rows_path(command.out, group, run.head_sources), group)]
    best_rows = [choose_row(rows, fold) for fold in folds]
    missing = [row for row in best_rows if not _is_written(row, run, dataset)]
    trained = ((row.trial, row.load(row.trial.make_head(dataset))) for row in missing)
    write_folds(run, trained, dataset, torch.device(device))
    best = [unseeded(row.trial) for row in best_rows]
    table = tabulate(rows, best, [name for name, values in grid.items() if len(values) > 1])
    write_text(command.out / SWEEP_TABLE, table.to_csv(index=False))
    return run, table


def _require_values(grid: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a setting without a value, or with a value twice, which would count as two."""
    for name, values in grid.items():
        option = f"--{name.replace('_', '-')}"
        if not values:
            raise UserError(f"{option}: no value to try; give one or more, or leave it out")
        if len(set(values)) < len(values):
            raise UserError(f"{option} {' '.join(map(str, values))}: give each value once")


def _is_written(row: "SweepRow", run: Run, dataset: StoreDataset) -> bool:
    """Whether the run holds a trial as the result of its fold, and the predictions of its test persons."""
    written = {result.fold: result for result in run.folds}.get(row.trial.fold)
    if written is None:
        return False
    infos = [info for person in written.fold.test for info, _ in dataset.recordings_of(person)]
    paths = [written.head_path, written.validation_path, *map(run.probabilities_path, infos)]
    known = written.best_epoch, written.threshold, tuple(written.history)
    return known == (row.best_epoch, row.threshold, tuple(row.history)) and all(map(Path.is_file, paths))


def combinations(grid: Mapping[str, Sequence[Any]], count: int | None) -> list[TrainSettings]:
    """All combinations of the values, or a number of them at random, always the same ones.

    Raises
    ------
    UserError
        If there are fewer combinations than that.

    Examples
    --------
    >>> [settings.lr for settings in combinations({"lr": (0.1, 0.2), "hidden": (8,)}, None)]
    [0.1, 0.2]
    """
    every = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if count is not None:
        if not 1 <= count <= len(every):
            made = count_noun(len(every), "combination")
            choice = f"choose 1 to {len(every)}" if len(every) > 1 else "give more values, or leave it out"
            raise UserError(f"--random {count}: the values make {made}; {choice}")
        every = [every[i] for i in sorted(np.random.default_rng(0).choice(len(every), count, replace=False))]
    return [TrainSettings(**values) for values in every]


def _train_groups(
    groups: Sequence[Sequence["Trial"]], dataset: StoreDataset, command: SweepSettings, sources: HeadSources
) -> None:
    """Train the groups that are not there yet; each leaves its rows in a file when it is finished."""
    todo = []
    for group in groups:
        if (path := _rows_path(command.out, group, sources)).is_file():
            _checkpoint_path(path).unlink(missing_ok=True)  # there if the sweep was stopped right then
        else:
            todo.append(group)
    if not todo:
        print(f"nothing to train: all of the heads are in {command.out}")
    total = sum(_work(group, dataset) for group in todo)
    with progress_bar(total=total, unit=" windows x heads", unit_scale=True) as bar:
        for group, done in _run_groups(todo, dataset, command, sources, bar.update):
            total -= _work(group, dataset) - done  # trials that stopped early
            bar.total = total


def _run_groups(
    todo: Sequence[Sequence["Trial"]],
    dataset: StoreDataset,
    command: SweepSettings,
    sources: HeadSources,
    progress: Callable[[int], object],
) -> Iterator[tuple[Sequence["Trial"], int]]:
    """Finished groups with the windows x heads they took."""
    if command.alone:
        for group in todo:
            where = command.out, command.device, command.kept_bytes
            yield group, _train_group(group, dataset, sources, *where, progress)
        return
    # workers may be in another folder
    stores = [path.absolute() for path in command.store]
    train = partial(
        _open_and_train,
        store_paths=stores,
        sources=sources,
        out=command.out.absolute(),
        device=command.device,
        kept_bytes=command.kept_bytes,
    )
    for group, done in run_tasks(train, todo, command, command.device):
        progress(done)
        yield group, done


def _open_and_train(
    group: Sequence["Trial"],
    store_paths: Sequence[Path],
    sources: HeadSources,
    out: Path,
    device: str,
    kept_bytes: int,
) -> int:
    """A task of a worker: it carries paths and settings, no features."""
    return _train_group(group, StoreDataset(open_stores(store_paths)), sources, out, device, kept_bytes)


def _train_group(
    group: Sequence["Trial"],
    dataset: StoreDataset,
    sources: HeadSources,
    out: Path,
    device: str,
    kept_bytes: int,
    progress: Callable[[int], object] = lambda count: None,
) -> int:
    """Train a group and write its rows; the windows x heads that it took."""
    import torch

    from heads.sweep_results import write_rows
    from heads.training.head_sources import describe_sources
    from heads.training.stacked import train_stacked

    path = _rows_path(out, group, sources)
    done = 0

    def count(windows_x_heads: int) -> None:
        nonlocal done
        done += windows_x_heads
        progress(windows_x_heads)

    checkpoint, where = _checkpoint_path(path), torch.device(choose_device(device))
    results = train_stacked(group, dataset, where, checkpoint, count, kept_bytes)
    if is_before_context(out):  # its rows hold the scores of epochs, by which its heads were compared
        results = [dataclasses.replace(result, score=result.epoch_score) for result in results]
    run = Run.open(out)
    with lock_folder(out):  # no other process may go on with a changed store between the check and the rows
        require_current(run, [trial.fold for trial in group], dataset.store, describe_sources(sources))
        write_rows(path, group, results)
    checkpoint.unlink(missing_ok=True)
    return done


def _rows_path(out: Path, group: Sequence["Trial"], sources: HeadSources) -> Path:
    from heads.training.trials import hash_trials

    return out / "cells" / f"{hash_trials(group, sources)}.json"


def _checkpoint_path(rows: Path) -> Path:
    return rows.with_suffix(".pt")


def _work(group: Sequence["Trial"], dataset: StoreDataset) -> int:
    """Windows x heads if no trial stops early."""
    from heads.training.plan import StackPlan

    size = len(dataset.epoch_windows(1, group[0].settings.background_per_seizure))
    return size * sum(head.settings.epochs for head in StackPlan(group).heads)


def _run(command: SweepSettings) -> None:
    run, table = sweep(command)
    print(table.head(_ROWS_SHOWN).to_string(float_format=lambda value: f"{value:.4g}"))
    if len(table) > _ROWS_SHOWN:
        print(f"... {len(table) - _ROWS_SHOWN} more settings in {run.path / SWEEP_TABLE}")
    if failed := int(table["failed"].sum()):
        print(f"failed: {failed} trainings diverged and have no score; try a lower lr")
    print("\nEach fold's test person was predicted once, with the setting chosen on the other persons.")
    print(f"run in {run.path}; score it with: {command_line('eval', run.path)}")
    if command.split is None:  # else the head of the split is a detector
        print(f"for a detector, with the setting that most folds chose: {run.command_for('final')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.sweep``."""
    return run_command(
        _run,
        SweepCommand,
        translate_arguments(sys.argv[1:] if argv is None else argv),
        module="heads.sweep",
        description="Train many head settings on every fold, and choose one per fold on validation persons.\n\n"
        "Start with: --store and --out, several values for any setting, --random to try a subset.",
        examples=["--store store --out runs/sweep --lr 1e-3 3e-4 --hidden 64 128 --seed 0 1"],
        elsewhere={
            "--fold": "a sweep tests on every person in turn and ends with the command for a detector; "
            f"{command_line('heads.train')} takes --fold"
        },
    )
