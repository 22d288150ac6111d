"""Rows of a sweep that others may have written."""

import json
from pathlib import Path
from typing import Any

import pytest

from heads.folds import Fold
from heads.settings import TrainSettings
from heads.sweep_results import read_rows
from heads.training.trials import Trial
from store.runtime.errors import UserError

GROUP = [Trial(Fold("01", ("01",), ("02",), ("03",)), TrainSettings(epochs=3))]
ROW: dict[str, Any] = {
    **{"score": 0.9, "best_epoch": 1, "threshold": 0.5, "history": [{"epoch": 1, "loss": 0.1}]},
    **{"error": None, "head_prefix": "0"},
}


def read(path: Path, **changes: object) -> float:
    path.write_text(json.dumps([{**ROW, **changes}]))
    (row,) = read_rows(path, GROUP)
    return row.score


def test_what_was_written(tmp_path: Path) -> None:
    assert read(tmp_path / "1.json") == 0.9


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": "high"}, "holds a value that is not a number"),
        ({"history": [{"epoch": 1, "loss": None}]}, "holds a value that is not a number"),
        ({"best_epoch": 4}, "best_epoch is 4"),
        ({"best_epoch": 1.5}, "best_epoch is 1.5"),
        ({"head_prefix": 0}, "head_prefix or error is not text"),
        ({"threshold": float("inf")}, "score is 0.9, threshold inf"),
    ],
)
def test_values_that_no_sweep_writes_are_named(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"1\.json: damaged .*{reason}"):
        read(tmp_path / "1.json", **change)
