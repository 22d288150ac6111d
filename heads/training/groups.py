"""Groups of trials that train together."""

import math
from collections.abc import Sequence

from heads.dataset import Dataset
from heads.folds import Fold
from heads.models.head import Head
from heads.training.trials import Trial

_GROUP_BYTES = 1 << 30
_NESTED_GROUP_BYTES = 1 << 31  # with inner heads: the more folds train together, the more of them they share
_SHARED = (
    "head",
    "filters",
    "pooling",
    "hidden",
    "context_s",
    "batch_windows",
    "background_per_seizure",
    "precision",
)


def split_groups(
    trials: Sequence[Trial], dataset: Dataset, together: int = 1, limit_bytes: int | None = None
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
        limit = limit_bytes or (_NESTED_GROUP_BYTES if group[0].fold.inner else _GROUP_BYTES)
        groups += _split_by_bytes(group, together, limit, dataset)
    return groups


def _split_by_bytes(trials: Sequence[Trial], together: int, limit: int, dataset: Dataset) -> list[list[Trial]]:
    head_bytes, predicted_bytes = _head_bytes(trials[0], dataset), _prediction_bytes(trials, dataset)
    parts: list[list[Trial]] = [[]]
    heads: set[tuple[object, ...]] = set()  # of the last part
    predictions = 0  # bytes of the last part's
    for start in range(0, len(trials), together):
        added = [*trials[start : start + together]]
        added_heads = {head for number, trial in enumerate(added, start) for head in _heads_of(trial, number)}
        added_predictions = sum(predicted_bytes[trial.fold] for trial in added)
        if parts[-1] and len(heads | added_heads) * head_bytes + predictions + added_predictions > limit:
            parts.append([])
            heads, predictions = set(), 0
        parts[-1] += added
        heads |= added_heads
        predictions += added_predictions
    return parts


def _heads_of(trial: Trial, number: int) -> set[tuple[object, ...]]:
    """The heads that `StackPlan` makes for a trial: its own, and inner heads, which trials share."""
    inner = {(split.train, trial.settings) for split in trial.fold.splits} if trial.fold.inner else set()
    return {(number,), *inner}


def _prediction_bytes(trials: Sequence[Trial], dataset: Dataset) -> dict[Fold, int]:
    """Bytes of what is predicted for the validation persons of each fold, which a group keeps to its end."""
    seconds = {
        person: sum(info.seconds for info, _ in dataset.recordings_of(person)) for person in dataset.persons
    }
    return {
        fold: 4 * sum(seconds[person] for person in fold.validation) for fold in {trial.fold for trial in trials}
    }


def _head_bytes(trial: Trial, dataset: Dataset) -> int:
    """Bytes of a head's largest tensors in a step.

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
