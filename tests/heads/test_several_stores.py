"""Heads trained on several stores: the whole way, and that joining changes nothing else."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.__main__ import main as evaluate
from heads.models.saved import load_head
from heads.probe import main as probe
from heads.run_folder import Run
from heads.sweep import main as sweep
from heads.train import main as train
from store.runtime.errors import UserError
from tests.helpers.scored import make_results
from tests.helpers.stores import write_subject

QUICK = ["--epochs", "2", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu"]


@pytest.fixture
def stores(tmp_path: Path) -> list[str]:
    """Two data sets whose persons have the same names."""
    for number in range(3):
        write_subject(tmp_path / "chb", f"{number + 1:02}", (120, 90), number, dataset="CHB-MIT")
        write_subject(tmp_path / "siena", f"{number + 1:02}", (120,), 10 + number, dataset="Siena")
    return [str(tmp_path / "chb"), str(tmp_path / "siena")]


def test_the_whole_way_on_two_data_sets(
    stores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(["--store", *stores, "--fold", "all", "--out", str(run), *QUICK]) == 0
    assert train(["--store", *stores, "--fold", "final", "--out", str(run), *QUICK]) == 0
    persons = [f"{name}_{number:02}" for name in ("chb", "siena") for number in (1, 2, 3)]
    assert [result.fold.name for result in Run.open(run).folds] == [*persons[:3], "final", *persons[3:]]
    assert evaluate([str(run)]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["persons"]) == persons
    assert metrics["persons"]["siena_01"]["seconds"] == 120
    events = sorted(path.relative_to(run / "predictions") for path in (run / "predictions").rglob("*_events.tsv"))
    assert len(events) == 9
    assert events[-1].as_posix() == ("siena/sub-03/ses-01/eeg/sub-03_ses-01_task-szMonitoring_run-00_events.tsv")
    other = tmp_path / "linear"
    assert train(["--store", *stores, "--fold", "all", "--head", "linear", "--out", str(other), *QUICK]) == 0
    assert evaluate([str(other), "--no-report"]) == 0
    capsys.readouterr()
    assert evaluate(["compare", str(run), str(other)]) == 0
    out = capsys.readouterr().out
    assert "6 persons; differences are from run" in out
    assert "differs: settings" not in out


def test_training_persons_are_those_of_their_data_set(
    stores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train(["--store", *stores, "--fold", "final", "--out", str(run), *QUICK]) == 0
    assert evaluate([str(run)]) == 0
    write_subject(tmp_path / "other", "01", (90,), 20, dataset="SeizeIT2")
    assert evaluate([str(run), "--on", str(tmp_path / "other"), "--out", str(tmp_path / "a"), "--no-report"]) == 0
    write_subject(tmp_path / "more", "03", (90,), 21, dataset="Siena scalp EEG")
    assert evaluate([str(run), "--on", str(tmp_path / "more"), "--out", str(tmp_path / "b")]) == 2
    assert "holds training person 03 of" in capsys.readouterr().err


def test_a_store_in_two_parts_trains_the_same_heads(tmp_path: Path) -> None:
    """Bit for bit: parts of one data set keep names, persons and order."""
    for number in range(4):
        write_subject(tmp_path / "whole", f"{number + 1:02}", (120, 90), number, dataset="CHB-MIT")
    for number, part in enumerate(["a", "a", "b", "b"]):
        name = f"sub-{number + 1:02}.h5"
        (tmp_path / part).mkdir(exist_ok=True)
        shutil.copy(tmp_path / "whole" / name, tmp_path / part / name)
    runs = []
    for name, parts in {"one": ["whole"], "two": ["a", "b"]}.items():
        runs.append(tmp_path / name)
        arguments = ["--store", *(str(tmp_path / part) for part in parts), "--fold", "all", "--out", str(runs[-1])]
        assert train([*arguments, *QUICK]) == 0
    for person in ("01", "02", "03", "04"):
        one, two = (load_head(run / "folds" / person / "head.safetensors")[0].state_dict() for run in runs)
        assert all(one[name].equal(two[name]) for name in one)
    one, two = (sorted((run / "predictions").rglob("*.npy")) for run in runs)
    assert [path.relative_to(runs[0]) for path in one] == [path.relative_to(runs[1]) for path in two]
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(np.load(first), np.load(second))


def test_a_run_knows_its_stores_and_follows_them(
    stores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["--store", *stores, "--fold", "all", "--out", str(run), *QUICK]
    assert train(arguments) == 0
    recorded = json.loads((run / "config.json").read_text())["store"]
    assert recorded["members"] == [
        {"name": name, "path": path} for name, path in zip(("chb", "siena"), stores, strict=True)
    ]
    assert recorded["persons"]["siena_02"] == {"dataset": "Siena", "person": "02"}
    assert recorded["datasets"] == ["CHB-MIT", "Siena"]
    moved = [str(shutil.move(path, tmp_path / f"moved-{number}")) for number, path in enumerate(stores)]
    assert evaluate([str(run), "--no-report"]) == 2
    assert "no such store" in capsys.readouterr().err
    assert evaluate([str(run), "--no-report", "--store", moved[0]]) == 2
    assert (
        f"--store: 1 folder, the run was trained on 2 ({', '.join(stores)}); name them all, in this order"
        in capsys.readouterr().err
    )
    assert evaluate([str(run), "--no-report", "--store", *moved]) == 0
    for number, path in enumerate(stores):
        shutil.move(moved[number], path)
    write_subject(Path(stores[1]), "03", (120,), 30, dataset="Siena")
    assert train(arguments) == 2
    assert "siena/sub-03_ses-01_task-szMonitoring_run-00: features" in capsys.readouterr().err
    assert train([*arguments, "--retrain"]) == 0
    (aside,) = run.glob("folds-before-*")
    assert (aside / "folds" / "siena_03").is_dir()
    assert len(list(aside.rglob("*_probabilities.npy"))) == 9
    assert evaluate([str(run), "--no-report"]) == 0


def test_a_run_is_no_store_and_no_stranger_is_read(stores: list[str], tmp_path: Path) -> None:
    assert train(["--store", *stores, "--fold", "all", "--out", stores[1], *QUICK]) == 2
    run = tmp_path / "run"
    assert train(["--store", *stores, "--fold", "chb_01", "--out", str(run), *QUICK]) == 0
    config = json.loads((run / "config.json").read_text())
    for key, value, said in (
        ("members", [{"name": "a"}], "store.members is not a list of names and paths"),
        ("persons", {"a": 1}, "store.persons names no data sets"),
    ):
        damaged = {**config, "store": {**config["store"], key: value}}
        (run / "config.json").write_text(json.dumps(damaged))
        with pytest.raises(UserError, match=said):
            Run.open(run)


def test_persons_seen_in_pretraining_are_those_of_their_data_set() -> None:
    results = make_results({}, persons_seen=("01",))
    recorded = {
        "provenance": {"encoder": {"persons_seen": ["01"], "data": "CHB-MIT clips"}},
        "persons": {
            "chb_01": {"dataset": "CHB-MIT Scalp EEG Database", "person": "01"},
            "chb_02": {"dataset": "CHB-MIT Scalp EEG Database", "person": "02"},
            "siena_01": {"dataset": "Siena", "person": "01"},
        },
    }
    joined = replace(results, config={**results.config, "store": recorded})
    assert (results.persons_seen, joined.persons_seen) == (("01",), ("chb_01",))


def test_sweep_and_probe_take_several_stores(
    stores: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sweep(["--store", *stores, "--out", "sweep", "--lr", "1e-2", "1e-3", "--jobs", "2", *QUICK]) == 0
    assert probe(["--store", *stores]) == 0
    for run in (Run.open(Path("sweep")), Run.open(Path("runs/chb+siena-logistic"))):
        assert len(run.folds) == 6
        assert evaluate([str(run.path), "--no-report"]) == 0
    kept = [sorted(path.name for path in Path(folder, "statistics").iterdir()) for folder in stores]
    assert [len(names) for names in kept] == [3, 3]
    assert probe(["--store", stores[0], "--out", "alone"]) == 0
    assert sorted(path.name for path in Path(stores[0], "statistics").iterdir()) == kept[0]


def test_statistics_go_to_the_run_where_stores_cannot_be_written(
    stores: list[str], tmp_path: Path, make_store: Callable[..., Path]
) -> None:
    for path in stores:
        Path(path, "statistics").write_text("no folder")
    assert probe(["--store", *stores, "--out", str(tmp_path / "run")]) == 0
    assert len(list((tmp_path / "run" / "statistics").rglob("*.npy"))) == 6
