"""Sweeps: nested, resumable, equal however they are spread; and heads that users add."""

import dataclasses
import importlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import heads.sweep
import heads.training.finish
import store
from eval.__main__ import main as evaluate
from heads.dataset import StoreDataset
from heads.folds import Inner, make_folds
from heads.inference import best_threshold
from heads.models.head import Head
from heads.models.registry import HEADS
from heads.models.saved import load_head
from heads.settings import HeadSettings, TrainSettings
from heads.sweep import SweepCommand, combinations, main, sweep
from heads.training.groups import _head_bytes, split_groups
from heads.training.plan import StackPlan
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.writer import write_file
from tests.helpers.stores import SPEC, recording, write_subject
from tests.helpers.sweeps import GRID, contents


def test_every_fold_takes_the_best_setting_of_its_own_validation_persons(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    run, table = sweep(SweepCommand(store=(make_store(persons=4),), out=tmp_path / "run", **GRID))
    assert len(table) == 4
    assert table["validation_auroc"].is_monotonic_decreasing
    assert table["folds_choosing"].sum() == 4
    cells = [row for path in (tmp_path / "run" / "cells").glob("*.json") for row in json.loads(path.read_text())]
    assert len(cells) == 4 * 4 * 2
    for result in run.folds:
        assert max(entry["validation_auroc"] for entry in result.history) == pytest.approx(
            result.history[result.best_epoch - 1]["validation_auroc"]
        )
        assert load_head(result.head_path)[2] == pytest.approx(result.threshold)
    for info in run.open_store().recordings:
        assert len(run.probabilities(info)) == info.seconds


@pytest.mark.parametrize("inner", ["one", 2, "pairs"])
def test_features_of_the_tested_person_choose_nothing(tmp_path: Path, inner: Inner) -> None:
    """Setting, epoch, threshold, post-processing, normalisation: the same files to the last bit."""
    runs = []
    for folder, signal in (("a", 1.5), ("b", 40.0)):
        for number, person in enumerate(("01", "02", "03", "04")):
            write_subject(tmp_path / folder, person, (80,), number, signal if person == "02" else 1.5)
        command = SweepCommand(store=(tmp_path / folder,), out=tmp_path / f"run-{folder}", inner=inner, **GRID)
        runs.append(sweep(command)[0])
        assert evaluate([str(runs[-1].path), "--no-report"]) == 0
    one, two = (contents(run) for run in runs)
    assert {"fold.json", "validation.npz", "postprocessing.json"} == {
        Path(name).name for name in one if name.startswith("folds/02/")
    }
    assert one["02"] == two["02"]  # the head, with its normalisation
    for name in one:
        if name.startswith("folds/02/"):
            assert one[name] == two[name], name
    assert one["folds/03/fold.json"] != two["folds/03/fold.json"]


def test_inner_predictions_of_the_chosen_setting_are_kept(make_store: Callable[..., Path], tmp_path: Path) -> None:
    """As if the folds were trained with that setting and seed alone."""
    path = make_store(persons=4, lengths_s=(60,))
    run, _ = sweep(SweepCommand(store=(path,), out=tmp_path / "run", inner="pairs", **GRID))
    dataset = StoreDataset(store.open(path))
    cells = [row for file in (tmp_path / "run" / "cells").glob("*.json") for row in json.loads(file.read_text())]
    for result in run.folds:
        (row,) = (row for row in cells if row["history"] == list(result.history) and row["head_prefix"])
        assert row["threshold"] == result.threshold
        labels, values = [], []
        for person in result.fold.validation:
            for info, _ in dataset.recordings_of(person):
                labels.append(dataset.labels_of(info))
                values.append(result.validation_probabilities()[info.name])
        assert best_threshold(np.concatenate(labels), np.concatenate(values)) == result.threshold


@pytest.fixture(params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of a sweep on a cluster."""
    if request.param == "ray":
        return {"backend": "ray", "address": request.getfixturevalue("ray_address")}
    return {"backend": "dask", "scheduler": request.getfixturevalue("dask_cluster").scheduler_address}


def test_workers_change_nothing(make_store: Callable[..., Path], tmp_path: Path, cluster: dict[str, str]) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    one, _ = sweep(SweepCommand(store=(path,), out=tmp_path / "one", **GRID))
    two, _ = sweep(SweepCommand(store=(path,), out=tmp_path / "two", **cluster, **GRID))
    assert contents(one) == contents(two)


def test_workers_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", "s", "--out", str(tmp_path / "run"), "--address", "auto"]) == 2
    assert "--address auto: goes with --backend ray, not with loky" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_failed_settings_are_counted_and_not_chosen(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    command = SweepCommand(store=(path,), out=tmp_path / "run", **GRID | {"lr": (1e-2, 1e30), "hidden": (4,)})
    run, table = sweep(command)
    assert capsys.readouterr().out == ""
    heads.sweep._run(command)
    out = capsys.readouterr().out
    assert out.startswith(f"nothing to train: all of the heads are in {tmp_path / 'run'}\n")
    assert "\nfailed: 6 trainings diverged and have no score; try a lower lr\n" in out
    assert table["failed"].tolist() == [0, 6]
    assert table["folds_choosing"].tolist() == [3, 0]
    assert len(run.folds) == 3
    with pytest.raises(ValueError, match=r"fold 01: every setting failed; the first: training diverged in epoch"):
        sweep(SweepCommand(store=(path,), out=tmp_path / "none", **GRID | {"lr": (1e30,)}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--random", "9", "--lr", "1e-3", "1e-4"], "--random 9: the values make 2 combinations; choose 1 to 2"),
        (["--random", "0"], "--random 0: the values make 1 combination; give more values, or leave it out"),
        (["--hidden"], "--hidden: no value to try; give one or more, or leave it out"),
        (["--seed"], "--seed: no value to try; give one or more, or leave it out"),
        (["--lr", "0"], "--lr 0.0: not usable; allowed: more than 0, finite"),
        (["--lr", "inf"], "--lr inf: not usable; allowed: more than 0, finite"),
        (
            ["--background-per-seizure", "inf"],
            "--background-per-seizure inf: not usable; allowed: more than 0, finite, or none",
        ),
        (["--lr", "1e-3", "0.001"], "--lr 0.001 0.001: give each value once"),
        (["--seed", "0", "1", "0"], "--seed 0 1 0: give each value once"),
        (["--epochs", "0"], "--epochs 0: not usable; allowed: 1 and more"),
        (["--weight-decay", "-1"], "--weight-decay -1.0: not usable; allowed: 0 and more, finite"),
        (["--seed", "-1"], "--seed -1: not usable; allowed: 0 to 4294967295"),
        (["--seed", "4294967296"], "--seed 4294967296: not usable; allowed: 0 to 4294967295"),
        (["--inner", "50"], "--inner 50: fold 01 has 2 persons to choose; allowed: 2 to 2 groups, pairs, one"),
        (
            ["--head", "cubic"],
            "head 'cubic' is unknown; allowed: spatial-fusion, linear, pooled-linear, or package.module:Name",
        ),
    ],
)
def test_values_that_cannot_be_tried(
    make_store: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["--store", str(make_store(persons=3)), "--out", str(tmp_path / "run"), *arguments]) == 2
    assert capsys.readouterr().err == f"python -m heads.sweep: error: {message}\n"
    assert not (tmp_path / "run").exists()


def test_unknown_settings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--pooling", "median"], ["--depth", "3"]):
        assert main(["--store", "s", "--out", "o", *wrong]) == 2
        assert wrong[0] in capsys.readouterr().err


def test_random_combinations_are_distinct_and_repeat() -> None:
    grid = {"lr": (1e-1, 1e-2, 1e-3), "hidden": (1, 2, 3, 4)}
    some = combinations(grid, 5)
    assert some == combinations(grid, 5)
    assert len(set(some)) == 5
    assert set(some) < set(combinations(grid, None))


def test_groups_are_alike_and_fit_the_memory(make_store: Callable[..., Path]) -> None:
    dataset = StoreDataset(store.open(make_store(persons=4)))
    settings = [TrainSettings(hidden=hidden, lr=lr) for hidden in (8, 16) for lr in (1e-3, 1e-4)]
    trials = [Trial(fold, one) for one in settings for fold in make_folds(dataset.label_counts(), "all")]
    assert [len(group) for group in split_groups(trials, dataset)] == [8, 8]
    for group in split_groups(trials, dataset, limit_bytes=4_000_000):
        assert 1 <= len(group) < 8
        assert len({trial.settings.hidden for trial in group}) == 1
    assert {len(group) for group in split_groups(trials, dataset, together=2, limit_bytes=1)} == {2}
    found = [trial for group in split_groups(trials, dataset, limit_bytes=1) for trial in group]
    assert found == trials


@pytest.mark.parametrize("inner", ["one", 2, "pairs"])
@pytest.mark.parametrize("most_heads", [1, 5, 9, 30])
def test_a_group_has_all_heads_that_fit(make_store: Callable[..., Path], inner: Inner, most_heads: int) -> None:
    """Inner heads that folds share count once, predictions for each fold; one trial more would be too many."""
    dataset = StoreDataset(store.open(make_store(persons=5)))
    settings = [TrainSettings(lr=lr) for lr in (1e-3, 1e-4)]
    trials = [Trial(fold, one) for one in settings for fold in make_folds(dataset.label_counts(), "all", inner)]
    head_bytes = _head_bytes(trials[0], dataset)
    limit = most_heads * head_bytes
    seconds = {person: counts.ictal + counts.background for person, counts in dataset.label_counts().items()}

    def needed(group: list[Trial]) -> int:
        predicted = sum(seconds[person] for trial in group for person in trial.fold.validation)
        return len(StackPlan(group).heads) * head_bytes + 4 * predicted

    groups = split_groups(trials, dataset, limit_bytes=limit)
    assert [trial for group in groups for trial in group] == trials
    for group, following in itertools.zip_longest(groups, groups[1:], fillvalue=[]):
        assert len(group) == 1 or needed(group) <= limit
        assert not following or needed([*group, following[0]]) > limit


def test_predictions_of_long_recordings_count_too(make_store: Callable[..., Path]) -> None:
    """Small heads would otherwise all train together, and keep more predictions than fit."""
    length_s = 6000
    dataset = StoreDataset(store.open(make_store(persons=3, lengths_s=(length_s,))))
    settings = [TrainSettings(head="linear", batch_windows=1, lr=1e-3 / number) for number in range(1, 5)]
    trials = [Trial(fold, one) for one in settings for fold in make_folds(dataset.label_counts(), "all", 2)]
    predicted_bytes, head_bytes = 4 * 2 * length_s, _head_bytes(trials[0], dataset)
    six, seven = (len(StackPlan(trials[:count]).heads) * head_bytes for count in (6, 7))
    assert seven < six + 6 * predicted_bytes  # so heads alone would not end the group
    (group, *_) = split_groups(trials, dataset, limit_bytes=six + 6 * predicted_bytes)
    assert len(group) == 6


def test_a_split_group_trains_the_same_heads(make_store: Callable[..., Path], tmp_path: Path) -> None:
    dataset = StoreDataset(store.open(make_store(persons=4, lengths_s=(60,))))
    settings = TrainSettings(filters=4, hidden=4, epochs=2, batch_windows=16, precision="float32")
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all")]
    together = train_stacked(trials, dataset, torch.device("cpu"), tmp_path / "all.pt")
    for number, group in enumerate(split_groups(trials, dataset, limit_bytes=1)):
        (alone,) = train_stacked(group, dataset, torch.device("cpu"), tmp_path / f"{number}.pt")
        for name, value in together[number].head.state_dict().items():
            torch.testing.assert_close(value, alone.head.state_dict()[name], rtol=1e-4, atol=1e-5)


class _AverageHead(Head):
    """A head as a user would add it: it knows nothing of trials."""

    def __init__(self, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds)
        self.out = nn.Linear(shape[1] * shape[2], 1)

    def forward(self, features: Tensor, dropout_uniforms: Tensor | None = None) -> Tensor:
        standard = ((features - self.mean) * self.scale).unflatten(1, (self.seconds, -1))
        return self.out(standard.mean(2).flatten(2))[..., 0]


def test_a_new_head_trains_fused_with_one_line_in_the_registry(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HEADS, "average", _AverageHead)
    dataset = StoreDataset(store.open(make_store(persons=4, signal=3.0)))
    settings = TrainSettings(head="average", epochs=6, batch_windows=16, lr=3e-2)
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all")]
    together = train_stacked(trials, dataset, torch.device("cpu"), tmp_path / "all.pt")
    assert min(one.score for one in together) > 0.9
    (alone,) = train_stacked(trials[2:3], dataset, torch.device("cpu"), tmp_path / "alone.pt")
    torch.testing.assert_close(together[2].head.out.weight, alone.head.out.weight, rtol=1e-4, atol=1e-5)


def test_labels_without_relation_to_the_features_give_chance(tmp_path: Path) -> None:
    """Mean test AUROC is 0.5 within its interval over persons."""
    rng = np.random.default_rng(0)
    for number in range(6):
        info = recording(0, 320, f"{number + 1:02}")
        labels = (rng.random(320) < 0.3).astype(np.uint8)
        path = tmp_path / "store" / f"sub-{info.person}.h5"
        provenance = {"encoder": {"name": "random"}, "versions": {}}
        write_file(path, SPEC, [info], labels, iter([rng.normal(size=(80, *SPEC.shape))]), provenance)
    run, _ = sweep(SweepCommand(store=(tmp_path / "store",), out=tmp_path / "run", **GRID | {"hidden": (4,)}))
    opened = run.open_store()
    scores = np.array([roc_auc_score(opened.labels(i), run.probabilities(i)) for i in opened.recordings])
    assert abs(scores.mean() - 0.5) < 2.6 * scores.std(ddof=1) / np.sqrt(len(scores))


@pytest.mark.parametrize("module", ["train", "sweep", "probe"])
def test_help_shows_an_example_and_where_to_start(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"heads.{module}").main(["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"Example: python -m heads.{module} --store store" in text
    assert text.index("--store STORE") < text.index("--out RUN") < text.index("--retrain")
    if module == "sweep":
        assert text.count("(several values: try each)") == len(dataclasses.fields(TrainSettings))
        assert "Learning rate of AdamW. (several values: try each)" in text
