"""Windows of a store in batches, in order or shuffled: from memory when the store fits, else from the disk."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from store.layout import Array
from store.reader import Store
from store.runtime.errors import UserError

_BLOCKS = 32  # shuffled together


class Stream:
    """Batches of a store's windows within a limit of memory.

    A store that fits in half the limit is read once and kept. Of a larger one, 32 blocks, each contiguous on the
    disk and chosen at random, are mapped at a time and their windows shuffled, while the disk reads the next 32.

    Parameters
    ----------
    store
    memory_bytes
        What the features in memory may take, beside the batches given out.

    Raises
    ------
    UserError
        If the limit is too small for that many windows.
    """

    def __init__(self, store: Store, memory_bytes: int = 1 << 30) -> None:
        self.store = store
        block_windows = memory_bytes // (2 * _BLOCKS * store.spec.window_bytes)
        if not block_windows:
            least_mb = 2 * _BLOCKS * store.spec.window_bytes / 1e6
            raise UserError(f"{memory_bytes / 1e6:.1f} MB to stream a store; allow at least {least_mb:.1f} MB")
        fits = 2 * store.windows * store.spec.window_bytes <= memory_bytes
        self._held = store.read(0, store.windows) if fits else None
        spans = pairwise(store.first_windows.tolist())
        starts = [np.arange(first, end, block_windows) for first, end in spans]
        self._owner = np.repeat(np.arange(len(starts)), [len(own) for own in starts])
        self._edges = np.append(np.concatenate(starts), store.windows)  # of the blocks; none spans two files

    def batches(
        self, size: int, seed: int | None = None, chosen: Array | None = None
    ) -> Iterator[tuple[Array, Array]]:
        """Yield windows once each, ``size`` at a time; the last batch may be smaller.

        Parameters
        ----------
        seed
            Of the order; None keeps it.
        chosen : (n,) int64
            Windows of the store, ascending; all if not given.

        Yields
        ------
        windows : (B,) int64
        features : (B, F, C, D) or (B, F, C, Q)
            As stored.
        """
        rng = None if seed is None else np.random.default_rng(seed)
        rows = np.arange(self.store.windows) if chosen is None else chosen
        if self._held is not None:
            rows = rows if rng is None else rng.permutation(rows)
            for start in range(0, len(rows), size):
                yield rows[start : start + size], self._held[rows[start : start + size]]
        elif rng is None and chosen is None:
            for start in range(0, len(rows), size):
                stop = min(start + size, len(rows))
                yield rows[start:stop], self.store.read(start, stop)
        else:
            yield from self._from_disk(*shuffle(rows, self._block_of(rows), _BLOCKS, rng), size)

    def _from_disk(self, rows: Array, blocks: Array, edges: list[int], size: int) -> Iterator[tuple[Array, Array]]:
        """Batches that run on from group to group; blocks are mapped a group ahead and let go when used up."""
        mapped = self._map(blocks[: edges[1]])
        start = 0
        for stop, ahead in pairwise([*edges[1:], edges[-1]]):
            mapped |= self._map(blocks[stop:ahead])
            while start + size <= stop or start < stop == ahead:
                yield self._gather(rows[start : start + size], blocks[start : start + size], mapped)
                start += size
            needed = set(np.unique(blocks[start:ahead]).tolist())
            mapped = {block: features for block, features in mapped.items() if block in needed}

    def _map(self, blocks: Array) -> dict[int, Array]:
        """Map blocks as bytes, ``(windows, bytes)``; the disk begins to read them."""
        maps = {}
        for block in np.unique(blocks).tolist():
            file, first = self.store.files[self._owner[block]], self.store.first_windows[self._owner[block]]
            start, stop = (int(edge - first) for edge in self._edges[block : block + 2])
            maps[block] = file.map(start, stop, soon=True).reshape(stop - start, -1).view(np.uint8)
        return maps

    def _block_of(self, rows: Array) -> Array:
        blocks: Array = np.searchsorted(self._edges, rows, side="right") - 1
        return blocks.astype(np.uint16) if len(self._edges) < 1 << 16 else blocks

    def _gather(self, rows: Array, blocks: Array, mapped: dict[int, Array]) -> tuple[Array, Array]:
        """Copy windows out of their blocks, block by block: the order in a batch is of no account."""
        rows, blocks = np.sort(rows), np.sort(blocks)  # blocks ascend with rows
        local = rows - self._edges[blocks]
        spec = self.store.spec
        out = np.empty((len(rows), spec.window_bytes), np.uint8)
        cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(rows)]
        for begin, end in pairwise(cuts):
            features = mapped[int(blocks[begin])]
            features.take(local[begin:end], axis=0, out=out[begin:end], mode="clip")
        return rows, out.view(spec.dtype).reshape(len(rows), *spec.shape)


def shuffle(
    rows: Array, blocks: Array, group: int, rng: np.random.Generator | None
) -> tuple[Array, Array, list[int]]:
    """Put blocks in random order and shuffle the rows of each ``group`` of them; without ``rng`` keep the order.

    Returns
    -------
    rows, blocks
        Every row, and its block.
    edges
        Of the groups.

    >>> rows, blocks, edges = shuffle(np.arange(8), np.arange(8) // 2, 2, np.random.default_rng(0))
    >>> rows, edges
    (array([5, 4, 3, 2, 1, 7, 0, 6]), [0, 4, 8])
    """
    numbers = np.flatnonzero(np.bincount(blocks))
    rank = np.zeros(numbers.max(initial=0) + 1, blocks.dtype)
    rank[numbers] = np.arange(len(numbers)) if rng is None else rng.permutation(len(numbers))
    order = np.argsort(rank[blocks], kind="stable")
    cuts = np.flatnonzero(np.diff(rank[blocks[order]] // group)) + 1
    if rng is not None:
        order = np.concatenate([rng.permutation(own) for own in np.split(order, cuts)])
    return rows[order], blocks[order], [0, *cuts.tolist(), len(rows)]
