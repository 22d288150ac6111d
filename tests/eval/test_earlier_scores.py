"""Scores of heads that were trained again since, or on a store that changed since, are not read."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import eval.scoring.scored_heads
from eval.__main__ import main
from heads.train import main as train
from store.reader import open_file
from store.runtime.atomic import write_text
from store.writer import relabel_file
from tests.helpers.runs import QUICK
from tests.helpers.stores import write_subject

PERSONS = ("01", "02", "03")
CHANGED = "metrics.json: heads, post-processing, store or scoring method changed since; run: python -m eval "


def train_run(root: Path, name: str, *more: str) -> None:
    where = ("--store", str(root / "store"), "--out", str(root / name))
    for fold in ("all", "final"):
        assert train([*where, "--fold", fold, "--inner", "one", *QUICK, *more]) == 0


def score(root: Path, name: str, *more: str) -> None:
    assert main([str(root / name), "--no-report", *more]) == 0


def relabel(path: Path) -> None:
    for file in map(open_file, sorted(path.glob("*.h5"))):
        relabel_file(file.path, recordings=file.recordings, labels=np.roll(file.labels, 20))


def compare(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    """Compare runs; the error, or an empty text."""
    capsys.readouterr()
    status = main(["compare", *map(str, paths)])
    error = capsys.readouterr().err
    assert status == (2 if error else 0)
    return error


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scored runs, one of two seeds, and the scores of their final heads on the other persons."""
    root = tmp_path_factory.mktemp("scored")
    for number, person in enumerate(PERSONS):
        write_subject(root / "store", person, (60, 80), number)
        write_subject(root / "other", f"1{person}", (60, 80), 10 + number)
    for name, seeds in (("a", ("0",)), ("b", ("1", "2"))):
        train_run(root, name, "--seed", *seeds)
        score(root, name)
        score(root, name, "--on", str(root / "other"), "--out", str(root / f"{name}-on"))
    return root


@pytest.fixture
def root(scored: Path, tmp_path: Path) -> Path:
    """A copy, as of a folder that is moved, with its scores on other data."""
    for entry in scored.iterdir():
        shutil.copytree(entry, tmp_path / entry.name)
    for path in tmp_path.glob("*/config.json"):
        path.write_text(path.read_text().replace(str(scored), str(tmp_path)))
    return tmp_path


def test_scores_of_the_heads_as_they_are_are_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(capsys, root / "a", root / "b") == ""
    assert compare(capsys, root / "a-on", root / "b-on") == ""


def test_scores_of_heads_before_a_relabelling_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relabel(root / "store")
    for name, seeds in (("a", ("0",)), ("b", ("1", "2"))):
        train_run(root, name, "--seed", *seeds, "--retrain")
    assert f"{root / 'a' / CHANGED}{root / 'a'}" in compare(capsys, root / "a", root / "b")
    assert f"{root / 'a-on' / CHANGED}{root / 'a-on'}" in compare(capsys, root / "a-on", root / "b-on")
    score(root, "a")
    assert f"{root / 'b' / CHANGED}{root / 'b'}" in compare(capsys, root / "a", root / "b")
    score(root, "b")
    assert compare(capsys, root / "a", root / "b") == ""
    for name in ("a", "b"):
        score(root, name, "--on", str(root / "other"), "--out", str(root / f"{name}-on"))
    assert compare(capsys, root / "a-on", root / "b-on") == ""


@pytest.mark.parametrize(
    "changed", ["folds/02/head.safetensors", "folds/02/fold.json", "folds/02/postprocessing.json", "config.json"]
)
def test_a_changed_head_or_store_is_noticed(root: Path, capsys: pytest.CaptureFixture[str], changed: str) -> None:
    path = root / "a" / changed
    if changed == "config.json":
        config = json.loads(path.read_text())
        config["store"]["identities"]["01"] = "of other labels"
        path.write_text(json.dumps(config))
    else:
        path.write_bytes(path.read_bytes() + b" ")
    assert CHANGED in compare(capsys, root / "a", root / "b")


def test_other_post_processing_of_the_tested_head_is_noticed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "a" / "folds" / "final" / "postprocessing.json"
    write_text(path, json.dumps({**json.loads(path.read_text()), "threshold": 0.9933}))
    assert compare(capsys, root / "a", root / "b") == ""
    assert CHANGED in compare(capsys, root / "a-on", root / "b-on")


def test_scores_counted_another_way_are_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eval.scoring.scored_heads, "version", lambda package: "1000.0")
    assert CHANGED in compare(capsys, root / "a", root / "b")


def test_another_final_head_is_that_of_no_fold(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(root / "a" / "folds" / "final")
    assert compare(capsys, root / "a", root / "b") == ""
    assert CHANGED in compare(capsys, root / "a-on", root / "b-on")


def test_scores_on_other_data_are_read_when_the_run_is_not_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / "a")
    assert compare(capsys, root / "a-on", root / "b-on") == ""


@pytest.mark.parametrize("name", ["a", "a-on"])
def test_scores_of_an_earlier_version_are_read_while_no_head_is_newer(
    root: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    metrics = root / name / "metrics.json"
    content = json.loads(metrics.read_text())
    del content["scored"]
    metrics.write_text(json.dumps(content))
    other = root / name.replace("a", "b", 1)
    assert compare(capsys, root / name, other) == ""
    for head in (root / "a" / "folds").glob("*/head.safetensors"):
        os.utime(head, ns=(0, metrics.stat().st_mtime_ns + 1_000_000_000))
    assert CHANGED in compare(capsys, root / name, other)


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_marks_a_run_as_scored_is_written_last(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    written = []

    def write(path: Path, text: str) -> None:
        written.append(path.relative_to(root / name).as_posix())
        write_text(path, text)

    monkeypatch.setattr("eval.report.files.write_text", write)
    score(root, name)
    assert written[-1] == "metrics.json"
    assert "metrics.csv" in written
    assert [one for one in written if one.startswith("seed-1/")][-1:] == ["seed-1/metrics.json"] * (name == "b")
