"""A fold that was trained on an old store is not kept in a run that another process took to the new one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import store
from eval.__main__ import main as evaluate
from heads.closed_form import logistic_folds
from heads.dataset import StoreDataset
from heads.folds import Fold
from heads.models.saved import load_head
from heads.run_folder import Run, follow_store
from heads.train import main as train
from heads.training import stacked
from store.reader import open_file
from store.writer import relabel_file
from tests.helpers.runs import MAINS, QUICK, commands
from tests.helpers.stores import write_subject

WORK = {  # what trains the heads of a command
    "train": (stacked, "train_stacked"),
    "sweep": (stacked, "train_stacked"),
    "probe": (logistic_folds, "fit_logistic_folds"),
}


def relabel(path: Path) -> None:
    """Shift the labels of a subject, as in a corrected data set."""
    file = open_file(path)
    relabel_file(path, recordings=file.recordings, labels=np.roll(file.labels, 5))


def go_on(run: Path, path: Path, folds: str = "01") -> None:
    """Take a run to its store as it is now, as another process does before it trains."""
    dataset = StoreDataset(store.open(path))
    follow_store(Run.open(run), dataset.store, dataset.folds(folds), retrain=True)


def relabel_and_go_on(run: Path, path: Path, subject: str) -> None:
    """Another process goes on with the run after a subject was relabelled."""
    relabel(path / f"sub-{subject}.h5")
    go_on(run, path)


def interrupt_work(monkeypatch: pytest.MonkeyPatch, command: str, meanwhile: Callable[[], None]) -> None:
    """Let something happen once, after the heads have trained and before anything of them is written."""
    module, name = WORK[command]
    work, happened = getattr(module, name), []

    def train_then(*arguments: Any) -> Any:
        results = list(work(*arguments))
        if not happened:
            happened.append(True)
            meanwhile()
        return results

    monkeypatch.setattr(module, name, train_then)


@pytest.mark.parametrize("command", MAINS)
def test_what_was_trained_before_another_process_went_on_is_not_kept(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    interrupt_work(monkeypatch, command, partial(relabel_and_go_on, run, path, "02"))
    assert MAINS[command](commands(path, run)[command]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert f"not kept, since {run / 'config.json'} records another store" in line
    assert "(sub-02_ses-01_task-szMonitoring_run-00: labels) by now; give the same command again" in line
    assert not [*run.glob("folds/*/*"), *run.glob("predictions/**/*.npy"), *run.glob("cells/*.json")]
    assert MAINS[command](commands(path, run)[command]) == 0
    fresh = tmp_path / "fresh"
    assert MAINS[command](commands(path, fresh)[command]) == 0
    for result, other in zip(Run.open(run).folds, Run.open(fresh).folds, strict=True):
        one, two = (load_head(path)[0].state_dict() for path in (result.head_path, other.head_path))
        assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_a_fold_that_another_process_finished_stays_as_it_is(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    arguments = [*commands(path, run)["train"], "--fold", "01"]
    finished: dict[Path, bytes] = {}

    def meanwhile() -> None:
        relabel(path / "sub-02.h5")
        assert train([*arguments, "--retrain"]) == 0
        files = [*run.glob("folds/01/*"), *run.glob("predictions/**/*.npy")]
        finished.update({file: file.read_bytes() for file in files})

    interrupt_work(monkeypatch, "train", meanwhile)
    assert train(arguments) == 2
    assert len(finished) == 4
    assert {file: file.read_bytes() for file in finished} == finished


def test_folds_without_what_changed_are_kept(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fold of person 04 is made to leave 03 out, as a given split may."""
    path, run = make_store(persons=4, lengths_s=(60,)), tmp_path / "run"
    without = Fold("04", ("04",), ("01",), ("02",))
    folds = StoreDataset(store.open(path)).folds("01")
    monkeypatch.setattr("heads.train.plan_folds", lambda *arguments: (*folds, without))
    interrupt_work(monkeypatch, "train", partial(relabel_and_go_on, run, path, "03"))
    assert train([*commands(path, run)["train"], "--inner", "one"]) == 2
    err = capsys.readouterr().err
    assert "the other folds are finished, but fold 01 not kept," in err
    assert [result.fold.name for result in Run.open(run).folds] == ["04"]


def test_a_fold_without_a_person_who_is_new_is_not_kept(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"

    def meanwhile() -> None:
        write_subject(path, "04", (60,), 9)
        go_on(run, path)

    interrupt_work(monkeypatch, "train", meanwhile)
    assert train([*commands(path, run)["train"], "--fold", "01"]) == 2
    assert (
        "(sub-04_ses-01_task-szMonitoring_run-00: new) by now; give the same command again"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("command", MAINS)
def test_a_store_that_changed_with_no_other_process_is_known_at_the_next_command(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    interrupt_work(monkeypatch, command, lambda: relabel(path / "sub-02.h5"))
    assert MAINS[command](commands(path, run)[command]) == 0
    capsys.readouterr()
    assert MAINS[command](commands(path, run)[command]) == 2
    assert "run-00: labels); choose another --out, or --retrain" in capsys.readouterr().err
    assert evaluate([str(run), "--no-report"]) == 2
    assert "run-00: labels); this affects folds 01, 02, 03" in capsys.readouterr().err


def test_a_worker_of_a_sweep_that_opened_a_later_store_leaves_no_rows(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    follow = follow_store

    def follow_then(*arguments: Any, **options: Any) -> Run:
        followed = follow(*arguments, **options)
        relabel(path / "sub-02.h5")
        return followed

    monkeypatch.setattr("heads.sweep.follow_store", follow_then)
    where = ["--store", str(path), "--out", str(run), "--jobs", "2", "--lr", "0.01", "0.02"]
    assert MAINS["sweep"]([*where, *QUICK]) == 2
    assert "folds 01, 02, 03 not kept" in capsys.readouterr().err
    assert not list(run.glob("cells/*.json"))
