"""All windows of a store, or of arrays, under one index; features are read on demand."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heads.folds import Fold, Inner, LabelCounts, make_folds
from store import RecordingInfo, Store
from store.layout import FeatureMoments, dequantize, spread_frames
from store.runtime.errors import UserError

INVALID = -1  # label of a second past the recording's end, or of a recording without labels


class Batch(NamedTuple):
    """Windows by their index ``(B,)``, their features, and the labels of their seconds ``(B, S)``."""

    windows: NDArray[np.int64]
    features: Any
    labels: NDArray[np.int8]


class Dataset(ABC):
    """Windows of persons, with labels.

    Attributes
    ----------
    persons : tuple of str
        Sorted.
    recordings : tuple of RecordingInfo
        Sorted by name.
    first_window : dict
        Name of a recording -> index of its first window.
    labels : (W, S) int8
        1 seizure, 0 background, -1 not labelled, or past the end of the recording.
    person : (W,) int64
        Index into ``persons``.
    shape : tuple of int
        ``(F, C, D)`` of a window as heads take it.
    codebooks : (Q, K, D) float32 or None
        Vectors that stored codes stand for.
    """

    persons: tuple[str, ...]
    recordings: tuple[RecordingInfo, ...]
    first_window: dict[str, int]
    labels: NDArray[np.int8]
    person: NDArray[np.int64]
    shape: tuple[int, int, int]
    window_s: int
    stride_s: int
    codebooks: NDArray[Any] | None

    @abstractmethod
    def features(self, windows: NDArray[np.int64]) -> NDArray[Any]:
        """Features as stored, ``(B, F, C, D)`` or codes ``(B, F, C, Q)``, in the order asked."""

    @abstractmethod
    def missing_electrodes(self, windows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether windows lack an electrode, ``(B, C)``, whose `features` are what zeros were encoded to."""

    @abstractmethod
    def moments(self, persons: Sequence[str]) -> FeatureMoments:
        """Count, sum and sum of squares of latents over the recordings of persons."""

    @abstractmethod
    def labels_of(self, info: RecordingInfo) -> NDArray[Any]:
        """1-Hz labels of a recording, ``(T,)``; -1 if it has none."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of the content: features, labels, and whose they are."""

    def __len__(self) -> int:
        return len(self.person)

    def recordings_of(self, person: str) -> Iterator[tuple[RecordingInfo, NDArray[np.int64]]]:
        """Recordings of a person with the indices of their windows."""
        for info in self._recordings_of.get(person, ()):
            yield info, self.first_window[info.name] + np.arange(info.windows)

    def name_of(self, window: int) -> str:
        """Name of the recording of a window."""
        return max((first, name) for name, first in self.first_window.items() if first <= window)[1]

    @cached_property
    def _recordings_of(self) -> dict[str, list[RecordingInfo]]:
        """Recordings of each person, in order."""
        grouped: dict[str, list[RecordingInfo]] = {}
        for info in self.recordings:
            grouped.setdefault(info.person, []).append(info)
        return grouped

    @cached_property
    def _windows_of(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of each person, windows with seizure, and labelled windows without, in order."""
        ictal, valid = (self.labels == 1).any(1), (self.labels != INVALID).any(1)
        by_person = np.argsort(self.person, kind="stable")
        ends = np.cumsum(np.bincount(self.person, minlength=len(self.persons)))[:-1]
        return [
            (windows[ictal[windows]], windows[valid[windows] & ~ictal[windows]])
            for windows in np.split(by_person, ends)
        ]

    def epoch_windows(self, epoch: int, background_per_seizure: float | None) -> NDArray[np.int64]:
        """Windows of one epoch in shuffled order: all with seizure, background drawn anew each epoch.

        Parameters
        ----------
        background_per_seizure
            Background windows drawn for each seizure window of the same person; None takes all.
        """
        rng = np.random.default_rng([epoch])
        drawn = []
        for person, (seizure, background) in enumerate(self._windows_of):
            if background_per_seizure is not None:
                quota = int(min(len(background), np.ceil(background_per_seizure * max(1, len(seizure)))))
                background = np.random.default_rng([epoch, person]).choice(background, quota, replace=False)
            drawn += [seizure, background]
        return rng.permutation(np.concatenate(drawn))

    def batches(
        self,
        batch_windows: int,
        epoch: int = 1,
        background_per_seizure: float | None = None,
        read: Callable[[NDArray[np.int64]], Any] | None = None,
    ) -> Iterator[Batch]:
        """Iterate over the windows of one epoch, each batch in the order of the store.

        Parameters
        ----------
        epoch
            Number of the epoch, from 1: seed of the order and of the background that is drawn.
        background_per_seizure
            As `epoch_windows`.
        read
            Reads the features of windows; by default `features`, as they are stored.
        """
        order = self.epoch_windows(epoch, background_per_seizure)
        for start in range(0, len(order), batch_windows):
            windows = np.sort(order[start : start + batch_windows])
            yield Batch(windows, (read or self.features)(windows), self.labels[windows])


class StoreDataset(Dataset):
    """All windows of a store; for a ``torch.utils.data.DataLoader`` a map-style data set, also in its workers."""

    def __init__(self, store: Store) -> None:
        if not isinstance(store, Store):
            raise UserError(f"a StoreDataset is made of a store, not of {store!r}; give store.open(PATH)")
        self.store = store
        self.persons, self.recordings = store.persons, store.recordings
        self.window_s, self.stride_s = store.spec.window_s, store.spec.stride_s
        self.codebooks = store.codebooks
        self.shape = (store.spec.head_frames, len(store.spec.channels), store.latent_dims)
        self._files = self._map_files()
        first_of = dict(zip((file.subject for file in store.files), store.first_windows.tolist(), strict=False))
        self.first_window = {info.name: first_of[info.subject] + info.first_window for info in self.recordings}
        self.labels = np.full((store.windows, self.window_s), INVALID, np.int8)
        self.person = np.full(store.windows, -1, np.int64)  # of no person
        numbers = {person: number for number, person in enumerate(self.persons)}
        for info in self.recordings:
            rows = slice(self.first_window[info.name], self.first_window[info.name] + info.windows)
            self.labels[rows] = window_labels(self.labels_of(info), info.windows, self.window_s, self.stride_s)
            self.person[rows] = numbers[info.person]

    def __getstate__(self) -> dict[str, Any]:
        """All but the mapped features: another process maps the files again."""
        return {name: value for name, value in vars(self).items() if name != "_files"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._files = self._map_files()

    def _map_files(self) -> list[tuple[NDArray[Any], int]]:
        return [(file.features(), file.windows) for file in self.store.files]

    def __getitem__(self, window: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Latents of a window, ``(F, C, D)``, codes looked up, and the labels of its seconds, ``(S,)``.

        Latents are nan for electrodes that the recording lacks. A label is 1 for seizure, 0 for background and -1
        for a second that has none.
        """
        index = range(len(self))[window]  # counts from the end if negative; an IndexError ends a loop
        return self.latents(np.array([index]))[0], self.labels[index].copy()

    def latents(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Latents of windows, ``(B, F, C, D)``, codes looked up; nan for electrodes that a recording lacks."""
        stored = self.features(windows)
        latents = stored.astype(np.float32) if self.codebooks is None else dequantize(stored, self.codebooks)
        latents.swapaxes(1, 2)[self.missing_electrodes(windows)] = np.nan
        return latents

    def missing_electrodes(self, windows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the recordings of windows lack an electrode, ``(B, C)``."""
        first, missing = self._missing_by_recording
        return missing[np.searchsorted(first, windows, "right") - 1]

    @cached_property
    def _missing_by_recording(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """First window of each recording, ascending, and whether it lacks an electrode, ``(recordings, C)``."""
        infos = sorted(self.recordings, key=lambda info: self.first_window[info.name])
        masks = np.array([info.mask_of(self.shape[1]) for info in infos])
        return np.array([self.first_window[info.name] for info in infos]), ~masks

    def labels_of(self, info: RecordingInfo) -> NDArray[Any]:
        """1-Hz labels of a recording, ``(T,)``; -1 if it has none."""
        return self.store.labels(info) if info.labelled else np.full(info.seconds, INVALID, np.int8)

    @cached_property
    def identity(self) -> str:
        """Hash of the content: features, labels, and whose they are."""
        digest = hashlib.sha256(json.dumps(self.store.identities, sort_keys=True).encode())
        digest.update(self.labels.data)
        return digest.hexdigest()

    def label_counts(self) -> dict[str, LabelCounts]:
        """Seconds of each person by label."""
        counts = {}
        for person in self.persons:
            seconds = np.concatenate([self.labels_of(info) for info, _ in self.recordings_of(person)])
            counts[person] = LabelCounts(int(np.sum(seconds == 1)), int(np.sum(seconds == 0)))
        return counts

    def folds(self, selection: str, inner: Inner = "one") -> tuple[Fold, ...]:
        """Folds over the persons of the store, as `heads.folds.make_folds`."""
        return make_folds(self.label_counts(), selection, inner)

    def moments(self, persons: Sequence[str]) -> FeatureMoments:
        """Count, sum and sum of squares of latents over the recordings of persons."""
        return sum((self.store.moments(person) for person in persons), FeatureMoments.zeros(*self.shape[1:]))

    def features(self, windows: NDArray[np.int64]) -> NDArray[Any]:
        """Features as stored, ``(B, F, C, D)`` or codes ``(B, F, C, Q)``, in the order asked.

        A frame that is longer than a second is there for each of its seconds.
        """
        if (np.diff(windows) < 0).any():
            order = np.argsort(windows)
            return self.features(windows[order])[np.argsort(order)]
        out = np.empty((len(windows), *self.store.spec.shape), self.store.spec.dtype)
        first_windows = self.store.first_windows
        ends = np.searchsorted(windows, first_windows)
        for number in np.flatnonzero(np.diff(ends)):
            rows = slice(ends[number], ends[number + 1])
            mapped, _ = self._files[number]
            np.take(mapped, windows[rows] - first_windows[number], axis=0, out=out[rows], mode="clip")
        return spread_frames(out, self.window_s)


class ArrayDataset(Dataset):
    """Windows in memory, of one person and one recording.

    Parameters
    ----------
    features : (B, F, C, D)
        All nan for electrodes that a window lacks.
    labels : (B, S)
        Labels of seconds: 1 seizure, 0 background, -1 unknown.
    """

    def __init__(self, features: NDArray[Any], labels: NDArray[Any]) -> None:
        windows, window_s = labels.shape
        seconds, mask = windows * window_s, (True,) * features.shape[2]
        info = RecordingInfo("all", "all", "all", 0, windows, 0, seconds, float(seconds), "", mask, ())
        self._missing: NDArray[np.bool_] = np.isnan(features[:, 0, :, 0])
        if self._missing.any():
            features = np.where(self._missing[:, None, :, None], 0, features)
        self._features, self.labels = features, labels.astype(np.int8)
        self.person = np.zeros(windows, np.int64)
        self.persons, self.recordings, self.first_window = ("all",), (info,), {"all": 0}
        self.shape, self.codebooks = (features.shape[1], features.shape[2], features.shape[3]), None
        self.window_s = self.stride_s = window_s

    def features(self, windows: NDArray[np.int64]) -> NDArray[Any]:
        """Features of windows, in the order asked."""
        return self._features[windows]

    def missing_electrodes(self, windows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether windows lack an electrode, ``(B, C)``."""
        missing: NDArray[np.bool_] = self._missing[windows]
        return missing

    def moments(self, persons: Sequence[str]) -> FeatureMoments:
        """Count, sum and sum of squares over all windows, without missing electrodes."""
        lacking = np.unique(self._missing, axis=0)  # a row for each set of electrodes that windows lack
        parts = (
            FeatureMoments.of(self._features[(self._missing == row).all(1)], (~row).tolist()) for row in lacking
        )
        return sum(parts, FeatureMoments.zeros(*self.shape[1:]))

    def labels_of(self, info: RecordingInfo) -> NDArray[Any]:
        """1-Hz labels of all windows, ``(T,)``."""
        return self.labels.ravel()

    @cached_property
    def identity(self) -> str:
        """Hash of features and labels."""
        digest = hashlib.sha256(self.labels.tobytes() + self._missing.tobytes())
        for window in self._features:
            digest.update(window.tobytes())
        return digest.hexdigest()


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
    total /= count
    return total[..., :seconds]
