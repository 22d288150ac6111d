"""Features of seconds for linear classifiers, and heads that give the classifiers' scores."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.closed_form.moments import ClassMoments
from heads.closed_form.ridge_lda import LinearModels
from heads.dataset import INVALID, StoreDataset, merge_windows
from heads.device_features import DeviceFeatures
from heads.models.head import Head
from heads.models.linear import LinearHead
from heads.settings import HeadSettings

_SETTINGS = HeadSettings(head="linear", context_s=1)
_BLOCK_WINDOWS = 512


class SecondFeatures(ABC):
    """Features of labelled seconds, person by person.

    Attributes
    ----------
    size : int
        P, features of a second.
    """

    dataset: StoreDataset
    size: int

    @abstractmethod
    def blocks(self, person: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Features ``(N, P)`` and labels ``(N,)`` float32 of the labelled seconds of a person, in blocks."""

    @abstractmethod
    def as_head(self, models: LinearModels, row: int) -> Head:
        """The head that gives each second its score by one of the models."""

    @abstractmethod
    def predict(self, person: str, models: LinearModels) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of a person's recordings by each of the models: name -> ``(R, T)``."""

    def moments(self, person: str) -> ClassMoments:
        """Moments of a person's seconds."""
        first, *rest = (ClassMoments.of(x.double(), y.double()) for x, y in self.blocks(person))
        return sum(rest, first)

    def scores(self, person: str, models: LinearModels) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Labels ``(N,)`` and scores ``(N, R)`` of a person's seconds, in float32."""
        most = sum(info.seconds for info, _ in self.dataset.recordings_of(person))
        labels, scores = torch.empty(most), torch.empty(most, len(models.bias))
        count = 0
        for x, y in self.blocks(person):
            rows = slice(count, count + len(y))
            labels[rows], scores[rows] = y, models.scores(x.double())
            count = rows.stop
        return labels[:count].numpy(), scores[:count].numpy()


class PooledSeconds(SecondFeatures):
    """Mean over the frames of a second, and its log deviation, of every electrode and dim.

    They are kept in memory if they take no more than ``kept_bytes``.
    """

    def __init__(self, dataset: StoreDataset, statistics: str, kept_bytes: int | None = None) -> None:
        self.dataset = dataset
        pooling = LinearHead(_SETTINGS, dataset.shape, dataset.window_s)
        if statistics != "mean-std":
            pooling.statistics = 1  # it only pools here
        self.statistics = pooling.statistics
        self.size = self.statistics * dataset.shape[1] * dataset.shape[2]
        self._features = DeviceFeatures(dataset, pooling, torch.device("cpu"), keep=True, kept_bytes=kept_bytes)

    def blocks(self, person: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Features ``(N, P)`` and labels ``(N,)`` float32 of the labelled seconds of a person, in blocks.

        Where windows overlap, features of a second are their mean over the windows that hold it.
        """
        rows = np.flatnonzero(self.dataset.person == self.dataset.persons.index(person))
        starts = self._number_seconds(rows)
        for first in range(0, len(rows), _BLOCK_WINDOWS):
            stop = min(first + _BLOCK_WINDOWS, len(rows))
            begin, end = starts[first], starts[stop]
            holding = slice(np.searchsorted(starts, begin - self.dataset.window_s, "right"), stop)
            x, labels = self._average(rows[holding], starts[holding] - begin, int(end - begin))
            yield x[labels != INVALID], labels[labels != INVALID].float()

    def _number_seconds(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the first second of each of a person's windows, and of seconds in all, ``(B + 1,)``."""
        ends_recording = np.isin(windows + 1, [*self.dataset.first_window.values(), len(self.dataset)])
        steps = np.where(ends_recording, self.dataset.window_s, self.dataset.stride_s)
        return np.concatenate([[0], np.cumsum(steps)])

    def _average(self, windows: NDArray[np.int64], starts: NDArray[np.int64], count: int) -> tuple[Tensor, Tensor]:
        """Mean over windows that begin at ``starts (B,)``, of seconds 0 to ``count``: features and labels."""
        second = torch.from_numpy(starts[:, None] + np.arange(self.dataset.window_s)).flatten()
        inside = (second >= 0) & (second < count)
        second, x = second[inside], self._take(windows)[inside]
        mean = x.new_zeros(count, self.size).index_add_(0, second, x)
        mean /= second.bincount(minlength=count)[:, None]
        labels = torch.full((count,), INVALID, dtype=torch.int8)
        labels[second] = torch.from_numpy(self.dataset.labels[windows]).flatten()[inside]
        return mean, labels

    def _take(self, windows: NDArray[np.int64]) -> Tensor:
        """Features of the seconds of windows, ``(B * S, P)``."""
        by_statistic = self._features.take(windows).view(len(windows), self.statistics, self.dataset.window_s, -1)
        return by_statistic.movedim(1, 2).flatten(2).flatten(0, 1)

    def as_head(self, models: LinearModels, row: int) -> LinearHead:
        """The head that gives each second its own features' score by one of the models."""
        window_s, head = self.dataset.window_s, LinearHead(_SETTINGS, self.dataset.shape, self.dataset.window_s)
        mean, by_statistic = (
            part[:, row].clone().view(self.statistics, -1) for part in (models.mean, models.weight)
        )
        bias = models.bias[row] + (mean * by_statistic).sum()
        if self.statistics > 1:  # the head's scale multiplies means, and its logarithm adds to log deviations
            scale = mean[1].neg().exp()
            head.scale.copy_(scale.view_as(head.scale))
            by_statistic[0] /= scale
        head.mean.copy_(mean[0].view_as(head.mean))
        weight = torch.zeros(window_s, head.statistics, window_s, self.size // self.statistics)
        for second in range(window_s):
            weight[second, : self.statistics, second] = by_statistic
        with torch.no_grad():
            head.out.weight.copy_(weight.flatten(1))
            head.out.bias.fill_(float(bias))
        return head

    def predict(self, person: str, models: LinearModels) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of a person's recordings by each of the models: name -> ``(R, T)``."""
        predicted = {}
        for info, rows in self.dataset.recordings_of(person):
            blocks = [models.scores(self._take(windows).double()) for windows in _split_windows(rows)]
            probabilities = torch.cat(blocks).sigmoid().float().view(len(rows), self.dataset.window_s, -1)
            by_window = probabilities.movedim(2, 0).numpy()  # (R, B, S)
            predicted[info.name] = merge_windows(by_window, info.seconds, self.dataset.stride_s)
        return predicted


def _split_windows(windows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(windows), _BLOCK_WINDOWS):
        yield windows[start : start + _BLOCK_WINDOWS]
