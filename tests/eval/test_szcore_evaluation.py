"""The files that eval writes, scored from outside as szcore-evaluation does: our figures, also with ``--on``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

import store
from eval.__main__ import main
from heads.train import main as train
from tests.helpers.stores import write_subject

QUICK = ("--epochs", "3", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu")
RATES = {"sensitivity": "sensitivity", "precision": "precision", "f1": "f1", "fp_per_day": "fpRate"}


def write_references(folder: Path, path: Path) -> None:
    """Annotations of a store's recordings as a BIDS data set holds them."""
    columns = ["onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration"]
    for info in store.open(path).recordings:
        rows = [(event.onset_s, event.duration_s, event.kind) for event in info.events]
        rows = rows or [(0.0, info.duration_s, "bckg")]
        table = pd.DataFrame([(*row, "n/a", "n/a", "2000-01-01 00:00:00", info.duration_s) for row in rows])
        target = folder / f"{info.relative_stem}_events.tsv"
        target.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(target, sep="\t", header=columns, index=False)


def read_annotation(path: Path) -> Annotation:
    """Seconds of an events file that are seizure."""
    table = pd.read_table(path)
    mask = np.zeros(round(table["recordingDuration"][0]), bool)
    for row in table[table["eventType"].str.startswith("sz")].itertuples():
        mask[round(row.onset) : round(row.onset + row.duration)] = True
    return Annotation(mask, 1)


def score_outside(references: Path, predictions: Path) -> dict[str, dict[str, float]]:
    """Mean and deviation over subjects of rates from counts added up over a subject's recordings."""
    rows = []
    for subject in sorted(references.glob("sub-*")):
        scores = []
        for path in sorted(subject.rglob("*.tsv")):
            pair = read_annotation(path), read_annotation(predictions / path.relative_to(references))
            scores.append((EventScoring(*pair), SampleScoring(*pair)))
        row = {}
        for group, own in zip(("event", "sample"), zip(*scores, strict=True), strict=True):
            total = own[0]
            for name in ("tp", "fp", "refTrue", "numSamples"):
                setattr(total, name, sum(getattr(score, name) for score in own))
            total.computeScores()
            row |= {f"{group}.{ours}": getattr(total, theirs) for ours, theirs in RATES.items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    return {"mean": table.mean().to_dict(), "sd": table.std(ddof=1).to_dict()}


def score_by_szcore_evaluation(references: Path, predictions: Path, out: Path) -> dict[str, dict[str, float]]:
    evaluate = pytest.importorskip("szcore_evaluation.evaluate", reason="the extra oracle, from Python 3.12 on")
    found = evaluate.evaluate_dataset(references, predictions, out)
    return {
        row: {
            f"{group}.{ours}": found[f"{group}_results"][f"{theirs}{suffix}"]
            for group in ("event", "sample")
            for ours, theirs in RATES.items()
        }
        for row, suffix in (("mean", ""), ("sd", "_std"))
    }


def ours(folder: Path) -> dict[str, dict[str, float]]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return {
        row: {f"{group}.{name}": content[row][group][name] for group in ("event", "sample") for name in RATES}
        for row in ("mean", "sd", "defined")
    }


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Folders of scores with their references: a run, its final head on other data, a fold's head there."""
    root = tmp_path_factory.mktemp("szcore")
    for number in range(4):
        write_subject(root / "train", f"{number + 1:02}", (400, 300), number, signal=0.6)
        write_subject(root / "other", f"{number + 11}", (500, 260), 10 + number, signal=0.5)
    for fold in ("all", "final"):
        arguments = ("--store", str(root / "train"), "--fold", fold, "--out", str(root / "run"), *QUICK)
        assert train(arguments) == 0
    assert main([str(root / "run"), "--no-report"]) == 0
    for fold in ("final", "all"):
        arguments = ("--on", str(root / "other"), "--fold", fold, "--out", str(root / f"on-{fold}"), "--no-report")
        assert main([str(root / "run"), *arguments]) == 0
    for name in ("train", "other"):
        write_references(root / f"{name}-references", root / name)
    folders = {"run": ("run", "train"), "final": ("on-final", "other"), "head 02": ("on-all/heads/02", "other")}
    return {key: (root / path, root / f"{name}-references") for key, (path, name) in folders.items()}


@pytest.mark.parametrize("key", ["run", "final", "head 02"])
def test_scores_of_the_files_are_our_scores(scored: dict[str, tuple[Path, Path]], key: str) -> None:
    folder, references = scored[key]
    found, wanted = ours(folder), score_outside(references, folder / "predictions")
    assert 0 < found["mean"]["event.f1"] < 1  # neither nothing nor everything
    for row in ("mean", "sd"):
        assert found[row] == pytest.approx(wanted[row], abs=1e-9, rel=0)


@pytest.mark.parametrize("key", ["run", "final", "head 02"])
def test_scores_are_those_of_szcore_evaluation(
    scored: dict[str, tuple[Path, Path]], key: str, tmp_path: Path
) -> None:
    folder, references = scored[key]
    wanted = score_by_szcore_evaluation(references, folder / "predictions", tmp_path / "out.json")
    found = ours(folder)
    assert found["mean"] == pytest.approx(wanted["mean"], abs=1e-9, rel=0)
    for name, count in found["defined"].items():  # szcore-evaluation divides by n, not by n - 1
        assert found["sd"][name] * np.sqrt((count - 1) / count) == pytest.approx(
            wanted["sd"][name], abs=1e-9, rel=0
        )
