"""What a store holds of missing electrodes changes nothing, from training to predictions."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone

import store
from heads.dataset import StoreDataset
from heads.device_features import DeviceFeatures
from heads.folds import make_folds
from heads.inference import predict_windows
from heads.models.head import Head
from heads.models.registry import HEADS, make_head
from heads.probe import ProbeCommand, probe
from heads.settings import HeadSettings, TrainSettings
from heads.sklearn import LinearClassifier, SpatialFusionClassifier, load_arrays
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from tests.helpers.stores import write_subject


class Plain(Head):
    """A head of its forward alone."""

    def __init__(self, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds)
        self.out = torch.nn.Linear(shape[1] * shape[2], 1)

    def forward(self, features: torch.Tensor, dropout_uniforms: torch.Tensor | None = None) -> torch.Tensor:
        standard = ((features - self.mean) * self.scale).unflatten(1, (self.seconds, -1)).mean(2)
        logits: torch.Tensor = self.out(standard.flatten(2))[..., 0]
        return logits


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Two stores that differ in what their missing electrodes hold."""
    paths = []
    for masked in (0.0, 50.0):
        path = tmp_path / f"store-{masked:g}"
        for number, mask in enumerate(
            ([True, False, True], [True, True, True], [False, True, True], [True, True, True])
        ):
            write_subject(path, f"{number + 1:02}", (80,), number, mask=mask, masked=masked)
        paths.append(path)
    return paths


@pytest.mark.parametrize("head", [*HEADS, f"{__name__}:Plain"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_and_predictions(stores: list[Path], tmp_path: Path, head: str, precision: str) -> None:
    trained = []
    for number, path in enumerate(stores):
        dataset = StoreDataset(store.open(path))
        settings = TrainSettings(head=head, filters=6, hidden=7, epochs=2, batch_windows=16, precision=precision)
        trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all", "pairs")]
        trained.append(train_stacked(trials, dataset, torch.device("cpu"), tmp_path / f"{number}.pt"))
    for one, two in zip(*trained, strict=True):
        assert one.history == two.history
        for name, values in one.validation.items():
            assert np.isfinite(values).all()
            np.testing.assert_array_equal(two.validation[name], values)


@pytest.mark.parametrize("estimator", [SpatialFusionClassifier(epochs=2, filters=6), LinearClassifier(epochs=2)])
def test_arrays_and_estimators(stores: list[Path], estimator: Any) -> None:
    """They are nan in arrays and single windows, and estimators take nan for the training mean."""
    one, two = (StoreDataset(store.open(path)) for path in stores)
    x, y, person = load_arrays(one)
    np.testing.assert_array_equal(load_arrays(two)[0], x)
    np.testing.assert_array_equal(np.stack([window for window, _ in two]), x)
    assert np.isnan(x[person == "01"]).all((0, 1, 3)).tolist() == [False, True, False]
    assert np.isnan(x).sum() == np.isnan(x[person == "01", :, 1]).sum() + np.isnan(x[person == "03", :, 0]).sum()
    fitted = clone(estimator).fit(x, y)
    np.testing.assert_allclose(fitted.head_.mean, np.nanmean(x, (0, 1)), atol=1e-5)
    np.testing.assert_allclose(fitted.head_.scale, 1 / np.nanstd(x, (0, 1)), rtol=1e-4)
    state = {name: value[None] for name, value in fitted.head_.state_dict().items()}
    features = DeviceFeatures(one, fitted.head_, torch.device("cpu"))
    by_store = predict_windows(fitted.head_, state, features, np.arange(len(one)))[0]
    np.testing.assert_allclose(fitted.predict_proba(x)[..., 1], by_store, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "statistics"),
    [("logistic", "pooled"), *itertools.product(("logistic", "lda", "ridge"), ("mean", "mean-std"))],
)
def test_probes(stores: list[Path], tmp_path: Path, method: str, statistics: str) -> None:
    runs = [
        probe(
            ProbeCommand(store=(path,), out=tmp_path / f"run-{path.name}", method=method, statistics=statistics)
        )[0]
        for path in stores
    ]
    for info in store.open(stores[0]).recordings:
        values = runs[0].probabilities(info)
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(runs[1].probabilities(info), values)


def test_a_head_that_is_not_told_sees_what_is_stored(stores: list[Path]) -> None:
    class Older(Plain):
        def precompute(self, features: torch.Tensor) -> torch.Tensor:
            return features.flatten(1)

    dataset = StoreDataset(store.open(stores[1]))
    head = Older(HeadSettings(), dataset.shape, dataset.window_s)
    assert not head.leaves_out_missing
    taken = DeviceFeatures(dataset, head, torch.device("cpu")).take(np.arange(2)).view(2, *dataset.shape)
    assert (taken[:, :, 1] == 50).all()


def test_nothing_is_done_where_all_electrodes_are_present(tmp_path: Path) -> None:
    for seed, person in enumerate(("01", "02", "03")):
        write_subject(tmp_path / "store", person, (40,), seed)
    dataset = StoreDataset(store.open(tmp_path / "store"))
    head = make_head(HeadSettings(), dataset.shape, dataset.window_s, 0)
    assert DeviceFeatures(dataset, head, torch.device("cpu"))._missing is None
