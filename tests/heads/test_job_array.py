"""Processes that share a run folder, as those of a job array with a fold each."""

import errno
import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heads.run_folder import Run
from heads.run_folder.checkpoints import Checkpoints
from heads.train import main as train
from store.reader import open_file
from store.writer import relabel_file
from tests.helpers.processes import PROCESSES, start, wait
from tests.helpers.runs import QUICK

PERSONS = ("01", "02", "03", "04", "05", "06")


def _train(store: Path, out: Path, fold: str, barrier: Any) -> int:
    barrier.wait()
    return train(["--store", str(store), "--out", str(out), "--fold", fold, "--inner", "one", "--retrain", *QUICK])


def _train_each_fold(store: Path, out: Path) -> None:
    barrier, log = PROCESSES.Barrier(len(PERSONS)), out.with_suffix(".log")
    processes = [start(log, _train, store, out, person, barrier) for person in PERSONS]
    assert [wait(process) for process in processes] == [0] * len(PERSONS), log.read_text()


def _relabel(store: Path) -> None:
    for file in map(open_file, sorted(store.glob("*.h5"))):
        relabel_file(file.path, recordings=file.recordings, labels=np.roll(file.labels, 20))


def _heads(out: Path) -> dict[str, bytes]:
    return {result.fold.name: result.head_path.read_bytes() for result in Run.open(out).folds}


def test_folds_that_train_at_once_leave_nothing_and_follow_new_labels(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    path, run = make_store(persons=len(PERSONS), lengths_s=(60,)), tmp_path / "run"
    _train_each_fold(path, run)
    assert not [*run.glob("training-*"), *run.glob("checkpoints*")]
    before = _heads(run)
    _relabel(path)
    _train_each_fold(path, run)
    assert not [*run.glob("training-*"), *run.glob("checkpoints*")]
    (aside,) = run.glob("folds-before-*")
    assert sorted(fold.name for fold in (aside / "folds").iterdir()) == list(PERSONS)
    assert len(list(aside.glob("predictions/**/*.npy"))) == len(PERSONS)
    _train_each_fold(path, tmp_path / "fresh")
    assert _heads(run) == _heads(tmp_path / "fresh")
    assert not {*_heads(run).values()} & {*before.values()}


def _list(folder: Path, name: str, barrier: Any) -> int:
    barrier.wait()
    Checkpoints(folder).add(folder / f"training-{name}.pt", [name])
    return 0


def test_no_checkpoint_that_is_listed_at_the_same_time_is_lost(tmp_path: Path) -> None:
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        barrier, log = PROCESSES.Barrier(len(PERSONS)), tmp_path / "log"
        processes = [start(log, _list, folder, person, barrier) for person in PERSONS]
        assert [wait(process) for process in processes] == [0] * len(PERSONS), log.read_text()
        listed = json.loads(Checkpoints(folder).list_path.read_text())
        assert listed == {f"training-{person}.pt": [person] for person in PERSONS}


def test_without_locks_a_run_follows_its_store_and_skips_what_another_process_moved(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    def move(self: Path, target: Path) -> Path:
        rename(self, target.with_name(f"{target.name}-of-another"))
        return rename(self, target)

    path, run, rename = make_store(persons=3, lengths_s=(60,)), tmp_path / "run", Path.rename
    arguments = ["--store", str(path), "--out", str(run), "--fold", "all", "--inner", "one", "--retrain", *QUICK]
    assert train(arguments) == 0
    _relabel(path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(Path, "rename", move)
    assert train(arguments) == 0
    assert [result.fold.name for result in Run.open(run).folds] == ["01", "02", "03"]


def test_a_finished_run_that_may_not_be_written_to_is_no_error(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run, open_path = make_store(persons=3, lengths_s=(60,)), tmp_path / "run", Path.open
    arguments = ["--store", str(path), "--out", str(run), "--fold", "all", "--inner", "one", *QUICK]
    assert train(arguments) == 0

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == ".lock":
            raise PermissionError(errno.EACCES, "denied", str(self))
        return open_path(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert train(arguments) == 0
