"""python -m heads.probe: linear probes of seconds, every leave-one-person-out fold at once."""

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from heads.closed_form.logistic import fit_logistic
from heads.closed_form.ridge_lda import Models, Sums, best_strength, fit
from heads.dataset import Windows
from heads.device_features import DeviceFeatures
from heads.folds import Fold, make_folds
from heads.inference import best_threshold
from heads.models.registry import LinearHead
from heads.run_folder import Run
from heads.train import run_config, write_fold
from heads.training.trials import Slot, Trained, TrainSettings
from store import open as open_store
from store.runtime.cli import run as run_command
from store.runtime.errors import UserError

STRENGTHS = tuple(float(f"{value:.3g}") for value in np.logspace(-3, 3, 13))
_BLOCK_WINDOWS = 512
_LOGISTIC_BYTES = 4 << 30  # of the features, which it keeps in memory


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line of ``python -m heads.probe``."""

    store: Path
    """Folder of the store."""
    out: Path | None = None
    """Run folder; runs/STORE-METHOD if not given. Finished folds in it are kept."""
    method: Literal["ridge", "lda", "logistic"] = "lda"
    """Ridge regression, discriminant analysis, or logistic regression."""
    statistics: Literal["mean", "mean-deviation"] = "mean"
    """Mean over the frames of a second, and its log deviation; a store with one frame a second has a mean only."""


@dataclass(frozen=True)
class Fitted:
    """What one fold came to."""

    fold: Fold
    head: LinearHead
    judged: LinearHead  # the head whose training left the validation persons out
    threshold: float
    scores: Tensor  # (R,), validation AUROC of each strength


class Seconds:
    """Pooled features of seconds, person by person."""

    def __init__(self, windows: Windows, statistics: str) -> None:
        self.windows = windows
        self.head = LinearHead(windows.shape, windows.window_s)
        self.statistics = self.head.statistics if statistics == "mean-deviation" else 1
        self._features = DeviceFeatures(windows, self.head, torch.device("cpu"), keep=True)

    @property
    def size(self) -> int:
        """P, features of a second."""
        return self.statistics * self.windows.shape[1] * self.windows.shape[2]

    def blocks(self, person: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Features ``(N, P)`` and labels ``(N,)`` float64 of a person's valid seconds, in order, in blocks."""
        rows = np.flatnonzero(self.windows.person == self.windows.persons.index(person))
        for start in range(0, len(rows), _BLOCK_WINDOWS):
            indices = rows[start : start + _BLOCK_WINDOWS]
            pooled = self._features.take(indices).unflatten(1, (self.head.statistics, self.windows.window_s, -1))
            x = pooled[:, : self.statistics].movedim(1, 2).flatten(2).flatten(0, 1)
            labels = torch.from_numpy(self.windows.labels[indices]).flatten()
            yield x[labels >= 0].double(), labels[labels >= 0].double()

    def sums(self, person: str) -> Sums:
        """Sums over a person's seconds."""
        first, *rest = (Sums.of(x, y) for x, y in self.blocks(person))
        return sum(rest, first)

    def scores(self, person: str, models: Models) -> tuple[np.ndarray, np.ndarray]:
        """Labels ``(N,)`` and scores ``(N, R)`` of a person's seconds."""
        pairs = [(y, x @ models.weight + models.bias) for x, y in self.blocks(person)]
        labels, scores = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
        return labels, scores

    def as_head(self, models: Models, row: int) -> LinearHead:
        """The head that gives each second its own features' score by one of the models."""
        window_s, head = self.windows.window_s, LinearHead(self.windows.shape, self.windows.window_s)
        weight = torch.zeros(window_s, head.statistics, window_s, self.size // self.statistics)
        own = models.weight[:, row].float().view(self.statistics, -1)
        for second in range(window_s):
            weight[second, : self.statistics, second] = own
        with torch.no_grad():
            head.out.weight.copy_(weight.flatten(1))
            head.out.bias.fill_(float(models.bias[row]))
        return head


def fit_closed_form(seconds: Seconds, folds: Sequence[Fold], method: str) -> Iterator[Fitted]:
    """Fit every fold on all persons but the tested one; pairs of persons choose its strength and threshold."""
    persons = seconds.windows.persons
    sums = {person: seconds.sums(person) for person in persons}
    first, *rest = sums.values()
    total = sum(rest, first)
    without = {
        frozenset(pair): fit(total - sums[pair[0]] - sums[pair[1]], STRENGTHS, method)
        for pair in itertools.combinations(persons, 2)
    }
    judged = {person: _judge(seconds, person, without) for person in persons}
    for fold in folds:
        (person,) = fold.test
        others = [other for other in persons if other != person]
        scores = torch.stack([_aurocs(*judged[other][person]) for other in others])
        best = best_strength(scores)
        labels = np.concatenate([judged[other][person][0] for other in others])
        values = np.concatenate([judged[other][person][1][:, best] for other in others])
        known = total - sums[person]
        held_out = [sums[other] for other in fold.validation]
        heads = [
            seconds.as_head(fit(one, STRENGTHS, method), best)
            for one in (known, functools.reduce(sub, held_out, known))
        ]
        yield Fitted(fold, *heads, _threshold(labels, values), scores.nanmean(0))


def fit_folds(seconds: Seconds, folds: Sequence[Fold]) -> Iterator[Fitted]:
    """Fit logistic regression on the training persons of each fold; its validation persons choose.

    Raises
    ------
    UserError
        If the features of all seconds do not fit in memory.
    """
    needed = 8 * seconds.size * int((seconds.windows.labels >= 0).sum())
    if needed > _LOGISTIC_BYTES:
        raise UserError(
            f"logistic regression keeps all seconds in memory, {needed / 1e9:.0f} GB here, "
            f"{_LOGISTIC_BYTES / 1e9:.0f} are allowed; use --method lda or python -m heads.train --head linear"
        )
    persons = seconds.windows.persons
    parts = [(person, *block) for person in persons for block in seconds.blocks(person)]
    x, y = torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])
    number = torch.cat([torch.full((len(part[2]),), persons.index(part[0])) for part in parts])
    sums = {person: seconds.sums(person) for person in persons}
    rest = [sum((sums[p] for p in fold.train[1:]), sums[fold.train[0]]) for fold in folds]
    count = len(STRENGTHS)
    inside = [torch.tensor([float(p in fold.train) for p in persons]).double()[number] for fold in folds]
    models = fit_logistic(
        x,
        y,
        torch.stack(inside).repeat_interleave(count, 0),
        torch.stack([one.mean for one in rest]).repeat_interleave(count, 0),
        torch.stack([one.scale for one in rest]).repeat_interleave(count, 0),
        torch.tensor(STRENGTHS, dtype=torch.float64).repeat(len(folds)),
    )
    for row, fold in enumerate(folds):
        own = slice(row * count, (row + 1) * count)
        model = Models(models.weight[:, own], models.bias[own])
        judged = [seconds.scores(person, model) for person in fold.validation]
        scores = torch.stack([_aurocs(*pair) for pair in judged])
        best = best_strength(scores)
        labels, values = (np.concatenate(both) for both in zip(*judged, strict=True))
        head = seconds.as_head(model, best)
        yield Fitted(fold, head, head, _threshold(labels, values[:, best]), scores.nanmean(0))


def probe(settings: Settings) -> Run:
    """Fit every fold, predict its test person and write the run.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If a fold cannot be built, or the run folder belongs to other settings.
    """
    windows = Windows(open_store(settings.store))
    folds = make_folds(windows.counts(), "all")
    chosen = {"head": "linear", "method": settings.method, "statistics": settings.statistics}
    out = settings.out or Path("runs") / f"{settings.store.resolve().name}-{settings.method}"
    run = Run.create(out, run_config(chosen, windows.store))
    seconds = Seconds(windows, settings.statistics)
    logistic = settings.method == "logistic"
    for fitted in fit_folds(seconds, folds) if logistic else fit_closed_form(seconds, folds, settings.method):
        history = tuple(
            {"epoch": number, "strength": strength, "validation_auroc": float(score)}
            for number, (strength, score) in enumerate(zip(STRENGTHS, fitted.scores, strict=True), start=1)
        )
        best = best_strength(fitted.scores[None]) + 1
        trained = Trained(fitted.head, best, fitted.threshold, history)
        slot = Slot(fitted.fold, TrainSettings(head="linear"))
        write_fold(run, slot, trained, windows, torch.device("cpu"), fitted.judged)
    return run


def _judge(
    seconds: Seconds, person: str, without: dict[frozenset[str], Models]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and scores ``(N, R)`` of a person by the models without them and one other, by the other's name."""
    others = [other for other in seconds.windows.persons if other != person]
    models = [without[frozenset((person, other))] for other in others]
    joined = Models(torch.cat([one.weight for one in models], 1), torch.cat([one.bias for one in models]))
    labels, scores = seconds.scores(person, joined)
    parts = np.split(scores.astype(np.float32), len(others), axis=1)
    return {other: (labels, part) for other, part in zip(others, parts, strict=True)}


def _aurocs(labels: np.ndarray, scores: np.ndarray) -> Tensor:
    """AUROC of each column of ``scores (N, R)``; nan if the labels are all alike."""
    if labels.min() == labels.max():
        return torch.full((scores.shape[1],), torch.nan)
    return torch.tensor([roc_auc_score(labels, column) for column in scores.T])


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return best_threshold(labels, torch.from_numpy(scores).float().sigmoid().numpy())


def _command(settings: Settings) -> None:
    run = probe(settings)
    for result in run.folds:
        best = result.history[result.best_epoch - 1]
        score = f"validation AUROC {best['validation_auroc']:.3f}"
        print(f"fold {result.fold.name}: strength {best['strength']:g}, {score}")
    print(f"run in {run.path}; score it with: python -m eval {run.path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.probe``."""
    return run_command(
        _command,
        Settings,
        argv,
        prog="python -m heads.probe",
        description="Fit linear probes on the features of a store, every fold at once.",
    )


if __name__ == "__main__":
    sys.exit(main())
