"""Batches: every window once, the right features, a seeded order, memory within the limit."""

import pickle
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import store
from store import Store, StoreError, Stream
from tests.helpers.stores import SPEC, write_subject

SMALL = 2 * 32 * 3 * SPEC.window_bytes  # blocks of 3 windows
LARGE = 1 << 30


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    """3 files of 100, 131 and 75 windows."""
    for person, seconds in (("01", 400), ("02", 521), ("03", 300)):
        write_subject(tmp_path / "s", person, (seconds,), int(person))
    return store.open(tmp_path / "s")


def plain(opened: Store) -> np.ndarray:
    return np.concatenate([np.array(file.features()) for file in opened.files])


@pytest.mark.parametrize("memory_bytes", [SMALL, LARGE])
@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("share", [1, 3])
def test_every_window_comes_once_with_its_features(
    opened: Store, memory_bytes: int, seed: int | None, share: int
) -> None:
    wanted = plain(opened)
    chosen = np.arange(0, opened.windows, share)
    stream = Stream(opened, memory_bytes)
    batches = list(stream.batches(7, seed, None if share == 1 else chosen))
    rows = np.concatenate([rows for rows, _ in batches])
    np.testing.assert_array_equal(np.sort(rows), chosen)
    assert [len(rows) for rows, _ in batches[:-1]] == [7] * (len(chosen) // 7)
    for own, features in batches:
        np.testing.assert_array_equal(features, wanted[own])
        assert features.dtype == np.float16
    assert (rows == chosen).all() == (seed is None)


@pytest.mark.parametrize("memory_bytes", [SMALL, LARGE])
def test_the_seed_makes_the_order(opened: Store, memory_bytes: int) -> None:
    def order(seed: int) -> np.ndarray:
        return np.concatenate([rows for rows, _ in Stream(opened, memory_bytes).batches(8, seed)])

    np.testing.assert_array_equal(order(1), order(1))
    assert (order(1) != order(2)).any()


def test_a_batch_mixes_places_of_the_store(opened: Store) -> None:
    rows, _ = next(iter(Stream(opened, SMALL).batches(32, 0)))
    assert len(np.unique(rows // 20)) > 8


def test_batches_survive_the_stream(opened: Store) -> None:
    batches = list(Stream(opened, SMALL).batches(16, 3))
    batches[0][1][:] = 0
    np.testing.assert_array_equal(batches[1][1], plain(opened)[batches[1][0]])


def test_a_limit_that_holds_no_blocks_is_refused(opened: Store) -> None:
    with pytest.raises(ValueError, match=r"0\.0 MB to stream a store; allow at least 0\.0 MB"):
        Stream(opened, 2 * 32 * SPEC.window_bytes - 1)
    Stream(opened, 2 * 32 * SPEC.window_bytes)


def test_windows_by_slice_run_over_files(opened: Store) -> None:
    np.testing.assert_array_equal(opened.read(95, 240), plain(opened)[95:240])
    np.testing.assert_array_equal(opened.files[1].read(3, 3), np.empty((0, *SPEC.shape)))


def total(opened: Store) -> float:
    return float(sum(features.astype(np.float64).sum() for _, features in Stream(opened, SMALL).batches(9, 1)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_what_this_one_opened(opened: Store, method: str) -> None:
    with get_context(method).Pool(1) as pool:
        assert pool.apply(total, (pickle.loads(pickle.dumps(opened)),)) == pytest.approx(total(opened))


def test_a_file_written_anew_with_the_same_content_is_read_on(opened: Store) -> None:
    before = np.array(opened.files[0].features())
    write_subject(opened.path, "01", (400,), 1)
    np.testing.assert_array_equal(opened.files[0].features(), before)
    np.testing.assert_array_equal(opened.files[0].read(0, 100), before)


@pytest.mark.parametrize("read", [lambda file: file.features(), lambda file: file.read(0, 2)])
def test_a_file_of_other_content_is_noticed(opened: Store, read: Callable[[object], object]) -> None:
    write_subject(opened.path, "01", (400,), 9)
    with pytest.raises(StoreError, match=r"sub-01\.h5: changed since it was opened; open the store again"):
        read(opened.files[0])


def test_a_file_cut_off_after_opening_is_noticed(opened: Store) -> None:
    path = opened.files[0].path
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(StoreError, match="truncated"):
        opened.files[0].read(0, 100)
