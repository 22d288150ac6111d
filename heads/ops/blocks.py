"""Which heads compute which windows of a batch: persons that a fold holds out cost its heads nothing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Piece = tuple[slice, slice]  # neighbouring windows, and neighbouring slots that compute all of them
Pieces = Sequence[Piece]

_MOST_WINDOWS = 32  # what the filters make of so many stays in the processor's cache
_FEWEST_WINDOWS = 8  # fewer are products too small to be quick


def cut(counts: NDArray[np.bool_]) -> list[Piece]:
    """Cut the windows that count in a slot, ``(K, B)``, into pieces: all of them, each once, and few others.

    Windows are cut where other slots begin to count, so batches sorted by person make the best of it.

    >>> cut(np.repeat([[False, True], [True, True], [True, False]], 8, axis=1))
    [(slice(0, 8, None), slice(1, 3, None)), (slice(8, 16, None), slice(0, 2, None))]
    """
    total = counts.shape[1]
    changes = [*(np.flatnonzero((counts[:, 1:] != counts[:, :-1]).any(0)) + 1).tolist(), total]
    pieces, start = [], 0
    while start < total:
        far_enough = (change for change in changes if change >= start + _FEWEST_WINDOWS)
        stop = min(next(far_enough, total), start + _MOST_WINDOWS)
        there = np.concatenate([[False], counts[:, start:stop].any(1), [False]])
        edges = np.flatnonzero(there[1:] != there[:-1]).reshape(-1, 2).tolist()
        pieces += [(slice(start, stop), slice(*run)) for run in edges]
        start = stop
    return pieces


def whole(windows: int, slots: int) -> list[Piece]:
    """Pieces of all windows in all slots.

    >>> whole(40, 3)
    [(slice(0, 32, None), slice(0, 3, None)), (slice(32, 40, None), slice(0, 3, None))]
    """
    return cut(np.ones((slots, windows), np.bool_))
