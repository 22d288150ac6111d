"""Trials: each is one head to train and choose."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.dataset import Dataset
from heads.folds import Fold
from heads.models.head import Head
from heads.models.registry import make_head
from heads.run_folder.head_sources import HeadSources
from heads.settings import TrainSettings
from store.runtime.old_spellings import restore_settings


@dataclass(frozen=True)
class Trial:
    """One head to train and to choose: fold and settings. Without validation persons it keeps its last epoch."""

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
    validation: Mapping[str, NDArray[np.float32]] | None = None
    """Probability of each second of the validation persons, recording -> ``(T,)``; None if not kept."""
    test: Mapping[str, NDArray[np.float32]] | None = None
    """The same of the tested persons."""
    score: float = np.nan
    """AUROC of these predictions of the validation persons, mean over persons; by it sweeps choose."""

    @property
    def epoch_score(self) -> float:
        """AUROC of single seconds in the best epoch, by which epochs are chosen; nan if nobody validates."""
        return self.history[self.best_epoch - 1].get("validation_auroc", np.nan) if self.best_epoch else np.nan


def trial_on_everyone(trial: Trial, result: TrialResult, dataset: Dataset) -> Trial:
    """The trial on all persons, for as many epochs as validation persons chose."""
    settings = dataclasses.replace(trial.settings, epochs=result.best_epoch)
    return Trial(Fold(trial.fold.name, (), (), dataset.persons), settings)


def hash_trials(trials: Sequence[Trial], head_sources: HeadSources) -> str:
    """Hash that names the files of a group of trials; without sources the same as in earlier versions.

    Parameters
    ----------
    head_sources
        That the run recorded, of heads that are not this project's.
    """
    content = []
    for trial in trials:
        fold = dataclasses.asdict(trial.fold)
        if not trial.fold.inner:
            del fold["inner"]
        named: dict[str, object] = {"fold": fold, "settings": restore_settings(dataclasses.asdict(trial.settings))}
        if trial.settings.head in head_sources:
            named["source"] = head_sources[trial.settings.head]["sha256"]
        content.append(named)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
