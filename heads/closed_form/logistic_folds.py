"""Logistic regression of leave-one-person-out folds; predictions for all training persons choose C."""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from heads.closed_form.leave_one_out import FittedFold, choose_threshold, predict_validation, score_persons
from heads.closed_form.logistic import fit_logistic
from heads.closed_form.moments import inverse_deviation
from heads.closed_form.ridge_lda import LinearModels, best_strength
from heads.closed_form.seconds import SecondFeatures
from heads.folds import Fold, LabelCounts, split_persons
from store.runtime.commands import command_line
from store.runtime.errors import UserError

INVERSE_STRENGTHS = (1e-3, 3e-3, 1e-2)  # C of scikit-learn
_GROUPS = 4
_MOST_BACKGROUND = 16_384  # seconds of a person; more are sampled evenly, each weighing as many as it stands for
_MOST_BYTES = 4 << 30  # of features in memory


@dataclass(frozen=True)
class TrainingSeconds:
    """Seconds of one person to train on: features ``(N, P)``, labels and counts ``(N,)``, all float64.

    ``count`` is the number of seconds that a second stands for.
    """

    x: Tensor
    y: Tensor
    count: Tensor

    @property
    def weights(self) -> Tensor:
        """One over the root of the person's seconds, for each that a second stands for; ``(N,)``."""
        return self.count / self.count.sum().sqrt()


def fit_logistic_folds(seconds: SecondFeatures, folds: Sequence[Fold]) -> Iterator[FittedFold]:
    """Fit each fold on all persons but the tested one.

    C and threshold are chosen on predictions for each of these persons by models of the others: the persons are in
    4 groups, and a model is fitted without each group. In a given split the validation persons alone choose, and
    the head is fitted to the train persons.

    Raises
    ------
    UserError
        If the features of all training seconds do not fit in memory.
    """
    counts = seconds.dataset.label_counts()
    _require_memory(seconds, counts)
    rows = {person: _training_seconds(seconds, person, count.background) for person, count in counts.items()}
    for fold in folds:
        known = sorted({*fold.train, *fold.validation})
        others = {person: counts[person] for person in known}
        groups = (fold.validation,) if fold.is_given else fold.inner or split_persons(others, _GROUPS)
        rest = [[rows[person] for person in known if person not in group] for group in groups]
        fitted = list(zip(groups, _fit_each(rest, INVERSE_STRENGTHS), strict=True))
        inner = {person: models for group, models in fitted for person in group}
        scored = {person: seconds.scores(person, models) for person, models in inner.items()}
        scores = score_persons(scored.values())
        best = best_strength(scores)
        chosen = INVERSE_STRENGTHS[best : best + 1]
        nested = bool(fold.inner) or fold.is_given
        sets = [fold.train] if nested else [known, fold.train]
        of_all, *of_train = _fit_each([[rows[person] for person in persons] for persons in sets], chosen)
        if nested:
            validation = predict_validation(seconds, inner, best)
        else:
            validation = predict_validation(seconds, dict.fromkeys(fold.validation, of_train[0]), 0)
        threshold = choose_threshold(scored.values(), best)
        yield FittedFold(fold, seconds.as_head(of_all, 0), validation, threshold, scores.nanmean(0))


def _fit_each(sets: Sequence[Sequence[TrainingSeconds]], inverse_strengths: Sequence[float]) -> list[LinearModels]:
    """Fit sets of persons side by side, each on one thread: products with one vector gain nothing from more."""
    with (
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),  # `fit_logistic` raises an error
        threadpool_limits(1),
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        return list(pool.map(lambda persons: _fit(persons, inverse_strengths), sets))


def _fit(persons: Sequence[TrainingSeconds], inverse_strengths: Sequence[float]) -> LinearModels:
    """Fit the seconds of persons, standardised by their mean and deviation."""
    x = torch.cat([person.x for person in persons])
    y = torch.cat([person.y for person in persons])
    weights = torch.cat([person.weights for person in persons])
    share = torch.cat([person.count for person in persons])
    share = share / share.sum()
    mean = share @ x
    scale = inverse_deviation(mean, share @ (x - mean).square())
    return fit_logistic(x, y, weights, mean, scale, inverse_strengths)


def _training_seconds(seconds: SecondFeatures, person: str, background: int) -> TrainingSeconds:
    """Every seizure second of a person, and every background second or, of many, evenly spaced ones."""
    step = max(1, -(-background // _MOST_BACKGROUND))
    parts, passed = [], 0
    for x, y in seconds.blocks(person):
        number = passed + (y == 0).cumsum(0) - 1
        kept = (y == 1) | (number % step == 0)
        passed += int((y == 0).sum())
        parts.append((x[kept], y[kept]))
    x, y = (torch.cat(part) for part in zip(*parts, strict=True))
    return TrainingSeconds(x, y, torch.where(y == 1, 1.0, background / max(1, int((y == 0).sum()))).double())


def _require_memory(seconds: SecondFeatures, counts: dict[str, LabelCounts]) -> None:
    rows = sum(count.ictal + min(count.background, _MOST_BACKGROUND) for count in counts.values())
    needed = 8 * seconds.size * rows
    if needed > _MOST_BYTES:
        raise UserError(
            f"logistic regression keeps the seconds it is fitted to in memory, {needed / 1e9:.0f} GB here, "
            f"{_MOST_BYTES / 1e9:.0f} are allowed; use --statistics pooled, --method lda, or "
            f"{command_line('heads.train')} --head linear"
        )
