"""The heads that a group of trials needs: its own, and inner heads, which folds may share."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heads.dataset import Dataset
from heads.models.head import Head
from heads.models.registry import make_head
from heads.settings import TrainSettings
from heads.training.trials import Trial


@dataclass(frozen=True)
class StackedHead:
    """A head of the stack: the persons that train it, and its settings."""

    train: tuple[str, ...]
    settings: TrainSettings


class StackPlan:
    """The heads of a group of trials.

    Attributes
    ----------
    heads : list of StackedHead
        Inner heads of the same persons and settings are one. Neighbours train on much the same persons.
    own : list of int
        The head that each trial is about.
    choosing : list of dict
        Of each trial: validation person -> the head that predicts the person.
    kept : list of (int, int)
        Trial and head, a row for each head that a trial keeps from its best epoch, its own first.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        heads: list[StackedHead] = []
        trial_heads: list[int] = []
        choosing: list[dict[str, int]] = []
        inner: dict[StackedHead, int] = {}
        for trial in trials:
            trial_heads.append(len(heads))
            heads.append(StackedHead(trial.fold.train, trial.settings))
            of_trial: dict[str, int] = {}
            for split in trial.fold.splits:
                head = StackedHead(split.train, trial.settings)
                number = inner.setdefault(head, len(heads)) if trial.fold.inner else trial_heads[-1]
                if number == len(heads):
                    heads.append(head)
                of_trial |= dict.fromkeys(split.validation, number)
            choosing.append(of_trial)
        order = order_heads(heads)
        place = {number: row for row, number in enumerate(order)}
        self.heads = [heads[number] for number in order]
        self.own = [place[number] for number in trial_heads]
        self.choosing = [{person: place[number] for person, number in of.items()} for of in choosing]
        self.kept = [(number, head) for number in range(len(trials)) for head in self.needed([number])]

    @property
    def identity(self) -> str:
        """Hash of the heads in their order."""
        return hashlib.sha256(repr(self.heads).encode()).hexdigest()

    def needed(self, trials: Iterable[int]) -> list[int]:
        """Heads that trials need, each once."""
        return list(dict.fromkeys(h for n in trials for h in (self.own[n], *self.choosing[n].values())))

    def kept_rows(self, trial: int) -> tuple[list[int], list[int]]:
        """Rows of ``kept`` of a trial, and the heads that they keep."""
        rows = [row for row, (number, _) in enumerate(self.kept) if number == trial]
        return rows, [self.kept[row][1] for row in rows]

    def rows_predicting(self, person: str) -> list[int]:
        """Rows of ``kept`` whose heads predict a validation person for their trial."""
        return [row for row, (number, head) in enumerate(self.kept) if self.choosing[number].get(person) == head]


def order_heads(heads: Sequence[StackedHead]) -> list[int]:
    """Order heads so that each is followed by the one whose training persons differ least, from the first on.

    Neighbours that train on the same windows share the products of these.
    """
    persons = sorted({person for head in heads for person in head.train})
    trains = np.array([np.isin(persons, head.train) for head in heads])
    order, rest = [0], np.arange(1, len(heads))
    while len(rest):
        nearest = int((trains[rest] != trains[order[-1]]).sum(1).argmin())
        order.append(int(rest[nearest]))
        rest = np.delete(rest, nearest)
    return order


def stack_rates(heads: Sequence[StackedHead], dataset: Dataset, device: torch.device) -> dict[str, torch.Tensor]:
    """Settings of the optimizer by name, ``(K,)``, with the weight of a seizure second."""
    rates = {
        name: torch.tensor([getattr(head.settings, name) for head in heads], device=device)
        for name in ("lr", "weight_decay", "clip_norm")
    }
    return rates | {"positive_weight": torch.tensor(positive_weights(heads, dataset), device=device)}


def positive_weights(heads: Sequence[StackedHead], dataset: Dataset) -> list[float]:
    """Weight of a seizure second in each head: as set, or background over seizure seconds as they are sampled."""
    order = dataset.epoch_windows(1, heads[0].settings.background_per_seizure)
    counts = np.zeros((2, len(dataset.persons)))
    for label in (0, 1):
        np.add.at(counts[label], dataset.person[order], (dataset.labels[order] == label).sum(1))
    weights = []
    for head in heads:
        background, seizure = counts[:, [dataset.persons.index(person) for person in head.train]].sum(1)
        given = head.settings.positive_weight
        weights.append(float(background / seizure) if given is None else given)
    return weights


def initial_head(stacked: StackedHead, dataset: Dataset) -> Head:
    """An untrained head, standardised by its training persons."""
    head = make_head(stacked.settings, dataset.shape, dataset.window_s, stacked.settings.seed)
    moments = dataset.moments(stacked.train)
    count = np.maximum(moments.count, 1)[:, None]
    mean = moments.total / count
    std = np.sqrt(np.maximum(moments.squares / count - mean**2, 0))
    varies = std > 1e-6 * np.maximum(1, np.abs(mean))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(np.where(varies, 1 / np.where(varies, std, 1), 0.0)))
    return head
