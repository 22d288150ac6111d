"""Fit the linear classifiers of all leave-one-person-out folds together."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, sub
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from heads.closed_form.moments import ClassMoments
from heads.closed_form.ridge_lda import LinearModels, best_strength, fit_ridge_lda, join_models
from heads.closed_form.seconds import SecondFeatures
from heads.closed_form.threads import single_threads
from heads.folds import Fold
from heads.inference import aurocs, choose_threshold
from heads.models.head import Head
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun

STRENGTHS = tuple(float(f"{value:.3g}") for value in np.logspace(-3, 3, 13))
LeftOut = frozenset[str]  # persons that a model did not see
Value = TypeVar("Value")
_MOST_BYTES = 1 << 30
_BYTES_OF_A_SCORE = 8  # float32, in blocks and joined, or of two predictions
_LARGEST_RATIO = 1e4  # of squares of all persons to those of some that are found by subtraction
_SUMS_OF_A_FIT = 6  # matrices of that size at once, a decomposition among them


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


@dataclass(frozen=True)
class _Plan:
    """Persons whom each model of a fold leaves out."""

    fold: Fold
    choosing: Mapping[str, LeftOut]  # of the model whose predictions for this person choose strength and threshold
    head: LeftOut

    @classmethod
    def of(cls, fold: Fold) -> "_Plan":
        if fold.is_given:
            unseen = frozenset((*fold.test, *fold.validation))
            return cls(fold, dict.fromkeys(fold.validation, unseen), unseen)
        known = sorted({*fold.train, *fold.validation})
        return cls(fold, {person: frozenset((*fold.test, person)) for person in known}, frozenset(fold.test))

    @property
    def validating(self) -> LeftOut | None:
        """Persons left out of the model that predicts the validation persons; None if `choosing` lists theirs."""
        if self.fold.inner or self.fold.is_given:
            return None
        return frozenset((*self.fold.test, *self.fold.validation))

    @property
    def left_out(self) -> set[LeftOut]:
        """Persons that each of the models does not see."""
        return {*self.choosing.values(), self.head} | ({self.validating} if self.validating else set())


def fit_closed_form(
    seconds: SecondFeatures, folds: Sequence[Fold], method: str, most_bytes: int = _MOST_BYTES
) -> Iterator[FittedFold]:
    """Fit every fold on all persons but the tested one.

    Strength and threshold are chosen on predictions for each of these persons by the model without it and the
    tested one: a pair of persons shares a model between two folds. In a given split the validation persons alone
    choose, and the head is fitted to the train persons.

    Parameters
    ----------
    most_bytes
        Of scores and predictions at once; with less, the features are read more often.
    """
    plans = [_Plan.of(fold) for fold in folds]
    models = _fit_models(seconds, plans, method)
    scores = _score_models(seconds, models, plans, most_bytes)
    for group in split_by_bytes(plans, 1, seconds, seconds.dataset.persons, most_bytes):
        yield from _finish_folds(seconds, group, models, scores)


def _fit_models(seconds: SecondFeatures, plans: Sequence[_Plan], method: str) -> dict[LeftOut, LinearModels]:
    """Fit all models of folds, each on one thread."""
    moments = {person: seconds.moments(person) for person in seconds.dataset.persons}
    total = functools.reduce(add, moments.values())
    left_out = sorted(set[LeftOut]().union(*(plan.left_out for plan in plans)), key=sorted)
    size, strengths = seconds.size, len(STRENGTHS)
    # Made before the large matrices come and go, so that no model lies between them and keeps their memory.
    shapes = (size, strengths), (strengths,), (size, 1)
    weight, bias, mean = (torch.zeros(len(left_out), *shape, dtype=torch.float64) for shape in shapes)

    def fit(number: int) -> None:
        fitted = fit_ridge_lda(_sum_others(moments, total, left_out[number]), STRENGTHS, method)
        weight[number], bias[number], mean[number] = fitted.weight, fitted.bias, fitted.mean[:, :1]

    with single_threads() as pool, tqdm(total=len(left_out), unit=" models", disable=None) as bar:
        for _ in pool.map(fit, range(len(left_out))):
            bar.update()
    return {
        persons: LinearModels(weight[number], bias[number], mean[number].expand_as(weight[number]))
        for number, persons in enumerate(left_out)
    }


def _sum_others(moments: Mapping[str, ClassMoments], total: ClassMoments, left_out: LeftOut) -> ClassMoments:
    """Sum over all persons but some: by subtraction, unless that would leave rounding errors of their features."""
    others = functools.reduce(sub, (moments[person] for person in sorted(left_out)), total)
    if (total.products.diagonal() <= _LARGEST_RATIO * others.products.diagonal()).all():
        return others
    return functools.reduce(add, (value for person, value in moments.items() if person not in left_out))


def _score_models(
    seconds: SecondFeatures, models: Mapping[LeftOut, LinearModels], plans: Sequence[_Plan], most_bytes: int
) -> dict[tuple[str, LeftOut], Tensor]:
    """AUROC ``(R,)`` of each person by each model that chooses by it."""
    scores = {}
    for person in seconds.dataset.persons:
        left_out = list(dict.fromkeys(plan.choosing[person] for plan in plans if person in plan.choosing))
        for some in split_by_bytes(left_out, len(STRENGTHS), seconds, [person], most_bytes):
            labels, values = seconds.scores(person, join_models([models[unseen] for unseen in some]))
            for unseen, part in zip(some, np.split(values, len(some), axis=1), strict=True):
                scores[person, unseen] = score_person(labels, part)
    return scores


def _finish_folds(
    seconds: SecondFeatures,
    plans: Sequence[_Plan],
    models: Mapping[LeftOut, LinearModels],
    scores: Mapping[tuple[str, LeftOut], Tensor],
) -> Iterator[FittedFold]:
    """Choose strength and threshold of folds, and predict their persons."""
    by_person = [
        torch.stack([scores[person, plan.choosing[person]] for person in sorted(plan.choosing)]) for plan in plans
    ]
    best = [best_strength(person_scores) for person_scores in by_person]
    known = []  # models of the persons that choose in a fold, or are tested
    validating = []  # of its validation persons, if others predict them than choose by them
    for plan, number in zip(plans, best, strict=True):
        by_others = {person: models[unseen].select(number) for person, unseen in plan.choosing.items()}
        known.append(by_others | dict.fromkeys(plan.fold.test, models[plan.head].select(number)))
        left_out = plan.validating
        validating.append(dict.fromkeys(plan.fold.validation, models[left_out].select(number)) if left_out else {})
    predictions = predict_folds(seconds, [*known, *validating])
    pairs = zip(predictions[: len(plans)], predictions[len(plans) :], strict=True)
    recordings_of = seconds.dataset.recordings_of
    for plan, number, scored, (predicted, validated) in zip(plans, best, by_person, pairs, strict=True):
        threshold = choose_threshold(seconds.dataset, sorted(plan.choosing), predicted)
        validation, test = (
            {info.name: values[info.name] for person in persons for info, _ in recordings_of(person)}
            for persons, values in ((plan.fold.validation, predicted | validated), (plan.fold.test, predicted))
        )
        head = seconds.as_head(models[plan.head], number)
        yield FittedFold(plan.fold, head, validation, test, threshold, number, scored.nanmean(0))


def predict_folds(
    seconds: SecondFeatures, folds: Sequence[Mapping[str, LinearModels]]
) -> list[dict[str, NDArray[np.float32]]]:
    """Probabilities of persons, each by one model in every fold that has it; features are read once.

    Returns
    -------
    list of dict
        Of each fold, recording -> ``(T,)``.
    """
    predicted: list[dict[str, NDArray[np.float32]]] = [{} for _ in folds]
    for person in seconds.dataset.persons:
        concerned = [number for number, models in enumerate(folds) if person in models]
        if concerned:
            by_recording = seconds.predict(person, join_models([folds[number][person] for number in concerned]))
            for name, rows in by_recording.items():
                for number, row in zip(concerned, rows, strict=True):
                    predicted[number][name] = row
    return predicted


def require_memory(seconds: SecondFeatures, most_bytes: int) -> None:
    """Refuse sums over persons that take more memory than that.

    Raises
    ------
    UserError
        Naming what they take.
    """
    sums = len(seconds.dataset.persons) + 1 + _SUMS_OF_A_FIT * torch.get_num_threads()
    needed = 8 * seconds.size**2 * sums
    if needed > most_bytes:
        raise UserError(
            f"the sums over {count_noun(len(seconds.dataset.persons), 'person')} of products of {seconds.size} "
            f"features take {needed / 1e9:.1f} GB, {most_bytes / 1e9:.1f} are allowed; use more --memory, or "
            "--statistics mean or pooled"
        )


def split_by_bytes(
    values: Sequence[Value], columns: int, seconds: SecondFeatures, persons: Sequence[str], most_bytes: int
) -> Iterator[Sequence[Value]]:
    """Split values, each of which gives so many scores of every second of the persons, by memory."""
    infos = (info for person in persons for info, _ in seconds.dataset.recordings_of(person))
    each = _BYTES_OF_A_SCORE * columns * max(1, sum(info.seconds for info in infos))
    at_once = max(1, most_bytes // each)
    for first in range(0, len(values), at_once):
        yield values[first : first + at_once]


def score_person(labels: NDArray[Any], scores: NDArray[Any]) -> Tensor:
    """AUROC ``(R,)`` of a person's labels ``(N,)`` by each column of scores; nan if the labels are all alike."""
    if not len(labels) or labels.min() == labels.max():
        return torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    return torch.from_numpy(aurocs(labels, scores.T))
