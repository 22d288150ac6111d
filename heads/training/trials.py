"""Trials: one head to train each, and groups of them that train together."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heads.dataset import Dataset
from heads.folds import Fold
from heads.models.head import Head
from heads.models.registry import make_head
from heads.settings import TrainSettings
from store.runtime.old_spellings import restore_settings

_GROUP_BYTES = 1 << 30
_SHARED = ("head", "filters", "pooling", "hidden", "batch_windows", "background_per_seizure", "precision")


@dataclass(frozen=True)
class Trial:
    """One head to train: fold and settings. Without validation persons it keeps its last epoch."""

    fold: Fold
    settings: TrainSettings

    def make_head(self, dataset: Dataset) -> Head:
        """The untrained head, not yet standardised."""
        return make_head(self.settings, dataset.shape, dataset.window_s, self.settings.seed)

    def check(self, dataset: Dataset) -> None:
        """Raise a `UserError` if a setting cannot train, or the head cannot be made."""
        self.settings.check()
        self.make_head(dataset)


@dataclass(frozen=True)
class TrialResult:
    """A trained head and what its validation persons chose."""

    head: Head
    best_epoch: int
    threshold: float
    history: tuple[dict[str, float], ...]
    error: str | None = None  # why training ended early

    @property
    def score(self) -> float:
        """Validation AUROC of the best epoch, nan if there is none."""
        scores = {entry["epoch"]: entry.get("validation_auroc", np.nan) for entry in self.history}
        return scores.get(self.best_epoch, np.nan)


def trial_on_everyone(trial: Trial, result: TrialResult, dataset: Dataset) -> Trial:
    """The trial on all persons, for as many epochs as validation persons chose."""
    settings = dataclasses.replace(trial.settings, epochs=result.best_epoch)
    return Trial(Fold(trial.fold.name, (), (), dataset.persons), settings)


def hash_trials(trials: Sequence[Trial]) -> str:
    """Hash that names the files of a group of trials; the same as in earlier versions."""
    content = []
    for trial in trials:
        fold = dataclasses.asdict(trial.fold)
        if not trial.fold.inner:
            del fold["inner"]
        content.append({"fold": fold, "settings": restore_settings(dataclasses.asdict(trial.settings))})
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def split_groups(
    trials: Sequence[Trial], dataset: Dataset, together: int = 1, limit_bytes: int = _GROUP_BYTES
) -> list[list[Trial]]:
    """Split trials into groups that train together: of one shape and batch order, few enough for the memory.

    Runs of ``together`` trials stay in one group.

    Raises
    ------
    UserError
        If a trial has a setting that cannot train.
    """
    alike: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        trial.settings.check()
        alike.setdefault(tuple(getattr(trial.settings, name) for name in _SHARED), []).append(trial)
    groups = []
    for group in alike.values():
        trial_bytes = _trial_bytes(group[0], dataset)
        size = max(1, limit_bytes // trial_bytes // together) * together
        groups += [group[start : start + size] for start in range(0, len(group), size)]
    return groups


def _trial_bytes(trial: Trial, dataset: Dataset) -> int:
    """Bytes of a trial's largest tensors in a step.

    Of `SpatialFusionHead` these are the responses of its filters, ``(B, F, filters)``, with their gradient, of a
    head without a stacked form its standardised features and what it makes of them; and five copies of weights.
    """
    settings, head = trial.settings, trial.make_head(dataset)
    if type(head).forward_stacked is Head.forward_stacked:
        window = 3 * math.prod(dataset.shape)
    else:
        filters = settings.filters if settings.head == "spatial-fusion" else dataset.window_s
        window = 2 * dataset.shape[0] * filters
    weights = sum(value.numel() for value in head.parameters())
    return 4 * (settings.batch_windows * window + 5 * weights)


def positive_weights(trials: Sequence[Trial], dataset: Dataset) -> list[float]:
    """Weight of a seizure second in each trial: as set, or background over seizure seconds as they are sampled."""
    order = dataset.epoch_windows(1, trials[0].settings.background_per_seizure)
    counts = np.zeros((2, len(dataset.persons)))
    for label in (0, 1):
        np.add.at(counts[label], dataset.person[order], (dataset.labels[order] == label).sum(1))
    weights = []
    for trial in trials:
        background, seizure = counts[:, [dataset.persons.index(person) for person in trial.fold.train]].sum(1)
        given = trial.settings.positive_weight
        weights.append(float(background / seizure) if given is None else given)
    return weights


def initial_head(trial: Trial, dataset: Dataset) -> Head:
    """The untrained head of a trial, standardised by its training persons."""
    head = trial.make_head(dataset)
    moments = dataset.moments(trial.fold.train)
    count = np.maximum(moments.count, 1)[:, None]
    mean = moments.total / count
    std = np.sqrt(np.maximum(moments.squares / count - mean**2, 0))
    varies = std > 1e-6 * np.maximum(1, np.abs(mean))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(np.where(varies, 1 / np.where(varies, std, 1), 0.0)))
    return head
