"""Processes that share a run folder, as those of a job array with a fold each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def _heads(out: Path) -> dict[str, bytes]:
    return {result.fold.name: result.head_path.read_bytes() for result in Run.open(out).folds}


def test_folds_that_train_at_once_leave_nothing_and_follow_new_labels(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    path, run = make_store(persons=len(PERSONS), lengths_s=(60,)), tmp_path / "run"
    _train_each_fold(path, run)
    assert not [*run.glob("training-*"), *run.glob("checkpoints*")]
    before = _heads(run)
    for person in PERSONS:
        file = open_file(path / f"sub-{person}.h5")
        relabel_file(file.path, recordings=file.recordings, labels=np.roll(file.labels, 20))
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
