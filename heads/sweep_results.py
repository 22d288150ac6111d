"""Finished slots of a sweep, a file for each group of them."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch

from heads.dataset import Windows
from heads.folds import Fold
from heads.models.registry import make_head
from heads.training.trials import Slot, Trained, TrainSettings
from store.runtime.atomic import write_bytes, write_text


@dataclass(frozen=True)
class Cell:
    """One finished slot of a sweep."""

    slot: Slot
    score: float  # validation AUROC of the best epoch, nan if it failed
    best_epoch: int
    threshold: float
    history: tuple[dict[str, float], ...]
    failure: str
    head_path: Path
    head_prefix: str  # of its tensors in that file, empty if the head was not kept

    def load(self, windows: Windows) -> Trained:
        """The head that was kept."""
        settings = self.slot.settings
        head = make_head(settings, windows.shape, windows.window_s, settings.seed)
        with safetensors.safe_open(self.head_path, "pt") as file:
            state = {name: file.get_tensor(f"{self.head_prefix}.{name}") for name in head.state_dict()}
        head.load_state_dict(state)
        return Trained(head, self.best_epoch, self.threshold, self.history)


def write_cells(path: Path, group: Sequence[Slot], trained: Sequence[Trained]) -> None:
    """Write what became of a group, and beside it the heads of the best setting of each fold."""
    heads = path.with_suffix(".safetensors")
    cells = [
        Cell(slot, one.score, one.best_epoch, one.threshold, one.history, one.failure, heads, "")
        for slot, one in zip(group, trained, strict=True)
    ]
    best = {fold: best_setting(cells, fold) for fold in {slot.fold for slot in group}}
    rows, tensors = [], {}
    for number, (cell, one) in enumerate(zip(cells, trained, strict=True)):
        keep = best[cell.slot.fold] == unseeded(cell.slot)
        row = {
            "score": cell.score,
            "best_epoch": cell.best_epoch,
            "threshold": cell.threshold,
            "history": cell.history,
            "failure": cell.failure,
            "head_prefix": str(number) if keep else "",
        }
        rows.append(row)
        if keep:
            tensors |= {f"{number}.{name}": value.contiguous() for name, value in one.head.state_dict().items()}
    write_bytes(heads, safetensors.torch.save(tensors))
    write_text(path, json.dumps(rows) + "\n")


def read_cells(path: Path, group: Sequence[Slot]) -> list[Cell]:
    """Read what `write_cells` wrote of that group."""
    heads = path.with_suffix(".safetensors")
    return [
        Cell(slot=slot, head_path=heads, **{**row, "history": tuple(row["history"])})
        for slot, row in zip(group, json.loads(path.read_text()), strict=True)
    ]


def best_setting(cells: Sequence[Cell], fold: Fold) -> TrainSettings | None:
    """The setting with the best mean validation AUROC over seeds, of those that failed with none of them."""
    scores: dict[TrainSettings, list[float]] = {}
    for cell in cells:
        if cell.slot.fold == fold:
            scores.setdefault(unseeded(cell.slot), []).append(np.nan if cell.failure else cell.score)
    usable = {setting: np.mean(own) for setting, own in scores.items() if np.isfinite(own).all()}
    return max(usable, key=lambda setting: usable[setting], default=None)


def unseeded(slot: Slot) -> TrainSettings:
    """A slot's settings, the same for all of its seeds."""
    return dataclasses.replace(slot.settings, seed=0)
