"""Fit linear classifiers of every leave-one-person-out fold at once."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import add, sub
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.closed_form.logistic import fit_logistic
from heads.closed_form.ridge_lda import LinearModels, best_strength, fit_ridge_lda
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import INVALID
from heads.folds import Fold
from heads.inference import aurocs, best_threshold
from heads.models.linear import LinearHead
from store.runtime.errors import UserError

STRENGTHS = tuple(float(f"{value:.3g}") for value in np.logspace(-3, 3, 13))
_LOGISTIC_BYTES = 4 << 30  # of the features, which it keeps in memory


@dataclass(frozen=True)
class FittedFold:
    """The linear heads of one fold and what chose them."""

    fold: Fold
    head: LinearHead
    validation_head: LinearHead  # its training left the validation persons out
    threshold: float
    scores: Tensor  # (R,), validation AUROC of each strength


def fit_closed_form(seconds: PooledSeconds, folds: Sequence[Fold], method: str) -> Iterator[FittedFold]:
    """Fit every fold on all persons but the tested one; pairs of persons choose its strength and threshold."""
    persons = seconds.dataset.persons
    moments = {person: seconds.moments(person) for person in persons}
    total = functools.reduce(add, moments.values())
    without = {
        frozenset(pair): fit_ridge_lda(total - moments[pair[0]] - moments[pair[1]], STRENGTHS, method)
        for pair in itertools.combinations(persons, 2)
    }
    scored = {person: _score_by_others(seconds, person, without) for person in persons}
    for fold in folds:
        (person,) = fold.test
        others = [other for other in persons if other != person]
        scores = torch.stack([_aurocs(*scored[other][person]) for other in others])
        best = best_strength(scores)
        labels = np.concatenate([scored[other][person][0] for other in others])
        values = np.concatenate([scored[other][person][1][:, best] for other in others])
        known = total - moments[person]
        held_out = [moments[other] for other in fold.validation]
        head, validation_head = (
            seconds.as_head(fit_ridge_lda(training, STRENGTHS, method), best)
            for training in (known, functools.reduce(sub, held_out, known))
        )
        yield FittedFold(fold, head, validation_head, _threshold(labels, values), scores.nanmean(0))


def fit_folds(seconds: PooledSeconds, folds: Sequence[Fold]) -> Iterator[FittedFold]:
    """Fit logistic regression on the training persons of each fold; its validation persons choose.

    Raises
    ------
    UserError
        If the features of all seconds do not fit in memory.
    """
    needed = 8 * seconds.size * int((seconds.dataset.labels != INVALID).sum())
    if needed > _LOGISTIC_BYTES:
        raise UserError(
            f"logistic regression keeps all seconds in memory, {needed / 1e9:.0f} GB here, "
            f"{_LOGISTIC_BYTES / 1e9:.0f} are allowed; use --method lda or python -m heads.train --head linear"
        )
    blocks = {person: list(seconds.blocks(person)) for person in seconds.dataset.persons}
    moments = {person: seconds.moments(person) for person in seconds.dataset.persons}
    for fold in folds:
        x, y = (
            torch.cat(parts) for parts in zip(*(block for p in fold.train for block in blocks[p]), strict=True)
        )
        known = functools.reduce(add, (moments[person] for person in fold.train))
        models = fit_logistic(x, y, known.mean, known.scale, STRENGTHS)
        scored = [seconds.scores(person, models) for person in fold.validation]
        scores = torch.stack([_aurocs(*pair) for pair in scored])
        best = best_strength(scores)
        labels, values = (np.concatenate(both) for both in zip(*scored, strict=True))
        head = seconds.as_head(models, best)
        yield FittedFold(fold, head, head, _threshold(labels, values[:, best]), scores.nanmean(0))


def _score_by_others(
    seconds: PooledSeconds, person: str, without: dict[frozenset[str], LinearModels]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Labels and scores ``(N, R)`` of a person by the models without them and one other, by the other's name."""
    others = [other for other in seconds.dataset.persons if other != person]
    models = [without[frozenset((person, other))] for other in others]
    joined = LinearModels(torch.cat([one.weight for one in models], 1), torch.cat([one.bias for one in models]))
    labels, scores = seconds.scores(person, joined)
    parts = np.split(scores.astype(np.float32), len(others), axis=1)
    return {other: (labels, part) for other, part in zip(others, parts, strict=True)}


def _aurocs(labels: NDArray[Any], scores: NDArray[Any]) -> Tensor:
    """AUROC of each column of ``scores (N, R)``; nan if the labels are all alike."""
    if not len(labels) or labels.min() == labels.max():
        return torch.full((scores.shape[1],), torch.nan)
    return torch.from_numpy(aurocs(labels, scores.T))


def _threshold(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    return best_threshold(labels, torch.from_numpy(scores).float().sigmoid().numpy())
