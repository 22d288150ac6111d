"""Control: how well features tell persons apart, and which scores remain without that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heads.closed_form.electrodes import PooledElectrodes
from heads.closed_form.logistic_folds import thin_background
from heads.dataset import StoreDataset
from store import Store
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun

INVERSE_STRENGTH = 1e-3  # C of the detector
_MOST_SECONDS = 600  # of background of a person, evenly spaced, for telling persons apart
_FEWEST_SECONDS = 20


@dataclass(frozen=True)
class PersonSeconds:
    """Labelled seconds of a person: features ``(N, P)`` and labels ``(N,)``, in order of time."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]

    def standardised(self) -> "PersonSeconds":
        """With the person's mean and scale, over all of its seconds, removed."""
        deviation = self.x.std(axis=0)
        return PersonSeconds((self.x - self.x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0), self.y)


@dataclass(frozen=True)
class IdentityAudit:
    """What `audit_identity` found."""

    accuracy: float  # of telling persons apart, mean over persons
    persons: int
    scores: pd.DataFrame  # one row per person: AUROC as_is, and with the person's mean and scale removed

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / self.persons


def read_seconds(store: Store, folder: Path) -> dict[str, PersonSeconds]:
    """Statistics over electrodes of labelled seconds, as the probe takes them, by person who has such.

    All seconds of seizure, and of background as many as the probe is fitted to, evenly spaced.

    Parameters
    ----------
    folder
        Where they are kept if the store cannot be written to.
    """
    dataset = StoreDataset(store)
    features, seconds = PooledElectrodes(dataset, folder), {}
    for person, count in dataset.label_counts().items():
        if not (count.ictal or count.background):
            continue
        kept = thin_background(features, person, count.background)
        seconds[person] = PersonSeconds(kept.x.numpy(), kept.y.numpy().astype(int))
    return seconds


def audit_identity(seconds: Mapping[str, PersonSeconds]) -> IdentityAudit:
    """Tell persons apart by the second half of their background, learnt on the first; score seizures without it.

    Raises
    ------
    UserError
        If fewer than two persons have 20 s of background.
    """
    halves = {
        person: _halves(person_seconds)
        for person, person_seconds in seconds.items()
        if (person_seconds.y == 0).sum() >= _FEWEST_SECONDS
    }
    if len(halves) < 2:
        raise UserError(
            f"{count_noun(len(halves), 'person')} with {_FEWEST_SECONDS} s of background; the audit needs two or "
            "more"
        )
    names = list(halves)
    known, asked = (
        (
            np.concatenate([halves[name][side] for name in names]),
            np.repeat(names, [len(halves[name][side]) for name in names]),
        )
        for side in (0, 1)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    accuracy = balanced_accuracy_score(asked[1], model.fit(*known).predict(asked[0]))
    removed = {person: person_seconds.standardised() for person, person_seconds in seconds.items()}
    scores = pd.DataFrame({"as_is": dict(_score_left_out(seconds)), "removed": dict(_score_left_out(removed))})
    return IdentityAudit(float(accuracy), len(names), scores)


def _halves(seconds: PersonSeconds) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and second half in time of a person's background."""
    background = seconds.x[seconds.y == 0]
    kept = background[np.linspace(0, len(background) - 1, min(len(background), _MOST_SECONDS)).astype(int)]
    return kept[: len(kept) // 2], kept[len(kept) // 2 :]


def _score_left_out(seconds: Mapping[str, PersonSeconds]) -> Iterator[tuple[str, float]]:
    """AUROC of each person who has both labels, by a regression on the others."""
    for person, tested in seconds.items():
        others = [other for name, other in seconds.items() if name != person]
        x, y = np.concatenate([other.x for other in others]), np.concatenate([other.y for other in others])
        weights = np.concatenate([np.full(len(other.y), len(other.y) ** -0.5) for other in others])
        if len(np.unique(y)) < 2 or len(np.unique(tested.y)) < 2:
            continue
        scaler = StandardScaler().fit(x)
        model = LogisticRegression(C=INVERSE_STRENGTH, max_iter=1000)
        model.fit(scaler.transform(x), y, sample_weight=weights)
        yield person, float(roc_auc_score(tested.y, model.decision_function(scaler.transform(tested.x))))
