"""Several seeds in one run: the heads of each alone, where they lie, how they are scored, compared and used."""

import json
import shlex
import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eval.__main__ import main as evaluate
from eval.detection.detector import choose_seed
from heads.models.saved import load_head
from heads.run_folder import Run
from heads.train import main as train
from store.runtime.errors import UserError
from tests.helpers.stores import write_subject

QUICK = ["--epochs", "3", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a run of seeds 0 and 2 with a final head, scored, and a run of each of these seeds alone."""
    root = tmp_path_factory.mktemp("seeds")
    for number in range(4):
        write_subject(root / "store", f"{number + 1:02}", (200, 150), number, signal=0.7)
    for name, seeds in {"run": ("0", "2"), "alone-0": ("0",), "alone-2": ("2",)}.items():
        for fold in ("all", "final") if name == "run" else ("all",):
            arguments = ["--store", str(root / "store"), "--fold", fold, "--out", str(root / name), *QUICK]
            assert train([*arguments, "--seed", *seeds]) == 0
        assert evaluate([str(root / name)]) == 0
    return root


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "metrics.json").read_text())
    return content


@pytest.mark.parametrize("seed", [0, 2])
def test_each_head_is_that_of_its_seed_alone(root: Path, seed: int) -> None:
    """Bit for bit, its predictions too: heads that train together do not know of each other."""
    run, alone = Run.open(root / "run").of_seed(seed), Run.open(root / f"alone-{seed}")
    assert [result.fold.name for result in run.folds] == ["01", "02", "03", "04", "final"]
    for one in alone.folds:
        several = next(result for result in run.folds if result.fold == one.fold)
        assert several.path == root / "run" / "folds" / one.fold.name / f"seed-{seed}"
        assert (several.best_epoch, several.threshold, several.history) == (
            one.best_epoch,
            one.threshold,
            one.history,
        )
        first, second = (load_head(result.head_path)[0].state_dict() for result in (several, one))
        assert all(value.equal(second[name]) for name, value in first.items())
    for info in alone.open_store().recordings:
        np.testing.assert_array_equal(run.probabilities(info), alone.probabilities(info))
        assert run.probabilities_path(info).is_relative_to(root / "run" / f"seed-{seed}" / "predictions")


def test_a_run_of_one_seed_has_the_layout_of_ever(root: Path) -> None:
    run = Run.open(root / "alone-0")
    assert (run.seeds, run.config["settings"]["seed"]) == ((), 0)
    assert (root / "alone-0" / "folds" / "01" / "head.safetensors").is_file()
    assert not list((root / "alone-0").rglob("seed-*"))


def test_scores_are_averaged_not_probabilities(root: Path) -> None:
    content, alone = read(root / "run"), [read(root / f"alone-{seed}") for seed in (0, 2)]
    for person in ("01", "02", "03", "04"):
        for name in ("auroc", "brier"):
            values = [one["persons"][person][name] for one in alone]
            assert content["persons"][person][name] == pytest.approx(np.mean(values), abs=1e-12)
        f1 = [one["persons"][person]["sample"]["f1"] for one in alone]
        assert content["persons"][person]["sample"]["f1"] == pytest.approx(np.mean(f1), abs=1e-12)
    aurocs = [one["mean"]["auroc"] for one in alone]
    assert aurocs[0] != aurocs[1]
    assert [content["seeds"][seed]["auroc"] for seed in ("0", "2")] == aurocs
    assert content["seeds"]["sd"]["auroc"] == pytest.approx(np.std(aurocs, ddof=1))
    assert content["mean"]["auroc"] == pytest.approx(np.mean(aurocs))
    assert content["ci95"]["auroc"][0] <= content["mean"]["auroc"] <= content["ci95"]["auroc"][1]
    for seed, one in zip((0, 2), alone, strict=True):
        found = read(root / "run" / f"seed-{seed}")
        for key in ("persons", "mean", "sd", "ci95", "defined", "counts"):
            assert found[key] == one[key]


def test_the_spread_is_in_the_table_the_csv_and_the_report(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(root / "run" / "metrics.csv", index_col=0)
    assert list(table.index[-3:]) == ["ci95_low", "ci95_high", "sd_seeds"]
    spread = read(root / "run")["seeds"]["sd"]["auroc"]
    assert table.loc["sd_seeds", "auroc"] == pytest.approx(spread)
    assert (root / "run" / "tables" / "seeds.md").read_text().startswith("| seed |")
    assert "Scores and the curve are means over seeds 0, 2; errors and timelines are of seed 0" in (
        root / "run" / "report.html"
    ).read_text().replace("\n", " ")
    page = (root / "run" / "report.html").read_text()
    for caption in ("is each fold's own. Mean over seeds.", "before background. Of seed 0."):
        assert escape(caption) in page
    curves = [pd.read_csv(root / "run" / f"seed-{seed}" / "operating_curve.csv") for seed in (0, 2)]
    mean = pd.concat(curves).groupby(level=0).mean(numeric_only=True)  # of the seeds that have a precision there
    written = pd.read_csv(root / "run" / "operating_curve.csv")
    assert written.pop("fp_per_day_note").str.contains("too little for a rate").all()
    pd.testing.assert_frame_equal(written, mean, check_dtype=False)
    assert (root / "run" / "seed-2" / "seizures.csv").is_file()
    assert len(list((root / "run" / "seed-2" / "predictions").rglob("*_events.tsv"))) == 8
    shutil.copytree(root / "run", tmp_path / "run")
    assert evaluate([str(tmp_path / "run"), "--no-report"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'run'}: 4 of 4 persons tested")
    assert "Below, each row is one seed's mean over persons" in out
    assert f"each seed: {tmp_path / 'run' / 'seed-0'}, {tmp_path / 'run' / 'seed-2'}" in out


def test_runs_of_several_seeds_compare(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(root / "alone-0"), str(root / "run"), "--out", str(tmp_path / "out")]
    assert evaluate(arguments) == 0
    out = capsys.readouterr().out
    assert "run differs: seed is [0, 2], not 0" in out
    table = pd.read_csv(tmp_path / "out" / "comparison.csv").set_index(["metric", "run"])
    assert table.loc[("AUROC", "run"), "mean"] == pytest.approx(read(root / "run")["mean"]["auroc"])


def test_every_seed_is_tested_on_other_data(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_subject(tmp_path / "other", "11", (150, 60), 10)
    write_subject(tmp_path / "other", "12", (150,), 11)
    out = tmp_path / "out"
    assert evaluate([str(root / "run"), "--on", str(tmp_path / "other"), "--out", str(out), "--no-report"]) == 0
    content = read(out)
    assert list(content["heads"]) == ["final-seed-0", "final-seed-2", "mean", "sd"]
    aurocs = [read(out / "heads" / f"final-seed-{seed}")["mean"]["auroc"] for seed in (0, 2)]
    assert content["mean"]["auroc"] == pytest.approx(np.mean(aurocs))
    assert evaluate([str(out)]) == 2
    _, command = capsys.readouterr().err.split("holds scores on other data; repeat python -m eval ")
    assert evaluate([*shlex.split(command), "--no-report"]) == 0


def test_the_detector_takes_the_first_seed_or_the_one_asked_for(root: Path) -> None:
    run, alone = Run.open(root / "run"), Run.open(root / "alone-2")
    assert choose_seed(run, None).path_of_head_in_use == root / "run" / "folds" / "final" / "seed-0"
    assert choose_seed(run, 2).path_of_head_in_use == root / "run" / "folds" / "final" / "seed-2"
    assert choose_seed(alone, 2).path_of_head_in_use == root / "alone-2" / "folds" / "final"
    with pytest.raises(UserError, match=r"--seed 1: .* was trained with 0, 2"):
        choose_seed(run, 1)
    with pytest.raises(UserError, match=r"--seed 0: .* was trained with 2"):
        choose_seed(alone, 0)


def test_what_is_missing_is_trained_and_nothing_else(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    shutil.rmtree(run / "folds" / "03" / "seed-2")
    assert evaluate([str(run), "--no-report"]) == 2
    assert f"{run}: fold 03 is not finished with seed 2, but with another" in capsys.readouterr().err
    times = {path: path.stat().st_mtime_ns for path in run.glob("folds/*/*/fold.json")}
    arguments = ["--store", str(root / "store"), "--fold", "all", "--out", str(run), *QUICK]
    assert train([*arguments, "--seed", "0", "2"]) == 0
    assert "fold 03, seed-2: best epoch" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in times} == times
    before, after = (
        load_head(folder / "folds" / "03" / "seed-2" / "head.safetensors")[0].state_dict()
        for folder in (root / "run", run)
    )
    assert all(value.equal(after[name]) for name, value in before.items())
    assert train([*arguments, "--seed", "0"]) == 2
    assert "holds a run with other settings (settings.seed is [0, 2], wanted 0)" in capsys.readouterr().err


def test_other_labels_move_the_folds_of_every_seed_aside(root: Path, tmp_path: Path) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    path = shutil.copytree(root / "store", tmp_path / "store")
    write_subject(path, "04", (200, 150), 30)
    arguments = ["--store", str(path), "--fold", "all", "--out", str(run), "--seed", "0", "2", *QUICK]
    assert train(arguments) == 2
    assert train([*arguments, "--retrain"]) == 0
    (aside,) = run.glob("folds-before-*")
    assert len(list(aside.glob("folds/*/seed-*/fold.json"))) == 10
    assert len(list(aside.glob("seed-2/predictions/**/*_probabilities.npy"))) == 8
    assert len(list(run.glob("seed-2/predictions/**/*_probabilities.npy"))) == 8


def test_seeds_that_cannot_be_are_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--store", str(root / "store"), "--fold", "all", "--out", str(tmp_path / "new"), *QUICK]
    assert train([*arguments, "--seed", "1", "1"]) == 2
    assert "--seed 1 1: give one seed or several, each once" in capsys.readouterr().err
    for seed in ("-1", str(10**23)):
        assert train([*arguments, "--seed", "0", seed]) == 2
        assert f"--seed {seed}: not usable; allowed: 0 to 4294967295" in capsys.readouterr().err
    run = shutil.copytree(root / "run", tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["settings"]["seed"] = ["../0", 1]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"settings\.seed is"):
        Run.open(run)
