"""Fit linear classifiers of every leave-one-person-out fold at once."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, sub
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.closed_form.ridge_lda import LinearModels, best_strength, fit_ridge_lda, join_models
from heads.closed_form.seconds import SecondFeatures
from heads.folds import Fold
from heads.inference import aurocs, best_threshold
from heads.models.head import Head

STRENGTHS = tuple(float(f"{value:.3g}") for value in np.logspace(-3, 3, 13))
Scored = tuple[NDArray[Any], NDArray[Any]]  # labels (N,) and scores (N, R) of a person


@dataclass(frozen=True)
class FittedFold:
    """The linear heads of one fold and what chose them."""

    fold: Fold
    head: Head
    validation: Mapping[str, NDArray[np.float32]]  # recordings of the validation persons -> (T,), by inner models
    test: Mapping[str, NDArray[np.float32]]  # recordings of the tested persons -> (T,), by the head
    threshold: float
    best: int  # the strength that was chosen
    scores: Tensor  # (R,), validation AUROC of each strength
    losses: Tensor | None = None  # (R,), validation log loss of each strength


def fit_closed_form(seconds: SecondFeatures, folds: Sequence[Fold], method: str) -> Iterator[FittedFold]:
    """Fit every fold on all persons but the tested one.

    Strength and threshold are chosen on predictions for each of these persons by the model without it and the
    tested one: a pair of persons shares a model between two folds. In a given split the validation persons alone
    choose, and the head is fitted to the train persons.
    """
    persons = seconds.dataset.persons
    moments = {person: seconds.moments(person) for person in persons}
    total = functools.reduce(add, moments.values())
    held_out = {left_out for fold in folds for left_out in _left_out(fold).values()}
    without = {
        pair: fit_ridge_lda(
            functools.reduce(sub, (moments[person] for person in sorted(pair)), total), STRENGTHS, method
        )
        for pair in sorted(held_out, key=sorted)
    }
    scored = {person: _score_by_others(seconds, person, without) for person in persons}
    for fold in folds:
        left_out = _left_out(fold)
        by_person = [scored[person][left_out[person] - {person}] for person in sorted(left_out)]
        scores = torch.stack([score_person(*one) for one in by_person])
        best = best_strength(scores)
        unknown = (*fold.test, *fold.validation) if fold.is_given else fold.test
        known = functools.reduce(sub, (moments[person] for person in unknown), total)
        fitted = fit_ridge_lda(known, STRENGTHS, method)
        if fold.inner or fold.is_given:
            models = {person: without[left_out[person]] for person in fold.validation}
        else:
            trained = functools.reduce(sub, (moments[person] for person in fold.validation), known)
            models = dict.fromkeys(fold.validation, fit_ridge_lda(trained, STRENGTHS, method))
        validation = predict_by(seconds, models, best)
        test = predict_by(seconds, dict.fromkeys(fold.test, fitted), best)
        threshold = _choose_threshold(by_person, best)
        yield FittedFold(fold, seconds.as_head(fitted, best), validation, test, threshold, best, scores.nanmean(0))


def _left_out(fold: Fold) -> dict[str, frozenset[str]]:
    """Persons left out of the model that chooses by each person."""
    if fold.is_given:
        return dict.fromkeys(fold.validation, frozenset((*fold.test, *fold.validation)))
    return {person: frozenset((*fold.test, person)) for person in {*fold.train, *fold.validation}}


def predict_by(
    seconds: SecondFeatures, models: Mapping[str, LinearModels], best: int
) -> dict[str, NDArray[np.float32]]:
    """Probability of each second of persons by the model ``best`` of those of each: recording -> ``(T,)``."""
    by_person = (seconds.predict(person, by, best) for person, by in models.items())
    return {name: values for predicted in by_person for name, values in predicted.items()}


def _score_by_others(
    seconds: SecondFeatures, person: str, without: Mapping[frozenset[str], LinearModels]
) -> dict[frozenset[str], Scored]:
    """Labels and scores of a person by each model that did not see them; the key is who else it did not see."""
    held_out = [pair for pair in without if person in pair]
    models = [without[pair] for pair in held_out]
    if not models:
        return {}
    labels, scores = seconds.scores(person, join_models(models))
    parts = np.split(scores.astype(np.float32), len(held_out), axis=1)
    return {pair - {person}: (labels, part) for pair, part in zip(held_out, parts, strict=True)}


def score_person(labels: NDArray[Any], scores: NDArray[Any]) -> Tensor:
    """AUROC ``(R,)`` of a person's labels ``(N,)`` by each column of scores; nan if the labels are all alike."""
    if not len(labels) or labels.min() == labels.max():
        return torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    return torch.from_numpy(aurocs(labels, scores.T))


def _choose_threshold(scored: Iterable[Scored], best: int) -> float:
    """The probability with the largest F1 over the seconds of all persons, by the model ``best``."""
    labels, scores = (np.concatenate(parts) for parts in zip(*((y, s[:, best]) for y, s in scored), strict=True))
    return best_threshold(labels, torch.from_numpy(scores).float().sigmoid().numpy())
