"""Windows of a store under one index."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import store
from heads.dataset import StoreDataset, merge_windows, window_labels
from heads.folds import LabelCounts
from heads.sklearn import load_arrays
from store.schema import count_windows
from store.writer import write_file
from tests.helpers.stores import SPEC, recording, write_subject


@given(st.integers(1, 60), st.integers(1, 6), st.data())
def test_every_second_is_predicted_once_and_from_its_own_windows(
    seconds: int, window_s: int, data: st.DataObject
) -> None:
    stride_s = data.draw(st.integers(1, window_s))
    windows = count_windows(seconds, window_s, stride_s)
    values = np.arange(windows * window_s, dtype=np.float32).reshape(windows, window_s)
    wanted = [
        np.mean([values[w, t - w * stride_s] for w in range(windows) if 0 <= t - w * stride_s < window_s])
        for t in range(seconds)
    ]
    np.testing.assert_allclose(merge_windows(values, seconds, stride_s), wanted, rtol=1e-6)


@given(st.integers(1, 60), st.integers(1, 6), st.data())
def test_labels_of_windows_merge_back_to_the_recording(seconds: int, window_s: int, data: st.DataObject) -> None:
    stride_s = data.draw(st.integers(1, window_s))
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=seconds, max_size=seconds)), np.uint8)
    cut = window_labels(labels, count_windows(seconds, window_s, stride_s), window_s, stride_s)
    np.testing.assert_array_equal(merge_windows(cut.astype(np.float32), seconds, stride_s), labels)
    assert (cut == -1).sum() == cut.size - sum(
        min(window_s, seconds - w * stride_s) for w in range(len(cut)) if w * stride_s < seconds
    )


def test_features_come_in_the_order_asked(make_store: Callable[..., Path]) -> None:
    opened = store.open(make_store(persons=3, lengths_s=(38, 50)))
    dataset = StoreDataset(opened)
    everything = np.concatenate([opened.features(info) for info in opened.recordings]).astype(np.float32)
    assert len(dataset) == len(everything)
    asked = np.random.default_rng(0).permutation(len(dataset))
    np.testing.assert_array_equal(dataset.features(asked), everything[asked])


def test_persons_and_labels_follow_their_windows(tmp_path: Path) -> None:
    spec = replace(SPEC, stride_s=2)
    for number, person in enumerate(("05", "02")):
        write_subject(tmp_path, person, (37, 50), number, spec=spec)
    opened = store.open(tmp_path)
    dataset = StoreDataset(opened)
    assert dataset.persons == ("02", "05")
    for info in opened.recordings:
        first = dataset.first_window[info.name]
        assert {dataset.persons[p] for p in dataset.person[first : first + info.windows]} == {info.person}
        assert dataset.labels[first + 9].tolist() == [0, 0, 1, 1]  # seconds 18 to 22, seizure from 20


def test_counts_are_of_seconds_not_windows(tmp_path: Path) -> None:
    write_subject(tmp_path, "01", (37, 50), 0, spec=replace(SPEC, stride_s=1))
    assert StoreDataset(store.open(tmp_path)).label_counts() == {"01": LabelCounts(ictal=30, background=57)}


@pytest.mark.parametrize("ratio", [None, 0.5, 1.0, 2.0, 1e308])
def test_an_epoch_has_all_seizure_windows_and_the_share_of_background(
    make_store: Callable[..., Path], ratio: float | None
) -> None:
    dataset = StoreDataset(store.open(make_store(persons=3, lengths_s=(120, 90))))
    order = dataset.epoch_windows(4, ratio)
    assert len(np.unique(order)) == len(order)
    ictal = (dataset.labels == 1).any(1)
    for person in range(3):
        own = dataset.person == person
        chosen = order[own[order]]
        assert ictal[chosen].sum() == (own & ictal).sum() == 8
        wanted = (own & ~ictal).sum() if ratio in (None, 1e308) else np.ceil(ratio * 8)
        assert (~ictal[chosen]).sum() == wanted


def test_epochs_differ_and_repeat(make_store: Callable[..., Path]) -> None:
    dataset = StoreDataset(store.open(make_store(persons=2)))
    assert not np.array_equal(dataset.epoch_windows(1, 1.0), dataset.epoch_windows(2, 1.0))
    np.testing.assert_array_equal(dataset.epoch_windows(1, 1.0), dataset.epoch_windows(1, 1.0))


def test_batches_hold_every_window_once_with_its_features_and_labels(make_store: Callable[..., Path]) -> None:
    dataset = StoreDataset(store.open(make_store(persons=3, lengths_s=(38, 50))))
    batches = list(dataset.batches(7))
    assert [len(batch.windows) for batch in batches[:-1]] == [7] * (len(batches) - 1)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([batch.windows for batch in batches])), np.arange(len(dataset))
    )
    for windows, features, labels in batches:
        np.testing.assert_array_equal(features, dataset.features(windows))
        np.testing.assert_array_equal(labels, dataset.labels[windows])
    doubled = next(dataset.batches(7, epoch=2, read=lambda windows: 2 * windows))
    np.testing.assert_array_equal(doubled.features, 2 * doubled.windows)
    assert not np.array_equal(doubled.windows, batches[0].windows)


def write_codes(path: Path) -> Path:
    """A store of one subject's codes."""
    rng, info = np.random.default_rng(0), recording(0, 38)
    spec = replace(SPEC, features="codes", dtype="uint8", dims=2)
    codes = rng.integers(0, 7, (info.windows, *spec.shape), np.uint8)
    books = rng.normal(size=(2, 7, 5)).astype(np.float32)
    labels = (np.arange(38) > 20).astype(np.uint8)
    write_file(path / f"sub-{info.subject}.h5", spec, [info], labels, iter([codes]), {"encoder": {}}, books)
    return path


@pytest.mark.parametrize("kind", ["latents", "codes"])
def test_a_window_by_its_number_is_latents_and_labels(
    make_store: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    path = make_store(persons=2, lengths_s=(38,)) if kind == "latents" else write_codes(tmp_path)
    dataset = StoreDataset(store.open(path))
    features, labels, _ = load_arrays(dataset)
    windows = list(dataset)  # ends with the windows
    np.testing.assert_array_equal(np.stack([window for window, _ in windows]), features)
    np.testing.assert_array_equal(np.stack([seconds for _, seconds in windows]), labels)
    assert windows[0][0].dtype == np.float32
    assert windows[-1][1].tolist()[2:] == [-1, -1]
    np.testing.assert_array_equal(dataset[-1][0], features[-1])
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    windows[0][1][:] = -1  # a user's own
    np.testing.assert_array_equal(dataset.labels, labels)


def test_torch_loads_batches_in_a_process_of_its_own(make_store: Callable[..., Path]) -> None:
    dataset = StoreDataset(store.open(make_store(persons=2, lengths_s=(4000,))))
    wanted, labels, _ = load_arrays(dataset)
    assert len(pickle.dumps(dataset)) < wanted.nbytes / 4  # no features
    loader = DataLoader(dataset, batch_size=1500, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert [len(features) for features, _ in batches] == [1500, 500]
    np.testing.assert_array_equal(np.concatenate([features for features, _ in batches]), wanted)
    np.testing.assert_array_equal(np.concatenate([seconds for _, seconds in batches]), labels)
