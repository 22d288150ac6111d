"""What is trained: settings, a slot for each fold, setting and seed, and groups of slots that train together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from heads.dataset import Windows
from heads.folds import Fold
from heads.models.registry import Head, HeadSettings, make_head
from store.runtime.errors import UserError

_GROUP_BYTES = 1 << 30
_SHARED = ("head", "filters", "pooling", "hidden", "batch_windows", "background_per_seizure", "precision")


@dataclass(frozen=True)
class TrainSettings(HeadSettings):
    """A head and how it is trained."""

    epochs: int = 30
    """Passes over the data at most."""
    patience: int = 8
    """Epochs without a better validation AUROC after which a fold stops."""
    batch_windows: int = 256
    """Windows in a batch."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW, on weights, not on biases."""
    clip_norm: float = 1.0
    """Largest norm of a head's gradient."""
    positive_weight: float | None = None
    """Weight of seizure seconds in the loss; None balances the classes of the training persons."""
    background_per_seizure: float | None = 10.0
    """Background windows drawn for each seizure window, anew each epoch; None takes all."""
    seed: int = 0
    """Of initial weights and dropout. The order of windows is the same for every seed."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the spatial convolution in training; "auto" takes bfloat16 where the processor multiplies it."""

    def check(self) -> None:
        """Refuse values that cannot train.

        Raises
        ------
        UserError
            Naming the option and what it allows.
        """
        for name in ("filters", "hidden", "epochs", "patience", "batch_windows"):
            self._require(name, getattr(self, name) >= 1, "1 and more")
        for name in ("lr", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "more than 0")
        for name in ("weight_decay", "seed"):
            self._require(name, getattr(self, name) >= 0, "0 and more")
        self._require("dropout", 0 <= self.dropout < 1, "from 0 to less than 1")
        self._require("positive_weight", self.positive_weight is None or self.positive_weight > 0, "more than 0")
        ratio = self.background_per_seizure
        self._require("background_per_seizure", ratio is None or ratio > 0, "more than 0")

    def _require(self, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: not usable; allowed: {allowed}")


@dataclass(frozen=True)
class Slot:
    """One head to train. Without validation persons the last epoch is kept."""

    fold: Fold
    settings: TrainSettings


@dataclass(frozen=True)
class Trained:
    """A trained head and what its validation persons chose."""

    head: Head
    best_epoch: int
    threshold: float
    history: tuple[dict[str, float], ...]
    failure: str = ""  # why training ended early, empty if it went well

    @property
    def score(self) -> float:
        """Validation AUROC of the best epoch, nan if there is none."""
        scores = {entry["epoch"]: entry.get("validation_auroc", np.nan) for entry in self.history}
        return scores.get(self.best_epoch, np.nan)


def split_groups(
    slots: Sequence[Slot], windows: Windows, together: int = 1, limit_bytes: int = _GROUP_BYTES
) -> list[list[Slot]]:
    """Slots that can train together: of one shape and one way of drawing windows, few enough for the memory.

    The largest tensors of a step are counted: features seen by the filters of all slots, ``(B, F, K * filters)``
    with their gradient, and five copies of the weights. Runs of `together` slots stay in one group.

    Raises
    ------
    UserError
        If a slot has a setting that cannot train.
    """
    alike: dict[tuple[object, ...], list[Slot]] = {}
    for slot in slots:
        slot.settings.check()
        alike.setdefault(tuple(getattr(slot.settings, name) for name in _SHARED), []).append(slot)
    groups = []
    for group in alike.values():
        settings = group[0].settings
        weights = sum(
            value.numel() for value in make_head(settings, windows.shape, windows.window_s, 0).parameters()
        )
        filters = settings.filters if settings.head == "spatial-fusion" else windows.window_s
        slot_bytes = 4 * (2 * settings.batch_windows * windows.shape[0] * filters + 5 * weights)
        size = max(1, limit_bytes // slot_bytes // together) * together
        groups += [group[start : start + size] for start in range(0, len(group), size)]
    return groups


def positive_weights(slots: Sequence[Slot], windows: Windows) -> list[float]:
    """Weight of a seizure second in each slot: as set, or background over seizure seconds as they are sampled."""
    order = windows.epoch(1, slots[0].settings.background_per_seizure)
    counts = np.zeros((2, len(windows.persons)))
    for label in (0, 1):
        np.add.at(counts[label], windows.person[order], (windows.labels[order] == label).sum(1))
    weights = []
    for slot in slots:
        background, seizure = counts[:, [windows.persons.index(person) for person in slot.fold.train]].sum(1)
        chosen = slot.settings.positive_weight
        weights.append(float(background / seizure) if chosen is None else chosen)
    return weights
