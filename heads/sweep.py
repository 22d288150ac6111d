"""python -m heads.sweep: every setting on every fold and seed, chosen on validation persons alone."""

import dataclasses
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import numpy as np
import pandas as pd
import torch
import tyro
from tqdm import tqdm

from heads.dataset import Windows
from heads.folds import Fold, make_folds
from heads.run_folder import Run
from heads.sweep_results import Cell, best_setting, read_cells, unseeded, write_cells
from heads.train import run_config, write_fold
from heads.training.stacked import train_group
from heads.training.trials import Slot, TrainSettings, split_groups
from store import open as open_store
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.device import choose_device
from store.runtime.errors import UserError
from store.runtime.parallel import WorkerSettings, run_tasks

_ROWS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class SweepSettings(WorkerSettings):
    """What a sweep needs beside the values to try."""

    store: Path
    """Folder of the store."""
    out: Path
    """Run folder. Finished groups of heads in it are kept."""
    random: int | None = None
    """Try this many combinations of the values, drawn without replacement; all if not given."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


Settings = dataclasses.make_dataclass(
    "Settings",
    [
        (
            field.name,
            Annotated[
                tuple[get_type_hints(TrainSettings)[field.name], ...],
                tyro.conf.arg(help="Values to try; python -m heads.train --help says what they are."),
            ],
            dataclasses.field(default=(field.default,)),
        )
        for field in dataclasses.fields(TrainSettings)
    ],
    bases=(SweepSettings,),
    frozen=True,
    kw_only=True,
)
Settings.__doc__ = "The command line of ``python -m heads.sweep``: several values of every setting of a head."


def sweep(settings: SweepSettings) -> tuple[Run, pd.DataFrame]:
    """Train what the run folder does not yet hold, choose for each fold, predict its test person.

    Returns
    -------
    run : Run
        With a finished fold for each person: the setting is the best on the fold's validation persons.
    table : DataFrame
        A row a setting, the best mean validation AUROC first.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If a setting has no value, a fold cannot be built, the run folder belongs to another sweep, or every
        setting failed in a fold.
    """
    settings.check()
    windows = Windows(open_store(settings.store))
    folds = make_folds(windows.counts(), "all")
    device = choose_device(settings.device)
    grid = {name: getattr(settings, name) for name in TrainSettings.__dataclass_fields__}
    if empty := [name for name, values in grid.items() if not values]:
        raise UserError(f"--{empty[0].replace('_', '-')}: no value to try; give one or more, or leave it out")
    shown = {name: values[0] if len(values) == 1 else values for name, values in grid.items()}
    seeds = grid.pop("seed")
    slots = [
        Slot(fold, dataclasses.replace(chosen, seed=seed))
        for chosen in combinations(grid, settings.random)
        for fold in folds
        for seed in seeds
    ]
    groups = split_groups(slots, windows, together=len(seeds))
    run = Run.create(settings.out, run_config({**shown, "random": settings.random}, windows.store))
    _train_groups(groups, windows, settings)
    cells = [cell for group in groups for cell in read_cells(_cells_path(settings.out, group), group)]
    chosen = {fold.name: _choose(cells, fold) for fold in folds}
    for fold in folds:
        own = [cell for cell in cells if cell.slot.fold == fold and unseeded(cell.slot) == chosen[fold.name]]
        best = max(own, key=lambda cell: cell.score)
        write_fold(run, best.slot, best.load(windows), windows, torch.device(device))
    table = tabulate(cells, list(chosen.values()), [name for name, values in grid.items() if len(values) > 1])
    write_text(settings.out / "sweep.csv", table.to_csv(index=False))
    return run, table


def combinations(grid: Mapping[str, Sequence[Any]], count: int | None) -> list[TrainSettings]:
    """All combinations of the values, or so many of them at random, always the same ones.

    Raises
    ------
    UserError
        If there are fewer combinations than that.

    Examples
    --------
    >>> [one.lr for one in combinations({"lr": (0.1, 0.2), "hidden": (8,)}, None)]
    [0.1, 0.2]
    """
    every = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if count is not None:
        if not 1 <= count <= len(every):
            raise UserError(
                f"--random {count}: the values make {len(every)} combinations; choose 1 to {len(every)}"
            )
        every = [every[i] for i in sorted(np.random.default_rng(0).choice(len(every), count, replace=False))]
    return [TrainSettings(**one) for one in every]


def tabulate(cells: Sequence[Cell], chosen: Sequence[TrainSettings], names: Sequence[str]) -> pd.DataFrame:
    """A row a setting: validation AUROC (mean and sd over folds and seeds), cells failed, folds that chose it."""
    rows = []
    for setting, group in itertools.groupby(cells, lambda cell: unseeded(cell.slot)):
        own = list(group)
        scores = np.array([cell.score for cell in own if not cell.failure])
        rows.append(
            {
                **{name: getattr(setting, name) for name in names},
                "validation_auroc": scores.mean() if len(scores) else np.nan,
                "sd": scores.std(ddof=1) if len(scores) > 1 else np.nan,
                "best_epoch": np.median([cell.best_epoch for cell in own]),
                "failed": len(own) - len(scores),
                "folds_choosing": sum(one == setting for one in chosen),
            }
        )
    return pd.DataFrame(rows).sort_values("validation_auroc", ascending=False, ignore_index=True)


def _train_groups(groups: Sequence[Sequence[Slot]], windows: Windows, settings: SweepSettings) -> None:
    """Train the groups that are not there yet; each leaves its cells in a file when it is finished."""
    todo = []
    for group in groups:
        if (path := _cells_path(settings.out, group)).is_file():
            _checkpoint_path(path).unlink(missing_ok=True)  # there if the sweep was stopped right then
        else:
            todo.append(group)
    total = sum(_work(group, windows) for group in todo)
    with tqdm(total=total, unit=" windows x slots", unit_scale=True, disable=None) as bar:
        for group, done in _run_groups(todo, settings, bar.update):
            bar.total -= _work(group, windows) - done  # slots that stopped early
            bar.refresh()


def _run_groups(
    todo: Sequence[Sequence[Slot]], settings: SweepSettings, progress: Callable[[int], object]
) -> Iterator[tuple[Sequence[Slot], int]]:
    """Finished groups with the windows x slots they took."""
    if settings.alone:
        for group in todo:
            yield group, _train_cells(group, settings.store, settings.out, settings.device, progress)
        return
    # workers may be in another folder
    train = partial(
        _train_cells, store_path=settings.store.absolute(), out=settings.out.absolute(), device=settings.device
    )
    for group, done in run_tasks(train, todo, settings, settings.device):
        progress(done)
        yield group, done


def _train_cells(
    group: Sequence[Slot],
    store_path: Path,
    out: Path,
    device: str,
    progress: Callable[[int], object] = lambda count: None,
) -> int:
    """Train a group and write its cells; the windows x slots that it took.

    A task of a worker: it carries paths and settings, no features.
    """
    path = _cells_path(out, group)
    done = 0

    def count(windows_x_slots: int) -> None:
        nonlocal done
        done += windows_x_slots
        progress(windows_x_slots)

    checkpoint = _checkpoint_path(path)
    windows, where = Windows(open_store(store_path)), torch.device(choose_device(device))
    write_cells(path, group, train_group(group, windows, where, checkpoint, count))
    checkpoint.unlink(missing_ok=True)
    return done


def _choose(cells: Sequence[Cell], fold: Fold) -> TrainSettings:
    chosen = best_setting(cells, fold)
    if chosen is None:
        failure = next(cell.failure for cell in cells if cell.slot.fold == fold and cell.failure)
        raise UserError(f"fold {fold.name}: every setting failed; the first: {failure}")
    return chosen


def _cells_path(out: Path, group: Sequence[Slot]) -> Path:
    identity = json.dumps([dataclasses.asdict(slot) for slot in group])
    return out / "cells" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"


def _checkpoint_path(cells: Path) -> Path:
    return cells.with_suffix(".pt")


def _work(group: Sequence[Slot], windows: Windows) -> int:
    """Windows x slots if no slot stops early."""
    size = len(windows.epoch(1, group[0].settings.background_per_seizure))
    return size * sum(slot.settings.epochs for slot in group)


def _command(settings: SweepSettings) -> None:
    run, table = sweep(settings)
    print(table.head(_ROWS_SHOWN).to_string(float_format=lambda value: f"{value:.4g}"))
    if len(table) > _ROWS_SHOWN:
        print(f"... {len(table) - _ROWS_SHOWN} more settings in {run.path / 'sweep.csv'}")
    print("\nEach fold's test person was predicted once, with the setting its validation persons chose.")
    print(f"run in {run.path}; score it with: python -m eval {run.path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.sweep``."""
    return run_command(
        _command,
        Settings,
        argv,
        prog="python -m heads.sweep",
        description="Try many settings of heads on every fold, and choose on validation persons.",
    )


if __name__ == "__main__":
    sys.exit(main())
