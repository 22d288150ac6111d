"""From a store to batches: every window of every person under one index, features read when asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.folds import LabelCounts
from store import RecordingInfo, Store
from store.layout import FeatureMoments

INVALID = -1  # label of a second past the recording's end


class Windows:
    """All windows of a store.

    Attributes
    ----------
    persons : tuple of str
        Sorted.
    recordings : tuple of RecordingInfo
        Sorted by name.
    labels : (W, S) int8
        1 seizure, 0 background, -1 past the end of the recording.
    person : (W,) int64
        Index into ``persons``.
    shape : tuple of int
        ``(F, C, D)`` of a window as heads take it.
    codebooks : (Q, K, D) float32 or None
        Vectors that stored codes stand for.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.persons, self.recordings = store.persons, store.recordings
        self.window_s, self.stride_s = store.spec.window_s, store.spec.stride_s
        self.codebooks = store.codebooks
        self.shape = (*store.spec.shape[:2], store.latent_dims)
        self._files = [(file.features(), file.windows) for file in store.files]
        self._first = np.cumsum([0, *(windows for _, windows in self._files)])
        first_of = dict(zip((file.subject for file in store.files), self._first, strict=False))
        self.first_window = {
            info.name: int(first_of[info.subject]) + info.first_window for info in self.recordings
        }
        total = int(self._first[-1])
        self.labels = np.full((total, self.window_s), INVALID, np.int8)
        self.person = np.empty(total, np.int64)
        for info in self.recordings:
            rows = slice(self.first_window[info.name], self.first_window[info.name] + info.windows)
            self.labels[rows] = window_labels(store.labels(info), info.windows, self.window_s, self.stride_s)
            self.person[rows] = self.persons.index(info.person)

    def __len__(self) -> int:
        return len(self.person)

    def labels_of(self, info: RecordingInfo) -> NDArray[np.uint8]:
        """1-Hz labels of a recording, ``(T,)``."""
        return self.store.labels(info)

    def sums(self, persons: Sequence[str]) -> FeatureMoments:
        """Sums of latents over the recordings of persons."""
        return sum((self.store.moments(person) for person in persons), FeatureMoments.zeros(*self.shape[1:]))

    def features(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Features as stored, ``(n, F, C, D)`` or codes ``(n, F, C, Q)``, in the order asked."""
        if (np.diff(indices) < 0).any():
            order = np.argsort(indices)
            return self.features(indices[order])[np.argsort(order)]
        out = np.empty((len(indices), *self.store.spec.shape), self.store.spec.dtype)
        ends = np.searchsorted(indices, self._first)
        for number in np.flatnonzero(np.diff(ends)):
            own = slice(ends[number], ends[number + 1])
            mapped, _ = self._files[number]
            np.take(mapped, indices[own] - self._first[number], axis=0, out=out[own], mode="clip")
        return out

    def counts(self) -> dict[str, LabelCounts]:
        """Seconds of each person by label."""
        labels = {person: [] for person in self.persons}
        for info in self.recordings:
            labels[info.person].append(self.labels_of(info))
        return {
            person: LabelCounts(int(np.sum(seconds == 1)), int(np.sum(seconds == 0)))
            for person, seconds in ((p, np.concatenate(parts)) for p, parts in labels.items())
        }

    def recordings_of(self, person: str) -> Iterator[tuple[RecordingInfo, NDArray[np.int64]]]:
        """Recordings of a person with the indices of their windows."""
        for info in self.recordings:
            if info.person == person:
                yield info, self.first_window[info.name] + np.arange(info.windows)

    def epoch(self, number: int, background_per_seizure: float | None) -> NDArray[np.int64]:
        """Windows of one epoch in shuffled order: all with seizure, background drawn anew each epoch.

        Parameters
        ----------
        background_per_seizure
            Background windows drawn for each seizure window of the same person; None takes all.
        """
        rng = np.random.default_rng([number])
        ictal = (self.labels == 1).any(1)
        chosen = []
        for person in range(len(self.persons)):
            seizure = np.flatnonzero((self.person == person) & ictal)
            background = np.flatnonzero((self.person == person) & ~ictal)
            if background_per_seizure is not None:
                quota = min(len(background), int(np.ceil(background_per_seizure * max(1, len(seizure)))))
                background = np.random.default_rng([number, person]).choice(background, quota, replace=False)
            chosen += [seizure, background]
        return rng.permutation(np.concatenate(chosen))


def window_labels(labels: NDArray[np.uint8], windows: int, window_s: int, stride_s: int) -> NDArray[np.int8]:
    """Slice a recording's labels ``(T,)`` into windows ``(B, S)``; seconds past the end are -1.

    >>> window_labels(np.array([0, 1, 1], np.uint8), 2, 2, 2)
    array([[ 0,  1],
           [ 1, -1]], dtype=int8)
    """
    padded = np.full((windows - 1) * stride_s + window_s, INVALID, np.int8)
    padded[: len(labels)] = labels
    return np.lib.stride_tricks.sliding_window_view(padded, window_s)[::stride_s].copy()


def merge_windows(values: NDArray[np.float32], seconds: int, stride_s: int) -> NDArray[np.float32]:
    """Join windows ``(..., B, S)`` to one value a second ``(..., T)``: the mean over the windows that hold it.

    >>> merge_windows(np.array([[1, 2], [4, 5]], np.float32), 3, 1)
    array([1., 3., 5.], dtype=float32)
    """
    *leading, windows, window_s = values.shape
    total = np.zeros((*leading, (windows - 1) * stride_s + window_s), np.float32)
    count = np.zeros(total.shape[-1], np.float32)
    for offset in range(window_s):
        at = slice(offset, offset + (windows - 1) * stride_s + 1, stride_s)
        total[..., at] += values[..., offset]
        count[at] += 1
    return (total / count)[..., :seconds]
