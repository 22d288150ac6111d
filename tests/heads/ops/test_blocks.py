"""Windows that count in a slot are cut into pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import heads.ops.blocks
from heads.folds import LabelCounts, make_folds
from heads.ops.blocks import cut, whole


def covered(counts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many pieces hold each window of each slot."""
    times = np.zeros(counts.shape, np.int64)
    for windows, slots in cut(counts):
        assert 1 <= windows.stop - windows.start <= heads.ops.blocks._MOST_WINDOWS
        times[slots, windows] += 1
    return times


@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 90))))
def test_what_counts_is_in_one_piece(counts: NDArray[np.bool_]) -> None:
    times = covered(counts)
    assert (times[counts] == 1).all()
    assert (times <= 1).all()


@given(st.lists(st.integers(8, 32), min_size=3, max_size=12))
def test_persons_that_a_fold_holds_out_are_in_no_piece_of_it(sizes: list[int]) -> None:
    labels = {f"{number:02}": LabelCounts(10, 90) for number in range(len(sizes))}
    folds = make_folds(labels, "all")
    counts = np.repeat([[person in fold.train for person in labels] for fold in folds], sizes, axis=1)
    np.testing.assert_array_equal(covered(counts), counts)


def test_the_whole_is_everything_in_blocks() -> None:
    pieces = whole(70, 5)
    assert [slots for _, slots in pieces] == [slice(0, 5)] * 3
    assert [(windows.start, windows.stop) for windows, _ in pieces] == [(0, 32), (32, 64), (64, 70)]
