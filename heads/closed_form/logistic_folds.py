"""Logistic regression of leave-one-person-out folds; C is chosen on predictions for all training persons."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heads.closed_form.leave_one_out import FittedFold, predict_folds, score_person, split_by_bytes
from heads.closed_form.logistic import TrainingSeconds, fit_logistic
from heads.closed_form.ridge_lda import LinearModels, join_models
from heads.closed_form.seconds import SecondFeatures
from heads.closed_form.threads import single_threads
from heads.folds import Fold, LabelCounts, Split, split_persons
from heads.inference import choose_threshold
from store.runtime.commands import command_line
from store.runtime.errors import UserError

INVERSE_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # C of scikit-learn
_GROUPS = 4
_MOST_BACKGROUND = 16_384  # seconds of a person; more are sampled evenly, each weighing as many as it stands for
_MOST_BYTES = 4 << 30  # of features in memory

Persons = tuple[str, ...]
Scores = tuple[Tensor, Tensor]  # log loss and AUROC of each C, (R,)


def fit_logistic_folds(
    seconds: SecondFeatures, folds: Sequence[Fold], most_bytes: int = _MOST_BYTES
) -> Iterator[FittedFold]:
    """Fit each fold on all persons but the tested one.

    C and threshold are chosen on predictions for each of these persons by models of the others: the persons are in
    groups, and a model is fitted without each group. C is that of the least log loss, mean over persons, which is
    what the regression minimises, and varies less from person to person than AUROC. In a given split the
    validation persons alone choose, and the head is fitted to the train persons.

    Parameters
    ----------
    most_bytes
        Of features in memory, which are there twice while they are fitted to; of scores at once, after that.

    Raises
    ------
    UserError
        If the features of all training seconds do not fit in memory.
    """
    counts = seconds.dataset.label_counts()
    _require_memory(seconds, counts, most_bytes)
    rows = {person: thin_background(seconds, person, count.background) for person, count in counts.items()}
    splits = {fold.name: _choosing_splits(fold, counts) for fold in folds}
    sets = list(dict.fromkeys(split.train for fold in folds for split in splits[fold.name]))
    models = dict(zip(sets, _fit_sets(rows, sets, [INVERSE_STRENGTHS] * len(sets)), strict=True))
    every_split = [split for fold in folds for split in splits[fold.name]]
    scored = _score_by_others(seconds, models, every_split, most_bytes)
    by_fold = {
        fold.name: [
            torch.stack(part)  # (persons, R)
            for part in zip(
                *(scored[split.train, person] for split in splits[fold.name] for person in split.validation),
                strict=True,
            )
        ]
        for fold in folds
    }
    best = [int(by_fold[fold.name][0].nanmean(0).argmin()) for fold in folds]
    strengths = [INVERSE_STRENGTHS[number : number + 1] for number in best]
    heads = _fit_sets(rows, [_training_persons(fold) for fold in folds], strengths)
    for fold, number, strength, head in zip(folds, best, strengths, heads, strict=True):
        losses, scores = (part.nanmean(0) for part in by_fold[fold.name])
        inner = {
            person: models[split.train].select(number)
            for split in splits[fold.name]
            for person in split.validation
        }
        (choosing,) = predict_folds(seconds, [inner])
        threshold = choose_threshold(seconds.dataset, sorted(inner), choosing)
        if not (fold.inner or fold.is_given):
            (validating,) = _fit_sets(rows, [fold.train], [strength])
            (choosing,) = predict_folds(seconds, [dict.fromkeys(fold.validation, validating)])
        (test,) = predict_folds(seconds, [dict.fromkeys(fold.test, head)])
        yield FittedFold(fold, seconds.as_head(head, 0), choosing, test, threshold, number, scores, losses)


def _choosing_splits(fold: Fold, counts: Mapping[str, LabelCounts]) -> tuple[Split, ...]:
    """Who trains the models that choose for a fold, and whom each predicts."""
    if fold.inner or fold.is_given:
        return fold.splits
    known = sorted({*fold.train, *fold.validation})
    groups = split_persons({person: counts[person] for person in known}, _GROUPS)
    return tuple(Split(tuple(person for person in known if person not in group), group) for group in groups)


def _training_persons(fold: Fold) -> Persons:
    """Who trains the head of a fold."""
    return fold.train if fold.inner or fold.is_given else tuple(sorted({*fold.train, *fold.validation}))


def _fit_sets(
    rows: Mapping[str, TrainingSeconds], sets: Sequence[Persons], inverse_strengths: Sequence[Sequence[float]]
) -> list[LinearModels]:
    """Fit sets of persons, each with its own C, together."""
    trains = np.array([[person in persons for person in rows] for persons in sets])
    return fit_logistic([*rows.values()], trains, np.array(inverse_strengths))


def _score_by_others(
    seconds: SecondFeatures, models: Mapping[Persons, LinearModels], splits: Sequence[Split], most_bytes: int
) -> dict[tuple[Persons, str], Scores]:
    """Scores of persons by models that did not see them: training persons and person -> scores."""
    keys = dict.fromkeys((split.train, person) for split in splits for person in split.validation)
    numbers = {key: number for number, key in enumerate(keys)}
    # Made before, so that no score lies between the large arrays that come and go, and keeps their memory.
    losses, scores = torch.zeros(2, len(numbers), len(INVERSE_STRENGTHS), dtype=torch.float64)

    sets: dict[str, list[Persons]] = {}
    for train, person in numbers:
        sets.setdefault(person, []).append(train)

    def score(person: str) -> None:
        train_sets, columns = sets.get(person, []), len(INVERSE_STRENGTHS)
        for some in split_by_bytes(train_sets, columns, seconds, [person], most_bytes // threads):
            labels, logits = seconds.scores(person, join_models([models[train_set] for train_set in some]))
            for train_set, part in zip(some, np.split(logits, len(some), axis=1), strict=True):
                number = numbers[train_set, person]
                losses[number], scores[number] = _log_losses(labels, part), score_person(labels, part)

    threads = torch.get_num_threads()
    with single_threads() as pool:
        list(pool.map(score, seconds.dataset.persons))
    return {key: (losses[number], scores[number]) for key, number in numbers.items()}


def _log_losses(labels: NDArray[Any], logits: NDArray[np.float32]) -> Tensor:
    """Mean log loss ``(R,)`` of labels ``(N,)`` by each column of logits; nan without labels."""
    targets = torch.from_numpy(labels)[:, None].float().expand(logits.shape)
    losses = binary_cross_entropy_with_logits(torch.from_numpy(logits), targets, reduction="none")
    return losses.double().mean(0)


def thin_background(seconds: SecondFeatures, person: str, background: int) -> TrainingSeconds:
    """Every seizure second of a person, and every background second or, of many, evenly spaced ones."""
    step = max(1, -(-background // _MOST_BACKGROUND))
    parts, passed = [], 0
    for x, y in seconds.blocks(person):
        number = passed + (y == 0).cumsum(0) - 1
        kept = (y == 1) | (number % step == 0)
        passed += int((y == 0).sum())
        parts.append((x[kept], y[kept]))
    x, y = (torch.cat(part) for part in zip(*parts, strict=True))
    return TrainingSeconds(x, y, torch.where(y == 1, 1.0, background / max(1, int((y == 0).sum()))))


def _require_memory(seconds: SecondFeatures, counts: dict[str, LabelCounts], most_bytes: int) -> None:
    rows = sum(count.ictal + min(count.background, _MOST_BACKGROUND) for count in counts.values())
    needed = 4 * seconds.size * rows
    if needed > most_bytes:
        raise UserError(
            f"logistic regression keeps the seconds it is fitted to in memory, {needed / 1e9:.1f} GB here, "
            f"{most_bytes / 1e9:.1f} are allowed; use more --memory, --statistics pooled, --method lda, or "
            f"{command_line('heads.train')} --head linear"
        )
