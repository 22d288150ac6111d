"""Control: heads trained on labels shuffled within persons must not beat chance, unless something leaks."""

import math
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from heads.closed_form.electrodes import PooledElectrodes
from heads.closed_form.leave_one_out import fit_closed_form
from heads.closed_form.logistic_folds import fit_logistic_folds
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import INVALID, StoreDataset
from heads.folds import Fold
from heads.inference import predict_persons
from heads.models.head import Head
from heads.models.registry import require_named
from heads.run_folder import Run, plan_folds
from heads.settings import TrainSettings
from heads.training.groups import split_groups
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store import RecordingInfo, Store
from store.runtime.commands import command_line
from store.runtime.errors import UserError

_CHANCE_DEVIATIONS = 2.576  # hold 99 % of a normal distribution


class ShuffledDataset(StoreDataset):
    """A store whose labels of seconds are shuffled within each person."""

    def __init__(self, store: Store, rng: np.random.Generator) -> None:
        self._shuffled = _shuffle(store, rng)
        super().__init__(store)

    def labels_of(self, info: RecordingInfo) -> NDArray[Any]:
        """1-Hz labels of a recording after shuffling, ``(T,)``; -1 if it has none."""
        return self._shuffled.get(info.name, np.full(info.seconds, INVALID, np.int8))


def plan_shuffled(run: Run, dataset: StoreDataset) -> tuple[Fold, ...]:
    """Folds in which heads are trained on shuffled labels: all of the run's store, or that of its given split.

    Raises
    ------
    UserError
        As `heads.run_folder.plan_folds`.
    """
    settings = run.config["settings"]
    counts = dataset.label_counts()
    return plan_folds(dataset.store, counts, "all", settings.get("inner", "one"), settings.get("split"))


def score_shuffled(
    run: Run,
    store: Store,
    device: torch.device,
    rng: np.random.Generator,
    named_heads: Collection[str | None] = (),
) -> pd.DataFrame:
    """Scores of persons whose labels are shuffled, by heads trained as those of the run on shuffled labels.

    Of a run of several seeds, heads are trained with the first.

    Parameters
    ----------
    named_heads
        Heads ``package.module:Name`` that the user named, whose code may run.

    Returns
    -------
    One row per person who has both labels: auroc, and chance_sd as `chance_deviation`.

    Raises
    ------
    UserError
        If the run is a sweep, its head is neither of this project nor named, or training diverges.
    """
    dataset = ShuffledDataset(store, rng)
    scores = {}
    for fold, head in _fit(run, dataset, plan_shuffled(run, dataset), device, named_heads):
        predicted = predict_persons(head, fold.test, dataset, device)
        for person in fold.test:
            infos = [info for info, _ in dataset.recordings_of(person)]
            labels = np.concatenate([dataset.labels_of(info) for info in infos])
            probabilities = np.concatenate([predicted[info.name] for info in infos])
            known = labels != INVALID
            if len(np.unique(labels[known])) == 2:
                labels, probabilities = labels[known], probabilities[known]
                auroc = float(roc_auc_score(labels, probabilities))
                scores[person] = auroc, chance_deviation(labels, probabilities)
    return pd.DataFrame.from_dict(scores, orient="index", columns=["auroc", "chance_sd"])


def chance_deviation(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Standard deviation of the AUROC over all orders of the labels ``(T,)`` (Mann-Whitney, with ties).

    >>> round(chance_deviation(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3])), 3)  # of 0, 0.5 and 1
    0.408
    """
    seconds, ictal = len(labels), int(labels.sum())
    ties = np.unique(probabilities, return_counts=True)[1].astype(float)
    spread = seconds + 1 - (ties**3 - ties).sum() / (seconds * (seconds - 1))
    return math.sqrt(max(0.0, spread) / (12 * ictal * (seconds - ictal)))


def expect_mean_auroc(chance_sd: pd.Series) -> tuple[float, float]:
    """Interval that holds the mean AUROC over persons in 99 of 100 draws of labels.

    What the head without one person finds in that person is what the head without another finds in that one: the
    same product of features and labels of the two. So the mean varies twice as much as that of persons apart.
    """
    half = _CHANCE_DEVIATIONS * math.sqrt(2 * (chance_sd**2).sum()) / len(chance_sd)
    return 0.5 - half, 0.5 + half


def _fit(
    run: Run,
    dataset: StoreDataset,
    folds: tuple[Fold, ...],
    device: torch.device,
    named_heads: Collection[str | None],
) -> Iterator[tuple[Fold, Head]]:
    settings: Mapping[str, Any] = run.config["settings"]
    if "method" in settings:
        pooled = settings.get("statistics") == "pooled"
        seconds = PooledElectrodes(dataset, run.path) if pooled else PooledSeconds(dataset, settings["statistics"])
        is_logistic = settings["method"] == "logistic"
        fitted = (
            fit_logistic_folds(seconds, folds)
            if is_logistic
            else fit_closed_form(seconds, folds, settings["method"])
        )
        for fitted_fold in tqdm(fitted, total=len(folds), unit=" folds", disable=None):
            yield fitted_fold.fold, fitted_fold.head
        return
    settings_of_head = _read_settings(run)
    require_named(settings_of_head.head, named_heads, run.path)
    trials = [Trial(fold, settings_of_head) for fold in folds]
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(unit=" windows x heads", unit_scale=True, disable=None) as bar,
    ):
        for number, group in enumerate(split_groups(trials, dataset)):
            checkpoint = Path(folder, f"{number}.pt")
            for trial, result in zip(
                group, train_stacked(group, dataset, device, checkpoint, bar.update), strict=True
            ):
                if result.error:
                    raise UserError(f"fold {trial.fold.name} with shuffled labels: {result.error}")
                yield trial.fold, result.head


def _read_settings(run: Run) -> TrainSettings:
    settings = {name: value for name, value in run.config["settings"].items() if name not in ("inner", "split")}
    if run.seeds:
        settings["seed"] = run.seeds[0]
    try:
        return TrainSettings(**settings)
    except TypeError as error:
        raise UserError(
            f"{run.path}: a sweep or another kind of run; give one of {command_line('heads.train')} or "
            f"{command_line('heads.probe')}"
        ) from error


def _shuffle(store: Store, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Labels of every labelled recording, ``(T,)``, drawn without replacement from all those of its person."""
    shuffled: dict[str, NDArray[Any]] = {}
    for person in store.persons:
        infos = [info for info in store.recordings if info.person == person and info.labelled]
        if infos:
            labels = rng.permutation(np.concatenate([store.labels(info) for info in infos]))
            parts = np.split(labels, np.cumsum([info.seconds for info in infos])[:-1])
            shuffled |= {info.name: part for info, part in zip(infos, parts, strict=True)}
    return shuffled
