"""Features on the device: codes looked up, what a head reduces kept, precision chosen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import heads.device_features
import store
from heads.dataset import StoreDataset
from heads.device_features import DeviceFeatures
from heads.folds import make_folds
from heads.models.registry import make_head
from heads.settings import HeadSettings, TrainSettings
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store import Event, StoreError
from store.writer import write_file
from tests.helpers.stores import SPEC, recording

CPU = torch.device("cpu")


@pytest.fixture
def codes(tmp_path: Path) -> store.Store:
    """Four persons of two quantizers with seven codes of five dims; seizures prefer the first codes."""
    spec = replace(SPEC, features="codes", dtype="uint8", dims=2)
    books = np.random.default_rng(9).normal(size=(2, 7, 5)).astype(np.float32)
    for number in range(4):
        info = recording(0, 120, f"{number + 1:02}", events=[Event(20.0, 20.0, "sz")])
        rng = np.random.default_rng(number)
        values = rng.integers(0, 7, (30, *spec.shape), np.uint8)
        values[5:10] = rng.integers(0, 3, (5, *spec.shape))
        labels = np.zeros(120, np.uint8)
        labels[20:40] = 1
        provenance = {"encoder": {"name": "random"}, "versions": {}}
        path = tmp_path / "codes" / f"sub-{info.person}.h5"
        write_file(path, spec, [info], labels, iter([values]), provenance, books)
    return store.open(tmp_path / "codes")


@pytest.mark.parametrize("name", ["spatial-fusion", "linear"])
@pytest.mark.parametrize("keep", [True, False])
def test_codes_become_the_latents_that_they_stand_for(codes: store.Store, name: str, keep: bool) -> None:
    dataset = StoreDataset(codes)
    assert dataset.shape == (8, 3, 5)
    head = make_head(HeadSettings(head=name), dataset.shape, 4, 0)
    asked = np.random.default_rng(0).permutation(len(dataset))[:50]
    latents = np.concatenate([codes.latents(info) for info in codes.recordings])
    wanted = head.precompute(torch.from_numpy(latents[asked]))
    torch.testing.assert_close(DeviceFeatures(dataset, head, CPU, keep=keep).take(asked), wanted)


def test_heads_train_on_codes(codes: store.Store, tmp_path: Path) -> None:
    dataset = StoreDataset(codes)
    settings = TrainSettings(filters=8, hidden=8, epochs=8, batch_windows=16, lr=1e-2)
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all")]
    assert min(one.score for one in train_stacked(trials, dataset, CPU, tmp_path / "group.pt")) > 0.8


@pytest.mark.parametrize("name", ["spatial-fusion", "linear"])
def test_what_is_too_large_is_made_again_each_time(
    make_store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    dataset = StoreDataset(store.open(make_store(persons=2)))
    head = make_head(HeadSettings(head=name), dataset.shape, 4, 0)
    asked = np.array([3, 40, 7])
    kept = DeviceFeatures(dataset, head, CPU, torch.bfloat16, keep=True)
    monkeypatch.setattr(heads.device_features, "_KEPT_BYTES", 0)
    fresh = DeviceFeatures(dataset, head, CPU, torch.bfloat16, keep=True)
    assert kept._kept is not None
    assert fresh._kept is None
    torch.testing.assert_close(fresh.take(asked), kept.take(asked), rtol=0, atol=0)
    wide = fresh.in_float32().take(asked)
    torch.testing.assert_close(kept.in_float32().take(asked), wide, rtol=0, atol=0)
    assert wide.dtype == torch.float32


def test_half_precision_trains_to_nearly_the_same_scores(make_store: Callable[..., Path], tmp_path: Path) -> None:
    dataset = StoreDataset(store.open(make_store(persons=4)))
    scores = {}
    for precision in ("float32", "bfloat16"):
        settings = TrainSettings(filters=6, hidden=7, epochs=4, batch_windows=16, lr=3e-3, precision=precision)
        trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all")]
        trained = train_stacked(trials, dataset, CPU, tmp_path / f"{precision}.pt")
        scores[precision] = [one.score for one in trained]
    np.testing.assert_allclose(scores["bfloat16"], scores["float32"], atol=0.03)
    assert scores["bfloat16"] != scores["float32"]


def test_blocks_are_taken_into_one_tensor(codes: store.Store) -> None:
    dataset = StoreDataset(codes)
    features = DeviceFeatures(dataset, make_head(HeadSettings(), dataset.shape, 4, 0), CPU)
    first, second = np.arange(40), np.arange(60, 97)
    out = features.take(first)
    taken = features.take(second, out=out)
    assert taken.data_ptr() == out.data_ptr()
    torch.testing.assert_close(taken, features.take(second), rtol=0, atol=0)
    few = np.array([3, 5])
    torch.testing.assert_close(features.take(few, out=out), features.take(few), rtol=0, atol=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(make_store: Callable[..., Path], value: float) -> None:
    folder = make_store(persons=2)
    with h5py.File(folder / "sub-02.h5", "r+") as file:
        file["features"][16, 0, 1, 0] = value
    dataset = StoreDataset(store.open(folder))
    features = DeviceFeatures(dataset, make_head(HeadSettings(), dataset.shape, 4, 0), CPU)
    first = np.flatnonzero(dataset.person == 1)[0]
    features.take(np.arange(first + 16))
    message = r"^sub-02_.*run-00: its features are damaged, they are not all finite; .* verify names the file"
    with pytest.raises(StoreError, match=message):
        features.take(np.arange(first + 17))


def test_large_features_are_no_damage(codes: store.Store) -> None:
    dataset = StoreDataset(codes)
    dataset.codebooks = np.full((2, 7, 5), 1e37, np.float32)  # the sum of a block is not finite, its features are
    features = DeviceFeatures(dataset, make_head(HeadSettings(), dataset.shape, 4, 0), CPU)
    assert features.take(np.arange(16)).isfinite().all()
