"""Windows that train trials are split into blocks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import heads.ops.blocks
from heads.folds import LabelCounts, make_folds
from heads.ops.blocks import full_blocks, partition_windows


def covered(trains: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many blocks hold each window of each trial."""
    times = np.zeros(trains.shape, np.int64)
    for windows, trials in partition_windows(trains):
        assert 1 <= windows.stop - windows.start <= heads.ops.blocks._MOST_WINDOWS
        times[trials, windows] += 1
    return times


@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 90))))
def test_what_trains_is_in_one_block(trains: NDArray[np.bool_]) -> None:
    times = covered(trains)
    assert (times[trains] == 1).all()
    assert (times <= 1).all()


@given(st.lists(st.integers(8, 32), min_size=3, max_size=12))
def test_persons_that_a_fold_holds_out_are_in_no_block_of_it(sizes: list[int]) -> None:
    labels = {f"{number:02}": LabelCounts(10, 90) for number in range(len(sizes))}
    folds = make_folds(labels, "all")
    trains = np.repeat([[person in fold.train for person in labels] for fold in folds], sizes, axis=1)
    np.testing.assert_array_equal(covered(trains), trains)


def test_the_whole_is_everything_in_blocks() -> None:
    blocks = full_blocks(70, 5)
    assert [trials for _, trials in blocks] == [slice(0, 5)] * 3
    assert [(windows.start, windows.stop) for windows, _ in blocks] == [(0, 32), (32, 64), (64, 70)]
