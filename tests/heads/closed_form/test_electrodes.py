"""Statistics over electrodes: kept beside the store, taken anew of what changed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import store
from heads.closed_form.electrodes import PooledElectrodes
from heads.dataset import StoreDataset
from heads.device_features import DeviceFeatures
from heads.inference import centred_mean
from tests.helpers.stores import SPEC, write_subject


def statistics(path: Path, run: Path) -> dict[str, np.ndarray]:
    dataset = StoreDataset(store.open(path))
    seconds = PooledElectrodes(dataset, run)
    return {info.name: np.array(seconds.values(info)) for info in dataset.recordings}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First windows of the blocks that are read."""
    blocks, take = [], DeviceFeatures.take
    monkeypatch.setattr(DeviceFeatures, "take", lambda self, rows: blocks.append(rows[0]) or take(self, rows))
    return blocks


def test_statistics_are_taken_once(make_store: Callable[..., Path], tmp_path: Path, taken: list[int]) -> None:
    path = make_store(persons=3, lengths_s=(40, 62))
    first = statistics(path, tmp_path / "run")
    assert len(taken) == 6
    assert not (tmp_path / "run").exists()
    taken.clear()
    again = statistics(path, tmp_path / "run")
    assert not taken
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_a_changed_or_damaged_subject_is_taken_again(
    make_store: Callable[..., Path], tmp_path: Path, taken: list[int]
) -> None:
    path = make_store(persons=3, lengths_s=(40,))
    before = statistics(path, tmp_path)
    write_subject(path, "02", (40,), seed=77)
    (damaged,) = (path / "statistics").glob("sub-03-*")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    taken.clear()
    after = statistics(path, tmp_path)
    assert taken == [10, 20]
    assert [np.array_equal(before[name], after[name]) for name in sorted(before)] == [True, False, True]
    assert len(list((path / "statistics").iterdir())) == 3


def test_a_pipe_among_the_statistics_is_replaced(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3, lengths_s=(40,))
    before = statistics(path, tmp_path)
    (pipe,) = (path / "statistics").glob("sub-03-*")
    pipe.unlink()
    os.mkfifo(pipe)
    after = statistics(path, tmp_path)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert pipe.is_file()


def test_a_store_that_cannot_be_written_to_leaves_them_to_the_run(
    make_store: Callable[..., Path], tmp_path: Path, taken: list[int]
) -> None:
    path = make_store(persons=3, lengths_s=(40,))
    (path / "statistics").write_text("a file, so no folder")
    first = statistics(path, tmp_path / "run")
    assert len(list((tmp_path / "run" / "statistics").iterdir())) == 3
    taken.clear()
    again = statistics(path, tmp_path / "run")
    assert not taken
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_windows_that_overlap_are_averaged(tmp_path: Path) -> None:
    for seed, person in enumerate(("01", "02", "03")):
        write_subject(tmp_path / "store", person, (41,), seed, spec=replace(SPEC, stride_s=2))
    opened = store.open(tmp_path / "store")
    values = statistics(opened.path, tmp_path)
    info = opened.recordings[0]
    frames = opened.latents(info).reshape(info.windows, 4, 2, 3, 5)
    logs = np.log(frames.std(2) + 0.05)
    pooled = np.concatenate([logs.mean(2), logs.max(2), logs.std(2)], -1)  # (B, S, P)
    wanted = np.zeros((info.seconds, 15), np.float32)
    for second in range(info.seconds):
        held = [(w, second - 2 * w) for w in range(info.windows) if 0 <= second - 2 * w < 4]
        wanted[second] = np.mean([pooled[at] for at in held], 0)
    np.testing.assert_allclose(values[info.name], centred_mean(wanted.T, 5).T, atol=1e-5)
