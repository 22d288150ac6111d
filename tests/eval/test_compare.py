"""Comparing scored runs: figures worked out by hand, and what is refused."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from eval.__main__ import main
from eval.compare import compare
from eval.scoring.scores import HEADLINE
from heads.folds import Fold
from heads.run_folder import FoldResult, Run
from store.runtime.atomic import write_text
from tests.helpers.stores import SPEC

PERSONS = ("01", "02", "03", "04", "05", "06")
FIRST = (0.5, 0.6, 0.7, 0.8, 0.9, math.nan)
SECOND = (0.6, 0.75, 0.72, 0.7, 0.95, 0.9)


def table(aurocs: tuple[float, ...] = FIRST, seconds: int = 100) -> pd.DataFrame:
    columns = {column: 0.5 for column in HEADLINE.values()} | {"seconds": seconds, "ictal_seconds": 10}
    return pd.DataFrame({**columns, "auroc": aurocs}, index=pd.Index(PERSONS, name="person"))


def scored(path: Path, scores: pd.DataFrame, validation: str = "06") -> Path:
    """A run that was trained and scored."""
    described = {"path": "store", "spec": asdict(SPEC), "checksums": {}, "provenance": {"encoder": {}}}
    run = Run.create(path, {"settings": {"head": "linear"}, "store": described})
    for person in scores.index:
        other = validation if person != validation else "01"
        train = tuple(sorted({*PERSONS} - {person, other}))
        result = FoldResult(Fold(person, (person,), (other,), train), run.fold_path(person), 1, 0.5, ())
        run.fold_path(person).mkdir(parents=True)
        run.finish_fold(result)
    rows = pd.concat([scores.astype(object), scores.agg(["mean", "std"]).rename({"std": "sd"})])
    write_text(path / "metrics.csv", rows.to_csv(index_label="person"))
    return path


def fails(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    assert main(["compare", *map(str, paths)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_differences_are_paired_over_persons_whom_both_define() -> None:
    found = compare({"a": table(), "b": table(SECOND)}, np.random.default_rng(0))
    first, second = found[found["metric"] == "AUROC"].to_dict("records")
    paired = np.array([0.1, 0.15, 0.02, -0.1, 0.05])
    assert first["mean"] == pytest.approx(0.7)
    assert second["mean"] == pytest.approx(np.mean(SECOND))
    assert second["difference"] == pytest.approx(paired.mean())
    assert second["persons"] == 5
    assert second["p"] == pytest.approx(wilcoxon(paired).pvalue)
    assert paired.min() < second["low"] < paired.mean() < second["high"] < paired.max()
    assert math.isnan(first["difference"])


def test_no_difference_has_no_p() -> None:
    found = compare({"a": table(), "b": table()}, np.random.default_rng(0))
    row = found[(found["metric"] == "event F1") & (found["run"] == "b")].iloc[0]
    assert row["difference"] == row["low"] == row["high"] == 0
    assert math.isnan(row["p"])


def test_a_comparison_is_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [scored(tmp_path / name, table(values)) for name, values in (("a", FIRST), ("b", SECOND), ("c", FIRST))]
    assert main(["compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "6 persons; differences are from a" in out
    assert "b: linear head on random latents" in out
    assert "one of 12 comparisons" in out
    (row,) = [line.split() for line in out.splitlines() if "+0.044" in line]
    assert row[:3] == ["b", "0.770", "+0.044"]
    files = {path.name for path in (tmp_path / "a" / "comparison").iterdir()}
    assert files == {"comparison.csv", "comparison.svg", "comparison.png"}
    assert len(pd.read_csv(tmp_path / "a" / "comparison" / "comparison.csv")) == 3 * len(HEADLINE)


def test_runs_of_other_folds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table(), validation="05")
    assert f"{other}: folds 01, 02, 03, 04, 05, 06 differ from those of {one}" in fails(capsys, one, other)
    part = scored(tmp_path / "c", table().drop("06"))
    assert f"{part}: folds 06 differ" in fails(capsys, one, part)


def test_runs_on_other_recordings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table(seconds=99))
    assert "persons have other seconds or seizures" in fails(capsys, one, other)


def test_one_run_is_too_few_and_names_must_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = scored(tmp_path / "a", table())
    assert "1 run given; name two or more" in fails(capsys, one)
    other = scored(tmp_path / "x" / "a", table())
    assert "runs of the same name (a, a)" in fails(capsys, one, other)


def test_scores_must_be_there_and_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table())
    (other / "folds" / "06" / "fold.json").unlink()
    assert "scores of persons 01, 02, 03, 04, 05, 06, the folds test 01, 02, 03, 04, 05;" in fails(
        capsys, other, one
    )
    (other / "metrics.csv").unlink()
    assert f"metrics.csv: not scored yet; run: python -m eval {other}" in fails(capsys, one, other)
