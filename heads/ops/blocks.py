"""Split a batch into blocks so that no head computes windows of its held-out persons."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MOST_WINDOWS = 32  # the filter output of 32 windows fits in the L2 cache
_FEWEST_WINDOWS = 8  # fewer are products too small to be quick


class WorkBlock(NamedTuple):
    """Neighbouring windows of a batch, and neighbouring trials that compute all of them."""

    windows: slice
    trials: slice


def partition_windows(trains: NDArray[np.bool_]) -> list[WorkBlock]:
    """Split the windows that train a trial into blocks: all of them, each once, and few others.

    ``trains (K, B)`` says which windows train which trial. Blocks end where other trials begin to train, so
    batches sorted by person make the best of it.

    >>> for block in partition_windows(np.repeat([[False, True], [True, True], [True, False]], 8, axis=1)):
    ...     print(block)
    WorkBlock(windows=slice(0, 8, None), trials=slice(1, 3, None))
    WorkBlock(windows=slice(8, 16, None), trials=slice(0, 2, None))
    """
    total = trains.shape[1]
    changes = [*(np.flatnonzero((trains[:, 1:] != trains[:, :-1]).any(0)) + 1).tolist(), total]
    blocks: list[WorkBlock] = []
    start = 0
    while start < total:
        far_enough = (change for change in changes if change >= start + _FEWEST_WINDOWS)
        stop = min(next(far_enough, total), start + _MOST_WINDOWS)
        training = np.concatenate([[False], trains[:, start:stop].any(1), [False]])
        edges = np.flatnonzero(training[1:] != training[:-1]).reshape(-1, 2).tolist()
        blocks += [WorkBlock(slice(start, stop), slice(first, end)) for first, end in edges]
        start = stop
    return blocks


def full_blocks(windows: int, trials: int) -> list[WorkBlock]:
    """Blocks of all windows in all trials.

    >>> [block.windows for block in full_blocks(40, 3)]
    [slice(0, 32, None), slice(32, 40, None)]
    """
    return partition_windows(np.ones((trials, windows), np.bool_))
