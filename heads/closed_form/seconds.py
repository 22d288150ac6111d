"""Features of seconds, which linear classifiers take, and the heads that give the classifiers' scores."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.closed_form.moments import ClassMoments
from heads.closed_form.ridge_lda import LinearModels
from heads.dataset import INVALID, StoreDataset
from heads.device_features import DeviceFeatures
from heads.inference import predict_recordings
from heads.models.head import Head
from heads.models.linear import LinearHead
from heads.settings import HeadSettings

_SETTINGS = HeadSettings(head="linear")
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
        """Features ``(N, P)`` and labels ``(N,)`` float64 of a person's labelled seconds, in order, in blocks."""

    @abstractmethod
    def as_head(self, models: LinearModels, row: int) -> Head:
        """The head that gives each second its score by one of the models."""

    @abstractmethod
    def predict(self, person: str, models: LinearModels, row: int) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of a person's recordings by one of the models: name -> ``(T,)``."""

    def moments(self, person: str) -> ClassMoments:
        """Moments of a person's seconds."""
        first, *rest = (ClassMoments.of(x, y) for x, y in self.blocks(person))
        return sum(rest, first)

    def scores(self, person: str, models: LinearModels) -> tuple[NDArray[Any], NDArray[Any]]:
        """Labels ``(N,)`` and scores ``(N, R)`` of a person's seconds."""
        pairs = [(y, x @ models.weight + models.bias) for x, y in self.blocks(person)]
        labels, scores = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
        return labels, scores


class PooledSeconds(SecondFeatures):
    """Mean over the frames of a second, and its log deviation, of every electrode and dim."""

    def __init__(self, dataset: StoreDataset, statistics: str) -> None:
        self.dataset = dataset
        self.head = LinearHead(_SETTINGS, dataset.shape, dataset.window_s)
        self.statistics = self.head.statistics if statistics == "mean-std" else 1
        self.size = self.statistics * dataset.shape[1] * dataset.shape[2]
        self._features = DeviceFeatures(dataset, self.head, torch.device("cpu"), keep=True)

    def blocks(self, person: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Features ``(N, P)`` and labels ``(N,)`` float64 of a person's labelled seconds, in order, in blocks."""
        rows = np.flatnonzero(self.dataset.person == self.dataset.persons.index(person))
        for start in range(0, len(rows), _BLOCK_WINDOWS):
            windows = rows[start : start + _BLOCK_WINDOWS]
            pooled = self._features.take(windows).view(
                len(windows), self.head.statistics, self.dataset.window_s, -1
            )
            x = pooled[:, : self.statistics].movedim(1, 2).flatten(2).flatten(0, 1)
            labels = torch.from_numpy(self.dataset.labels[windows]).flatten()
            yield x[labels != INVALID].double(), labels[labels != INVALID].double()

    def as_head(self, models: LinearModels, row: int) -> LinearHead:
        """The head that gives each second its own features' score by one of the models."""
        window_s, head = self.dataset.window_s, LinearHead(_SETTINGS, self.dataset.shape, self.dataset.window_s)
        weight = torch.zeros(window_s, head.statistics, window_s, self.size // self.statistics)
        by_statistic = models.weight[:, row].float().view(self.statistics, -1)
        for second in range(window_s):
            weight[second, : self.statistics, second] = by_statistic
        with torch.no_grad():
            head.out.weight.copy_(weight.flatten(1))
            head.out.bias.fill_(float(models.bias[row]))
        return head

    def predict(self, person: str, models: LinearModels, row: int) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of a person's recordings by one of the models: name -> ``(T,)``."""
        head = self.as_head(models, row)
        state = {name: value[None] for name, value in head.state_dict().items()}
        predicted = predict_recordings(head, state, self.dataset, self._features, person)
        return {name: values[0] for name, values in predicted.items()}
