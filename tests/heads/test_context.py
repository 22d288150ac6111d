"""The context of a head: the seconds whose logits a prediction averages."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.special import expit

import store
from heads.models.registry import make_head
from heads.models.saved import load_head
from heads.settings import HeadSettings
from heads.sweep import main as sweep
from heads.train import TrainCommand, train
from heads.train import main as train_main
from tests.helpers.paths import DATA

SMALL = {"filters": 4, "hidden": 4, "epochs": 1, "batch_windows": 16, "inner": "one"}
GOLDEN = DATA / "golden-v1"
OLD_HEAD = GOLDEN / "train" / "folds" / "02" / "head.safetensors"


@pytest.mark.parametrize(
    ("settings", "half"), [({}, 2), ({"pooling": "max-std-electrodes", "context_s": 3}, 1), ({"context_s": 1}, 0)]
)
def test_predictions_average_logits(
    settings: dict[str, str | int], half: int, make_store: Callable[..., Path], tmp_path: Path
) -> None:
    opened = store.open(make_store(persons=3, lengths_s=(60, 41)))
    command = TrainCommand(store=(opened.path,), fold="01", out=tmp_path / "run", **{**SMALL, **settings})
    run, (result,) = train(command)
    head, _, _ = load_head(result.head_path)
    assert head.context_s == 2 * half + 1
    for info in opened.recordings:
        with torch.no_grad():
            logits = head(torch.from_numpy(opened.latents(info)).float()).numpy().ravel()[: info.seconds]
        context = [logits[max(0, second - half) : second + half + 1].mean() for second in range(info.seconds)]
        if info.person == "01":
            np.testing.assert_allclose(run.probabilities(info), expit(context), atol=1e-5)
        elif info.person in result.fold.validation:
            np.testing.assert_allclose(result.validation_probabilities()[info.name], expit(context), atol=1e-5)


def test_a_sweep_tries_several(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    small = ["--filters", "4", "--hidden", "4", "--epochs", "1", "--batch-windows", "16", "--inner", "one"]
    assert sweep(["--store", str(path), "--out", str(run), *small, "--context-s", "1", "7"]) == 0
    table = (run / "sweep.csv").read_text().splitlines()
    assert "context_s" in table[0]
    first, second = (json.loads(cells.read_text()) for cells in sorted((run / "cells").glob("*.json")))
    assert [row["history"] for row in first] == [row["history"] for row in second]  # training does not change
    assert all(one["score"] != other["score"] for one, other in zip(first, second, strict=True))


def test_a_sweep_of_before_keeps_that_of_each_pooling(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    run.mkdir()
    small = ["--filters", "4", "--hidden", "4", "--epochs", "1", "--batch-windows", "16", "--inner", "one"]
    command = ["--store", str(path), *small, "--pooling", "max", "max-std-electrodes"]
    assert sweep([*command, "--out", str(tmp_path / "today")]) == 0
    config = json.loads((tmp_path / "today" / "config.json").read_text())
    del config["settings"]["context_s"]
    (run / "config.json").write_text(json.dumps(config))
    capsys.readouterr()
    assert sweep([*command, "--out", str(run)]) == 0
    assert "started before --context-s existed; its heads keep their context" in capsys.readouterr().out
    for fold in ("01", "02", "03"):
        file = run / "folds" / fold / "head.safetensors"
        with safe_open(file, "pt") as opened:
            content = json.loads(opened.metadata()["braincodec_seizure"])
        pooling = json.loads(content["settings"])["pooling"]
        assert load_head(file)[0].context_s == (1 if pooling == "max" else 5)
    for row in (row for cells in (run / "cells").glob("*.json") for row in json.loads(cells.read_text())):
        assert (
            row["score"] == row["history"][row["best_epoch"] - 1]["validation_auroc"]
        )  # as rows of before have it
    rows = [line.split(",") for line in (run / "sweep.csv").read_text().splitlines()]
    assert {row[rows[0].index("pooling")] for row in rows[1:]} == {"max", "max-std-electrodes"}


def test_heads_of_before_keep_theirs(tmp_path: Path) -> None:
    assert load_head(OLD_HEAD)[0].context_s == 1
    pooled = make_head(HeadSettings(head="pooled-linear"), (4, 18, 6), 4, seed=0)
    state = {**pooled.state_dict(), "smoothing_s": torch.tensor(5)}
    save_file(state, tmp_path / "head.safetensors", _metadata(head="pooled-linear"))
    assert load_head(tmp_path / "head.safetensors")[0].context_s == 5


def test_a_run_of_before_refuses_another(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((GOLDEN / "train" / "config.json").read_bytes())
    given = ["--store", str(GOLDEN / "bandpower"), "--fold", "all", "--out", str(run), "--context-s", "3"]
    assert train_main(given) == 2
    assert "settings.context_s is 1, wanted 3" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "4"])
def test_it_is_odd(
    value: str, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command = ["--store", str(make_store(persons=3)), "--fold", "01", "--out", str(tmp_path / "run")]
    assert train_main([*command, "--context-s", value]) == 2
    assert f"--context-s {value}: not usable; allowed: odd numbers from 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def _metadata(**changes: object) -> dict[str, str]:
    """Metadata of the golden head, with other settings."""
    with safe_open(OLD_HEAD, "pt") as file:
        metadata: dict[str, str] = file.metadata()
    return {**metadata, "settings": json.dumps({**json.loads(metadata["settings"]), **changes})}
