"""Stores and runs of format version 1, made before the first change of layout, go on in every later version."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import store
from eval.__main__ import main as evaluate
from eval.detect import main as detect
from heads.sweep import main as sweep
from heads.train import main as train
from tests.helpers.paths import DATA

GOLDEN = DATA / "golden-v1"
SMALL_HEAD = ("--filters", "4", "--hidden", "8", "--batch-windows", "16", "--precision", "float32")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


@pytest.mark.parametrize(("name", "shape"), [("bandpower", (4, 18, 6)), ("codes", (32, 18, 4))])
def test_the_stores_are_read(name: str, shape: tuple[int, ...]) -> None:
    opened = store.open(GOLDEN / name)
    for file in opened.files:
        file.verify()
    assert opened.persons == ("01", "02", "03", "04")
    assert opened.spec.shape == shape
    assert [int(opened.labels(info).sum()) for info in opened.recordings] == [30, 30, 30, 0, 30, 26, 26, 0]


@pytest.mark.parametrize("run", ["train", "sweep", "probe"])
def test_the_runs_score_as_before_to_the_last_digit(golden: Path, run: str) -> None:
    (golden / run / "metrics.json").unlink()
    assert evaluate([str(golden / run), "--store", str(golden / "bandpower"), "--no-report"]) == 0
    before, now = (json.loads((folder / run / "metrics.json").read_text()) for folder in (GOLDEN, golden))
    assert {key: now[key] for key in before.keys() - {"sd"}} == {
        key: before[key] for key in before.keys() - {"sd"}
    }
    population, sample = (pd.json_normalize(one["sd"]).iloc[0] for one in (before, now))
    assert sample.tolist() == pytest.approx((population * np.sqrt(4 / 3)).tolist())
    for path in sorted((GOLDEN / run / "predictions").rglob("*.tsv")):
        assert (golden / path.relative_to(GOLDEN)).read_text() == path.read_text()


def test_a_killed_training_starts_anew_since_its_checkpoint_names_no_data(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, settings = golden / "half", ("--store", str(golden / "bandpower"), *SMALL_HEAD, "--epochs", "4")
    (checkpoint,) = run.glob("training-*.pt")
    assert train([*settings, "--fold", "02", "--out", str(run)]) == 0
    assert "started before --context-s existed; its heads keep averaging 1 s" in capsys.readouterr().out
    assert not checkpoint.exists()
    trained = json.loads((run / "folds" / "02" / "fold.json").read_text())["history"]
    together = json.loads((golden / "train" / "folds" / "02" / "fold.json").read_text())["history"]
    assert [entry["loss"] for entry in trained] == pytest.approx([entry["loss"] for entry in together], rel=1e-4)


def test_finished_folds_are_not_trained_again(golden: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (golden / "train" / "folds").rglob("*") if path.is_file()}
    settings = ("--store", str(golden / "bandpower"), *SMALL_HEAD, "--epochs", "4")
    assert train([*settings, "--fold", "all", "--out", str(golden / "train")]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_sweep_goes_on(golden: Path) -> None:
    run = golden / "sweep"
    groups = sorted((run / "cells").glob("*.json"))
    groups[0].unlink()
    groups[0].with_suffix(".safetensors").unlink()
    kept = groups[1].stat().st_mtime_ns
    grid = ("--lr", "1e-2", "1e-3", "--pooling", "max", "max-deviation", "--seed", "0", "1")
    settings = ("--store", str(golden / "bandpower"), *SMALL_HEAD, "--epochs", "3")
    assert sweep([*settings, *grid, "--out", str(run)]) == 0
    assert sorted((run / "cells").glob("*.json")) == groups
    assert groups[1].stat().st_mtime_ns == kept


@pytest.mark.parametrize(("run", "tolerance"), [("train", 1e-5), ("final", 1e-3)])
def test_the_detectors_find_the_same_seizures(tmp_path: Path, run: str, tolerance: float) -> None:
    out, probabilities = tmp_path / "events.tsv", tmp_path / "probabilities.tsv"
    arguments = [str(GOLDEN / "recording.edf"), str(out), "--run", str(GOLDEN / run)]
    assert detect([*arguments, "--probabilities", str(probabilities)]) == 0
    before, now = (pd.read_table(path) for path in (GOLDEN / f"{run}-probabilities.tsv", probabilities))
    np.testing.assert_allclose(now, before, atol=tolerance)
    assert out.read_text() == (GOLDEN / f"{run}.tsv").read_text()
