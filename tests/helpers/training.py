"""Trainings of small stores, and what two of them have in common."""

from pathlib import Path

import torch

import store
from heads.dataset import StoreDataset
from heads.folds import Inner, make_folds
from heads.settings import TrainSettings
from heads.training.stacked import train_stacked
from heads.training.trials import Trial, TrialResult

INNER: tuple[Inner, ...] = ("one", 2, "pairs")
CPU = torch.device("cpu")
SETTINGS = TrainSettings(
    filters=6,
    hidden=7,
    dropout=0.3,
    epochs=3,
    batch_windows=16,
    lr=3e-3,
    background_per_seizure=2.0,
    precision="float32",
)


def train(
    path: Path, settings: TrainSettings, tmp_path: Path, selection: str = "all", inner: Inner = "one"
) -> list[TrialResult]:
    dataset = StoreDataset(store.open(path))
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), selection, inner)]
    checkpoint = tmp_path / f"{settings.head}-{selection}.pt"
    checkpoint.unlink(missing_ok=True)
    return train_stacked(trials, dataset, CPU, checkpoint)


def assert_same(one: TrialResult, two: TrialResult, rtol: float, atol: float) -> None:
    for name, value in one.head.state_dict().items():
        torch.testing.assert_close(value, two.head.state_dict()[name], rtol=rtol, atol=atol, msg=name)


def assert_chose_the_same(one: TrialResult, two: TrialResult) -> None:
    """Weights, normalisation, epoch, threshold and what post-processing is chosen on, to the last bit."""
    assert_same(one, two, rtol=0, atol=0)
    assert (one.best_epoch, one.threshold, one.history) == (two.best_epoch, two.threshold, two.history)
    assert one.validation is not None
    assert two.validation is not None
    assert {name: value.tobytes() for name, value in one.validation.items()} == {
        name: value.tobytes() for name, value in two.validation.items()
    }
