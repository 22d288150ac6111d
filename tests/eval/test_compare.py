"""Comparing scored runs: figures worked out by hand, and what is refused."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from eval.__main__ import main
from eval.compare import choose_metrics, compare
from eval.scoring.scores import HEADLINE, SCORES, metrics, summarise
from heads.folds import Fold
from heads.run_folder import FoldResult, Run
from store.runtime.atomic import write_text
from tests.helpers.stores import SPEC

PERSONS = ("01", "02", "03", "04", "05", "06")
FIRST = (0.5, 0.6, 0.7, 0.8, 0.9, math.nan)
SECOND = (0.6, 0.75, 0.72, 0.7, 0.95, 0.9)


def table(aurocs: tuple[float, ...] = FIRST, seconds: int = 100) -> pd.DataFrame:
    columns = dict.fromkeys(SCORES, 0.5) | {"seconds": seconds, "ictal_seconds": 10, "event.fp": 2}
    return pd.DataFrame({**columns, "auroc": aurocs}, index=pd.Index(PERSONS, name="person"))


def compare_all(scores: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return compare(scores, HEADLINE)


def scored(path: Path, scores: pd.DataFrame, validation: str = "06") -> Path:
    """A run that was trained and scored."""
    described = {"path": "store", "spec": asdict(SPEC), "checksums": {}, "provenance": {"encoder": {}}}
    run = Run.create(path, {"settings": {"head": "linear"}, "store": described})
    for person in scores.index:
        other = validation if person != validation else "01"
        train = tuple(sorted({*PERSONS} - {person, other}))
        result = FoldResult(Fold(person, (person,), (other,), train), run.fold_path(person), 1, 0.5, ())
        run.fold_path(person).mkdir(parents=True, exist_ok=True)
        run.finish_fold(result)
    content = metrics(scores, summarise(scores, np.random.default_rng(0)))
    write_text(path / "metrics.json", json.dumps(content))
    return path


def fails(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    assert main(["compare", *map(str, paths)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_differences_are_paired_over_persons_whom_both_define() -> None:
    found = compare_all({"a": table(), "b": table(SECOND)})
    first, second = found[found["metric"] == "AUROC"].to_dict("records")
    paired = np.array([0.1, 0.15, 0.02, -0.1, 0.05])
    assert first["mean"] == pytest.approx(0.7)
    assert second["mean"] == pytest.approx(np.mean(SECOND))
    assert second["difference"] == pytest.approx(paired.mean())
    assert second["persons"] == 5
    assert second["p"] == pytest.approx(wilcoxon(paired).pvalue)
    assert paired.min() < second["low"] < paired.mean() < second["high"] < paired.max()
    assert math.isnan(first["difference"])


def test_an_interval_does_not_depend_on_the_other_runs() -> None:
    few = compare_all({"a": table(), "b": table(SECOND)})
    many = compare_all({"a": table(), "c": table(SECOND[::-1]), "b": table(SECOND)})
    pd.testing.assert_frame_equal(few, many[many["run"] != "c"].reset_index(drop=True))


def test_no_difference_has_no_p() -> None:
    found = compare_all({"a": table(), "b": table()})
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
    assert "False alarms are counts: 0.1 h of background: too little for a rate, which needs 24 h." in out
    folder = tmp_path / "a" / "comparison" / "a-b-c"
    assert {path.name for path in folder.iterdir()} == {
        *(f"comparison.{kind}" for kind in ("json", "csv", "svg", "png")),
        *(f"table.{kind}" for kind in ("md", "tex", "csv")),
    }
    assert len(pd.read_csv(folder / "comparison.csv")) == 3 * len(HEADLINE)
    assert (folder / "table.md").read_text().splitlines()[0].startswith("| metric | run | mean | difference |")


def test_what_weakens_scores_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [scored(tmp_path / name, table().head(4).assign(**{"sample.fp_per_day": 0.0})) for name in ("a", "b")]
    config = json.loads((runs[1] / "config.json").read_text())
    config["store"]["provenance"] = {"encoder": {"persons_seen": ["02"]}}
    (runs[1] / "config.json").write_text(json.dumps(config))
    assert main(["compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert out.count("warning: only 4 tested persons: means and intervals say little about new persons\n") == 1
    assert "warning: b: the encoder saw persons of these names in pretraining: 02; if they" in out
    for run in runs:
        scored(run, table().head(4).assign(**{"sample.fp_per_day": 80_000.0}))
    assert main(["compare", *map(str, runs)]) == 0
    assert (
        "warning: detections cover more than half of the background of persons 01, 02" in capsys.readouterr().out
    )


def test_a_person_seen_in_pretraining_is_named_without_labels_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [scored(tmp_path / name, table()) for name in ("a", "b")]
    for run in runs:
        metrics, config = (json.loads((run / name).read_text()) for name in ("metrics.json", "config.json"))
        del metrics["persons"]["02"]
        metrics["time_in_alarm"] = {"02": {"recordings": 1, "hours": 1.0, "alarmed": 0.5}}
        config["store"]["provenance"] = {"encoder": {"persons_seen": ["02"]}}
        for name, content in (("metrics.json", metrics), ("config.json", config)):
            (run / name).write_text(json.dumps(content))
    assert main(["compare", *map(str, runs)]) == 0
    assert "warning: the encoder saw persons of these names in pretraining: 02; if" in capsys.readouterr().out


def test_false_alarms_are_compared_as_rates_only_where_background_suffices() -> None:
    assert choose_metrics(table(seconds=100))["false alarms"] == "event.fp"
    assert choose_metrics(table(seconds=5 * 3600)) == HEADLINE


def test_earlier_comparisons_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, third = (
        scored(tmp_path / name, table(v)) for name, v in (("a", FIRST), ("b", SECOND), ("c", FIRST))
    )
    earlier = one / "comparison" / "comparison.csv"
    write_text(earlier, "of the first version")
    for runs in ((one, other), (one, third), (one, other)):
        assert main(["compare", *map(str, runs)]) == 0
    assert {path.name for path in (one / "comparison").iterdir()} == {"comparison.csv", "a-b", "a-c"}
    assert earlier.read_text() == "of the first version"
    before = (one / "comparison" / "a-b" / "comparison.csv").read_bytes()
    scored(tmp_path / "b", table(FIRST))
    assert main(["compare", str(one), str(other)]) == 0
    assert (one / "comparison" / "a-b" / "comparison.csv").read_bytes() == before
    assert (one / "comparison" / "a-b-2" / "comparison.csv").read_bytes() != before


def test_a_folder_that_holds_another_comparison_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, third = (scored(tmp_path / name, table()) for name in "abc")
    out = ("--out", str(tmp_path / "out"))
    for _ in range(2):
        assert main(["compare", str(one), str(other), *out]) == 0
    assert f"{tmp_path / 'out'}: holds a comparison of ['{one}', '{other}']; choose" in fails(
        capsys, one, third, *map(Path, out)
    )


def test_a_run_that_cannot_hold_the_comparison_names_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (scored(tmp_path / name, table()) for name in "ab")
    (one / "comparison").write_text("")
    assert f"{one / 'comparison'}" in (line := fails(capsys, one, other))
    assert line.endswith("(--out)")


def test_runs_that_test_other_persons_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, part = scored(tmp_path / "a", table()), scored(tmp_path / "c", table().drop("06"))
    assert f"{part}: persons 06 are tested either here or in {one}, not in both;" in fails(capsys, one, part)


def test_what_else_differs_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table(), validation="05")
    config = json.loads((other / "config.json").read_text())
    config["settings"]["head"] = "spatial-fusion"
    config["settings"]["lr"] = config["settings"]["epochs"] = 1
    (other / "config.json").write_text(json.dumps(config))
    assert main(["compare", str(one), str(other)]) == 0
    out = capsys.readouterr().out
    assert "b differs: head is 'spatial-fusion', not 'linear'" in out
    assert "b differs: only b has settings epochs, lr\n" in out
    assert "b differs: other persons train or validate in folds 01, 02, 03, 04, 05, 06" in out


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON ("),
        (b"\xff", "not valid JSON ("),
        (b"[" * 100_000, "not valid JSON ("),
        (b"[]", "holds a list, expected a JSON object"),
        (b'{"persons": []}', "damaged (AttributeError"),
        (b'{"persons": {"01": {"auroc": "high"}}}', "damaged (ValueError"),
        (b'{"persons": {"01": {"auroc": 0.5}}}', "damaged (KeyError"),
    ],
)
def test_damaged_scores_are_one_line(
    tmp_path: Path, content: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table())
    (other / "metrics.json").write_bytes(content)
    assert f"{other / 'metrics.json'}: {reason}" in fails(capsys, one, other)


def test_runs_on_other_recordings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table(seconds=99))
    assert "persons have other seconds or seizures" in fails(capsys, one, other)


def test_one_run_is_too_few_and_one_named_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = scored(tmp_path / "a", table())
    assert "1 run given; name two or more" in fails(capsys, one)
    monkeypatch.chdir(tmp_path)
    assert f"{one}, a: the same run; name each run once" in fails(capsys, one, Path("a"))


def test_runs_of_the_same_name_are_told_apart_by_the_folders_above(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of a study, whose runs of several seeds are all in a folder of that name."""
    runs = [scored(tmp_path / name / "seeds-0-1", table()) for name in ("random", "braincodec")]
    assert main(["compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "differences are from random\n" in out
    (folder,) = (runs[0] / "comparison").iterdir()
    assert folder.name == "random-braincodec"
    names = pd.read_csv(folder / "comparison.csv")["run"]
    assert {*names} == {"random", "braincodec"}


def test_scores_must_be_there_and_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = scored(tmp_path / "a", table()), scored(tmp_path / "b", table())
    (other / "folds" / "06" / "fold.json").unlink()
    assert "metrics.json: only the scores or only the folds have person 06;" in fails(capsys, other, one)
    (other / "metrics.json").unlink()
    assert f"metrics.json: not scored yet; run: python -m eval {other}" in fails(capsys, one, other)
