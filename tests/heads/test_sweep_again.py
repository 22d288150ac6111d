"""Sweeps that are given again: what is finished stays, what is missing is made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import heads.sweep
import heads.training.finish
from heads.run_folder import Run
from heads.sweep import SweepCommand, main, sweep
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from tests.helpers.sweeps import GRID, contents


def test_given_again_it_predicts_and_writes_only_what_is_not_there(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = SweepCommand(store=(make_store(persons=3, lengths_s=(60,)),), out=tmp_path / "run", inner=2, **GRID)
    run, _ = sweep(command)
    before = contents(run)
    paths = [path for folder in ("folds", "predictions", "cells") for path in (run.path / folder).rglob("*")]
    times = {path: path.stat().st_mtime_ns for path in paths}
    write, written = heads.training.finish.write_fold, []

    def count(run: Run, trial: Trial, *rest: Any) -> None:
        written.append(trial.fold.name)
        write(run, trial, *rest)

    monkeypatch.setattr(heads.training.finish, "write_fold", count)
    sweep(command)
    assert written == []
    assert {path: path.stat().st_mtime_ns for path in paths} == times
    (missing,) = run.path.glob("predictions/**/sub-02*.npy")
    missing.unlink()
    sweep(command)
    assert written == ["02"]
    assert contents(run) == before


def test_an_interrupted_sweep_keeps_finished_groups(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = make_store(persons=3)
    unbroken, _ = sweep(SweepCommand(store=(path,), out=tmp_path / "unbroken", **GRID))
    calls = 0

    def interrupted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return train_stacked(*args)

    arguments = ["--store", str(path), "--out", str(tmp_path / "broken")]
    for name, values in GRID.items():
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    monkeypatch.setattr("heads.training.stacked.train_stacked", interrupted)
    assert main(arguments) == 130
    assert "finished parts are kept" in capsys.readouterr().err
    assert len(list((tmp_path / "broken" / "cells").glob("*.json"))) == 1
    assert main(arguments) == 0
    assert calls == 3  # one group was finished, one interrupted and run again
    assert "validation_auroc" in capsys.readouterr().out
    assert contents(Run.open(tmp_path / "broken")) == contents(unbroken)


def test_a_checkpoint_of_finished_cells_goes(make_store: Callable[..., Path], tmp_path: Path) -> None:
    """A sweep stopped between writing cells and removing their checkpoint leaves one."""
    settings = SweepCommand(store=(make_store(persons=3, lengths_s=(60,)),), out=tmp_path / "run", **GRID)
    run, _ = sweep(settings)
    cells = tmp_path / "run" / "cells"
    next(cells.glob("*.json")).with_suffix(".pt").touch()
    before = contents(run)
    assert contents(sweep(settings)[0]) == before
    assert not list(cells.glob("*.pt"))
