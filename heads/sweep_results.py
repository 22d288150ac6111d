"""Finished trials of a sweep: one file per group, and the table of all trials."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from heads.folds import Fold
from heads.models.head import Head
from heads.settings import TrainSettings
from heads.training.trials import Trial, TrialResult
from store.runtime.atomic import write_bytes, write_text
from store.runtime.errors import UserError, os_errors
from store.runtime.old_spellings import SWEEP_ROW, translate_keys

_MOST_BYTES = 1 << 30
_VALIDATION = "validation"


@dataclass(frozen=True)
class SweepRow:
    """One finished trial of a sweep."""

    trial: Trial
    score: float  # `TrialResult.score`, nan if training failed
    best_epoch: int
    threshold: float
    history: tuple[dict[str, float], ...]
    error: str | None
    head_path: Path
    head_prefix: str  # of its tensors in that file, empty if the head was not kept

    def load(self, head: Head) -> TrialResult:
        """Read the weights that were kept into an untrained head."""
        try:
            with safetensors.safe_open(self.head_path, "pt") as file:
                state = {name: file.get_tensor(f"{self.head_prefix}.{name}") for name in head.state_dict()}
                prefix = f"{_VALIDATION}/{self.head_prefix}/"
                names = file.keys()
                keys = [name for name in names if name.startswith(prefix)]
                validation = {key.removeprefix(prefix): file.get_tensor(key).numpy() for key in keys}
            head.load_state_dict(state)
        except (safetensors.SafetensorError, RuntimeError, KeyError, OSError) as error:
            raise _damaged(self.head_path, error) from error
        return TrialResult(
            head,
            best_epoch=self.best_epoch,
            threshold=self.threshold,
            history=self.history,
            validation=validation if self.trial.fold.inner else None,
        )

    def checked(self) -> "SweepRow":
        """The row itself; raise a ValueError that names an invalid value."""
        numbers = [self.score, self.threshold, *(value for entry in self.history for value in entry.values())]
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("holds a value that is not a number")
        if type(self.best_epoch) is not int or not 0 <= self.best_epoch <= self.trial.settings.epochs:
            raise ValueError(f"best_epoch is {self.best_epoch!r}")
        if not isinstance(self.head_prefix, str) or not isinstance(self.error, str | None):
            raise ValueError("head_prefix or error is not text")
        if not self.error and not (np.isfinite(self.score) and 0 <= self.threshold <= 1):
            raise ValueError(f"score is {self.score}, threshold {self.threshold}")
        return self


def write_rows(path: Path, group: Sequence[Trial], results: Sequence[TrialResult]) -> None:
    """Write the results of a group, and beside them the heads of the best setting of each fold."""
    heads = path.with_suffix(".safetensors")
    rows = [
        SweepRow(trial, result.score, result.best_epoch, result.threshold, result.history, result.error, heads, "")
        for trial, result in zip(group, results, strict=True)
    ]
    best = {fold: best_setting(rows, fold) for fold in {trial.fold for trial in group}}
    content: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, (row, result) in enumerate(zip(rows, results, strict=True)):
        keep = best[row.trial.fold] == unseeded(row.trial)
        content.append(
            {
                "score": row.score,
                "best_epoch": row.best_epoch,
                "threshold": row.threshold,
                "history": row.history,
                "error": row.error,
                "head_prefix": str(number) if keep else "",
            }
        )
        if keep:
            state = result.head.state_dict()
            tensors |= {f"{number}.{name}": value.contiguous() for name, value in state.items()}
            if row.trial.fold.inner:  # else the head itself predicts its validation persons
                predicted = (result.validation or {}).items()
                # Copies: folds may share one array, which safetensors refuses to write.
                tensors |= {
                    f"{_VALIDATION}/{number}/{name}": torch.from_numpy(value.copy()) for name, value in predicted
                }
    write_bytes(heads, safetensors.torch.save(tensors))
    write_text(path, json.dumps(content) + "\n")


def read_rows(path: Path, group: Sequence[Trial]) -> list[SweepRow]:
    """Read what `write_rows`, or an earlier version, wrote of that group."""
    heads = path.with_suffix(".safetensors")
    try:
        content = [translate_keys(row, SWEEP_ROW) for row in json.loads(_read_bytes(path))]
        return [
            SweepRow(
                trial=trial,
                head_path=heads,
                **{**row, "history": tuple(row["history"]), "error": row["error"] or None},
            ).checked()
            for trial, row in zip(group, content, strict=True)
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def best_setting(rows: Sequence[SweepRow], fold: Fold) -> TrainSettings | None:
    """The setting with the best mean validation AUROC over seeds, of those that failed with none of them."""
    scores: dict[TrainSettings, list[float]] = {}
    for row in rows:
        if row.trial.fold == fold:
            scores.setdefault(unseeded(row.trial), []).append(np.nan if row.error else row.score)
    usable = {
        setting: float(np.mean(by_seed)) for setting, by_seed in scores.items() if np.isfinite(by_seed).all()
    }
    return max(usable, key=lambda setting: usable[setting], default=None)


def choose_setting(rows: Sequence[SweepRow], fold: Fold) -> TrainSettings:
    """The best setting of a fold.

    Raises
    ------
    UserError
        If every setting failed.
    """
    best = best_setting(rows, fold)
    if best is None:
        error = next(row.error for row in rows if row.trial.fold == fold and row.error)
        raise UserError(f"fold {fold.title}: every setting failed; the first: {error}")
    return best


def choose_row(rows: Sequence[SweepRow], fold: Fold) -> SweepRow:
    """The best setting of a fold, with its best seed.

    Raises
    ------
    UserError
        If every setting failed.
    """
    best = choose_setting(rows, fold)
    seeded = [row for row in rows if row.trial.fold == fold and unseeded(row.trial) == best]
    return max(seeded, key=lambda row: row.score)


def unseeded(trial: Trial) -> TrainSettings:
    """A trial's settings, the same for all of its seeds."""
    return dataclasses.replace(trial.settings, seed=0)


def tabulate(rows: Sequence[SweepRow], best: Sequence[TrainSettings], names: Sequence[str]) -> pd.DataFrame:
    """Make one row per setting: validation AUROC (mean, sample sd), failures, folds that chose it."""
    table = []
    for setting, group in itertools.groupby(rows, lambda row: unseeded(row.trial)):
        of_setting = list(group)
        scores = np.array([row.score for row in of_setting if not row.error])
        table.append(
            {
                **{name: getattr(setting, name) for name in names},
                "validation_auroc": scores.mean() if len(scores) else np.nan,
                "sd": scores.std(ddof=1) if len(scores) > 1 else np.nan,
                "best_epoch": np.median([row.best_epoch for row in of_setting]),
                "failed": len(of_setting) - len(scores),
                "folds_choosing": sum(choice == setting for choice in best),
            }
        )
    return pd.DataFrame(table).sort_values("validation_auroc", ascending=False, ignore_index=True)


def _read_bytes(path: Path) -> bytes:
    """A file's content, if it is no larger than a sweep writes."""
    with os_errors(path):
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return path.read_bytes()


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    stem = path.with_suffix("")
    return UserError(f"{path}: damaged ({reason}); remove {stem}.json and {stem}.safetensors, and sweep again")
