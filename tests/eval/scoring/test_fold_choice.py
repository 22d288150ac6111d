"""The choice of a fold is kept as long as nothing has changed that it depends on."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import store
from eval.__main__ import main
from eval.scoring import fold_choice
from eval.scoring.choice import POSTPROCESSING
from eval.scoring.fold_choice import FoldChooser
from heads.run_folder import Run
from heads.train import main as train
from store import Event
from store.reader import open_file
from store.writer import relabel_file

QUICK = ("--inner", "2", "--epochs", "1", "--filters", "4", "--hidden", "4")


@pytest.fixture
def path(make_store: Callable[..., Path], tmp_path: Path) -> Path:
    """A scored run of four persons."""
    features = make_store(persons=4, lengths_s=(60, 80))
    assert train(["--store", str(features), "--fold", "all", "--out", str(tmp_path / "run"), *QUICK]) == 0
    assert main([str(tmp_path / "run"), "--no-report"]) == 0
    return tmp_path / "run"


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Persons of every choice that is made anew."""
    choices: list[list[str]] = []
    choose = fold_choice.choose_postprocessing

    def count(persons: dict, threshold: float) -> object:
        choices.append(list(persons))
        return choose(persons, threshold)

    monkeypatch.setattr(fold_choice, "choose_postprocessing", count)
    return choices


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_second_eval_chooses_nothing(path: Path, chosen: list[list[str]]) -> None:
    before = contents(path)
    assert main([str(path), "--no-report"]) == 0
    assert chosen == []
    assert contents(path) == before


def test_the_kept_choice_is_that_of_a_copy_without_it(path: Path, chosen: list[list[str]]) -> None:
    before = contents(path)
    for kept in path.rglob(POSTPROCESSING):
        kept.unlink()
    assert main([str(path), "--no-report"]) == 0
    assert len(chosen) == 4
    assert contents(path) == before


@pytest.mark.parametrize("content", ["{}", "[", '{"threshold": 0.9}', None])
def test_a_file_that_is_not_as_written_is_made_again(
    path: Path, chosen: list[list[str]], content: str | None
) -> None:
    before = contents(path)
    kept = path / "folds" / "02" / POSTPROCESSING
    edited = json.dumps({**json.loads(kept.read_text()), "threshold": 0.123})
    kept.write_text(edited if content is None else content)
    assert main([str(path), "--no-report"]) == 0
    assert chosen == [["01", "03", "04"]]
    assert contents(path) == before


def test_other_predictions_choose_again(path: Path, chosen: list[list[str]]) -> None:
    result = next(one for one in Run.open(path).folds if one.fold.name == "02")
    values = {name: row[::-1].copy() for name, row in result.validation_probabilities().items()}
    result.write_validation(values)
    assert main([str(path), "--no-report"]) == 0
    assert chosen == [["01", "03", "04"]]


def test_other_labels_choose_again(path: Path, tmp_path: Path, chosen: list[list[str]]) -> None:
    """Labels of person 01, on which all folds but its own choose."""
    copy = Path(shutil.copytree(store.open(Run.open(path).open_store().path).path, tmp_path / "copy"))
    file = open_file(copy / "sub-01.h5")
    labels = np.zeros_like(file.labels)
    labels[5:9] = 1
    first, *others = (replace(info, events=()) for info in file.recordings)
    rows = [replace(first, events=(Event(5.0, 4.0, "sz"),)), *others]
    relabel_file(file.path, recordings=rows, labels=labels, dataset=file.dataset)
    folds = Run.open(path).folds
    for opened in (store.open(copy), Run.open(path).open_store()):
        for result in folds:
            FoldChooser(opened, folds).choose(result.fold.name)
    assert chosen == [["01", "03", "04"], ["01", "02", "04"], ["01", "02", "03"]]
