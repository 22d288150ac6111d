"""The commands one after the other, as a user runs them, and the mistakes a user makes between them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import store
from eval.__main__ import main as evaluate
from extract.__main__ import main as extract
from heads.run_folder import Run
from heads.train import main as train
from store import Event
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.stores import write_subject

QUICK = ("--epochs", "2", "--filters", "4", "--hidden", "4")


def fit(path: Path, out: Path, *more: str, fold: str = "all") -> int:
    return train(["--store", str(path), "--fold", fold, "--out", str(out), *QUICK, *more])


def test_from_eeg_to_scores(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Bursts of 8-Hz rhythm stand out; every recording gets events beside its BIDS path."""
    for number in range(4):
        signal = noise_uv(60, number)
        signal[:, 20 * 64 : 40 * 64] += 200 * np.sin(np.arange(20 * 64) * 2 * np.pi * 8 / 64)
        write_recording(tmp_path / "bids", f"{number + 1:02}", 0, signal, [Event(20, 20, "sz")])
    bids, path, run = (str(tmp_path / name) for name in ("bids", "store", "run"))
    assert extract(["--bids", bids, "--store", path, "--encoder", "bandpower"]) == 0
    assert train(["--store", path, "--fold", "all", "--out", run, "--epochs", "10", "--lr", "0.01"]) == 0
    assert evaluate([run, "--no-report"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["mean"]["auroc"] > 0.95
    events = sorted(file.relative_to(tmp_path / "run" / "predictions") for file in tmp_path.rglob("run/**/*.tsv"))
    assert str(events[0]) == "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_events.tsv"
    assert len(events) == 4
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize("head", ["spatial-fusion", "linear"])
def test_predictions_cover_every_second_of_every_recording(
    make_store: Callable[..., Path], tmp_path: Path, head: str
) -> None:
    path = make_store(persons=3, lengths_s=(49, 62))
    assert fit(path, tmp_path / "run", "--head", head) == 0
    run = Run.open(tmp_path / "run")
    for info in store.open(path).recordings:
        values = run.probabilities(info)
        assert values.shape == (info.seconds,)
        assert ((values >= 0) & (values <= 1)).all()


def test_same_seed_same_predictions(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert fit(path, tmp_path / name, "--seed", seed) == 0
    info = store.open(path).recordings[0]
    a, b, c = (Run.open(tmp_path / name).probabilities(info) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_one_fold_then_the_rest_gives_the_run_of_all(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3)
    assert fit(path, tmp_path / "run", fold="02") == 0
    first = (tmp_path / "run" / "folds" / "02" / "fold.json").stat().st_mtime_ns
    assert [result.fold.name for result in Run.open(tmp_path / "run").folds] == ["02"]
    assert fit(path, tmp_path / "run") == 0
    assert [result.fold.name for result in Run.open(tmp_path / "run").folds] == ["01", "02", "03"]
    assert (tmp_path / "run" / "folds" / "02" / "fold.json").stat().st_mtime_ns == first
    assert not list((tmp_path / "run").glob("training-*"))


def test_final_trains_on_everyone(make_store: Callable[..., Path], tmp_path: Path) -> None:
    assert fit(make_store(persons=3), tmp_path / "run", fold="final") == 0
    (result,) = Run.open(tmp_path / "run").folds
    assert result.fold.test == ()
    assert result.head_path.is_file()
    assert not (tmp_path / "run" / "predictions").exists()


@pytest.mark.parametrize(
    ("persons", "fold", "message"),
    [
        (3, "07", "no person '07' in the store; allowed: all, final, 01, 02, 03"),
        (1, "all", "the store holds 1 person (01); training, validation and test need 3 or more"),
    ],
)
def test_folds_that_cannot_be(
    make_store: Callable[..., Path],
    tmp_path: Path,
    persons: int,
    fold: str,
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    assert fit(make_store(persons=persons), tmp_path / "run", fold=fold) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m heads.train: error: ")
    assert message in line
    assert not (tmp_path / "run").exists()


def test_other_settings_do_not_go_into_the_same_run(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = make_store(persons=3)
    fit(path, tmp_path / "run", fold="01")
    assert fit(path, tmp_path / "run", "--lr", "0.5") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"run: holds a run with other settings \(settings\.lr is \S+, wanted 0\.5\)", last)


def test_a_store_that_changed_since_training_is_refused(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = make_store(persons=3)
    fit(path, tmp_path / "run")
    write_subject(path, "03", (120, 90), seed=99)
    assert evaluate([str(tmp_path / "run")]) == 2
    assert "not the store that" in capsys.readouterr().err


def test_no_store_and_no_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert fit(tmp_path / "none", tmp_path / "run") == 2
    assert "none: no such store; python -m extract makes one" in capsys.readouterr().err
    assert evaluate([str(tmp_path / "run")]) == 2
    assert "no such folder; python -m heads.train makes one" in capsys.readouterr().err
