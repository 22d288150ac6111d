"""Train many heads in one pass over the features.

A slot is one head of one fold with one seed. All slots see the same batches; a window counts in a slot only if
its person is one of the slot's training persons. Parameters are stacked, ``(K, ...)``, so a step of all slots
is a few large products, and a group of one slot is an ordinary training.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heads.data import INVALID, Windows
from heads.folds import Fold
from heads.models import Head, HeadSettings, make_head
from heads.predict import best_threshold, forward_stacked, predict_person
from heads.runs import write_aside

_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPSILON = 1e-8

State = dict[str, Tensor]


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


def train_group(
    slots: Sequence[Slot],
    windows: Windows,
    device: torch.device,
    checkpoint: Path,
    progress: Callable[[int], None] = lambda count: None,
) -> list[Trained]:
    """Train heads of equal shape and equal data settings together.

    Parameters
    ----------
    checkpoint
        File that holds the state after each epoch; a killed training resumes from it.
    progress
        Called with the number of windows x slots done.

    Raises
    ------
    ValueError
        If the loss is not finite.
    """
    group = _Group(slots, windows, device)
    if checkpoint.is_file():
        group.load(torch.load(checkpoint, map_location=device, weights_only=True))
    while group.epoch < slots[0].settings.epochs and bool(group.running.any()):
        group.run_epoch(progress)
        write_aside(checkpoint, lambda path: torch.save(group.state(), path))
    return [group.result(number) for number in range(len(slots))]


class _Group:
    """The stacked state of a group and one epoch of its training."""

    def __init__(self, slots: Sequence[Slot], windows: Windows, device: torch.device) -> None:
        self.slots, self.windows, self.device = slots, windows, device
        spec = windows.store.spec
        heads = [_initial_head(slot, windows) for slot in slots]
        self.head = heads[0].to(device)
        self.parameters = {name: _stack(heads, name, device) for name, _ in heads[0].named_parameters()}
        self.buffers = {name: _stack(heads, name, device) for name, _ in heads[0].named_buffers()}
        self.first = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.second = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.best = {name: value.clone() for name, value in self.parameters.items()}
        self.best_epoch = torch.zeros(len(slots), dtype=torch.int64)
        self.best_score = torch.full((len(slots),), -np.inf, dtype=torch.float64)
        self.running = torch.ones(len(slots), dtype=torch.bool)
        self.history: list[list[dict[str, float]]] = [[] for _ in slots]
        self.epoch = self.step = 0
        self.train_person = self._indicator([slot.fold.train for slot in slots])
        self.positive_weight = torch.tensor([_positive_weight(slot, windows) for slot in slots], device=device)
        self.lr = self._setting("lr")
        self.weight_decay = self._setting("weight_decay")
        self.clip_norm = self._setting("clip_norm")
        self.window_s = spec.window_s

    def run_epoch(self, progress: Callable[[int], None]) -> None:
        """Train on every batch of the epoch once, then validate."""
        settings = self.slots[0].settings
        self.epoch += 1
        order = self.windows.epoch(self.epoch, settings.background_per_seizure)
        losses = []
        for start in range(0, len(order), settings.batch_windows):
            indices = np.sort(order[start : start + settings.batch_windows])
            losses.append(self._step(indices))
            progress(len(indices) * len(self.slots))
        loss = torch.stack(losses).double().sum(0).cpu()
        if not torch.isfinite(loss).all():
            names = ", ".join(self.slots[k].fold.name for k in np.flatnonzero(~torch.isfinite(loss).numpy()))
            raise ValueError(f"fold {names}: the loss is not finite in epoch {self.epoch}; lower --lr")
        scores = self._validate()
        for number, slot in enumerate(self.slots):
            if not self.running[number]:
                continue
            entry = {"epoch": self.epoch, "loss": float(loss[0, number] / loss[1, number])}
            if slot.fold.validation:
                entry["validation_auroc"] = float(scores[number])
            self.history[number].append(entry)
            if not slot.fold.validation or scores[number] > self.best_score[number]:
                self.best_score[number], self.best_epoch[number] = scores[number], self.epoch
                for name, value in self.parameters.items():
                    self.best[name][number] = value[number]
            elif self.epoch - self.best_epoch[number] >= slot.settings.patience:
                self.running[number] = False

    def _step(self, indices: NDArray[np.int64]) -> Tensor:
        """One AdamW step of every slot; the loss summed and its weight, ``(2, K)``."""
        features = torch.from_numpy(self.windows.features(indices)).to(self.device)
        labels = torch.from_numpy(self.windows.labels[indices]).to(self.device)
        person = torch.from_numpy(self.windows.person[indices]).to(self.device)
        parameters = {name: value.requires_grad_() for name, value in self.parameters.items()}
        state = {**parameters, **self.buffers}
        logits = forward_stacked(self.head, state, features, self._noise(len(indices)))
        target = (labels == 1).float().expand_as(logits)
        weight = self.train_person[:, person, None] * (labels != INVALID)
        loss = binary_cross_entropy_with_logits(
            logits, target, weight, reduction="none", pos_weight=self.positive_weight[:, None, None]
        ).sum((1, 2))
        count = weight.sum((1, 2))
        gradients = torch.autograd.grad((loss / count.clamp(min=1)).sum(), list(parameters.values()))
        self.parameters = {name: value.detach() for name, value in parameters.items()}
        self._update(dict(zip(parameters, gradients, strict=True)))
        return torch.stack([loss.detach(), count])

    def _update(self, gradients: State) -> None:
        """AdamW (Loshchilov and Hutter, 2019), each slot with its own rate, decay and gradient norm."""
        self.step += 1
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients.values()])
        factor = (self.clip_norm / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
        beta1, beta2 = _ADAM_BETAS
        for name, gradient in gradients.items():
            value, first, second = self.parameters[name], self.first[name], self.second[name]
            lr, decay, scale = (_like(x, value) for x in (self.lr, self.weight_decay, factor))
            gradient = gradient * scale
            first.lerp_(gradient, 1 - beta1)
            second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            if not name.endswith("bias"):
                value.mul_(1 - lr * decay)
            denominator = (second / (1 - beta2**self.step)).sqrt_().add_(_ADAM_EPSILON)
            value.sub_(lr * (first / (1 - beta1**self.step)) / denominator)

    def _noise(self, count: int) -> Tensor | None:
        """Uniform numbers ``(K, B, N)`` of this step: equal for equal seeds, whatever else is in the group."""
        size = self.head.noise_size
        if not size:
            return None
        drawn = {}
        for seed in {slot.settings.seed for slot in self.slots}:
            sequence = np.random.SeedSequence([seed, self.epoch, self.step])
            generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
            drawn[seed] = torch.rand(count, size, generator=generator)
        return torch.stack([drawn[slot.settings.seed] for slot in self.slots]).to(self.device)

    def _validate(self) -> NDArray[np.float64]:
        """Mean AUROC over each slot's validation persons, ``(K,)``."""
        scores: list[list[float]] = [[] for _ in self.slots]
        for person in self.windows.persons:
            numbers = [k for k, slot in enumerate(self.slots) if person in slot.fold.validation]
            if not numbers:
                continue
            state = _select({**self.parameters, **self.buffers}, numbers)
            labels, values = predict_person(self.head, state, self.windows, person, self.device)
            for number, probabilities in zip(numbers, values, strict=True):
                scores[number].append(float(roc_auc_score(labels, probabilities)))
        return np.array([np.mean(score) if score else np.nan for score in scores])

    def result(self, number: int) -> Trained:
        """The head of a slot as it was in its best epoch, and the threshold chosen with it."""
        slot = self.slots[number]
        state = _select({**self.best, **self.buffers}, [number])
        pairs = [
            predict_person(self.head, state, self.windows, person, self.device) for person in slot.fold.validation
        ]
        threshold = 0.5
        if pairs:
            threshold = best_threshold(
                np.concatenate([labels for labels, _ in pairs]),
                np.concatenate([values[0] for _, values in pairs]),
            )
        head = _initial_head(slot, self.windows)
        head.load_state_dict({name: value[0].cpu() for name, value in state.items()})
        return Trained(head, int(self.best_epoch[number]), threshold, tuple(self.history[number]))

    def state(self) -> dict[str, object]:
        """All that a resumed training needs."""
        return {name: getattr(self, name) for name in _STATE}

    def load(self, state: Mapping[str, object]) -> None:
        """Inverse of `state`."""
        for name in _STATE:
            setattr(self, name, state[name])

    def _indicator(self, chosen: Sequence[tuple[str, ...]]) -> Tensor:
        """1 where a person is among those chosen, ``(K, persons)``."""
        rows = [[float(person in persons) for person in self.windows.persons] for persons in chosen]
        return torch.tensor(rows, device=self.device)

    def _setting(self, name: str) -> Tensor:
        return torch.tensor([getattr(slot.settings, name) for slot in self.slots], device=self.device)


_STATE = (
    "parameters",
    "first",
    "second",
    "best",
    "best_epoch",
    "best_score",
    "running",
    "history",
    "epoch",
    "step",
)


def _initial_head(slot: Slot, windows: Windows) -> Head:
    """The untrained head of a slot, standardised by its training persons."""
    spec = windows.store.spec
    head = make_head(slot.settings, spec.shape, spec.window_s, slot.settings.seed)
    sums = [windows.store.sums(person) for person in slot.fold.train]
    total = dataclasses.replace(sums[0])
    for more in sums[1:]:
        total += more
    count = np.maximum(total.count, 1)[:, None]
    mean = total.total / count
    deviation = np.sqrt(np.maximum(total.squares / count - mean**2, 0))
    usable = deviation > 1e-6 * np.maximum(1, np.abs(mean))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(np.where(usable, 1 / np.where(usable, deviation, 1), 0.0)))
    return head


def _positive_weight(slot: Slot, windows: Windows) -> float:
    """Weight of a seizure second: as set, or background over seizure seconds as they are sampled."""
    if slot.settings.positive_weight is not None:
        return slot.settings.positive_weight
    train = np.isin(windows.person, [windows.persons.index(person) for person in slot.fold.train])
    order = windows.epoch(1, slot.settings.background_per_seizure)
    labels = windows.labels[order[train[order]]]
    return float(np.sum(labels == 0) / np.sum(labels == 1))


def _stack(heads: Sequence[Head], name: str, device: torch.device) -> Tensor:
    return torch.stack([head.state_dict()[name].detach() for head in heads]).to(device)


def _select(state: Mapping[str, Tensor], numbers: Sequence[int]) -> State:
    return {name: value[list(numbers)] for name, value in state.items()}


def _like(value: Tensor, other: Tensor) -> Tensor:
    """``(K,)`` -> ``(K, 1, ...)`` with as many axes as the other has."""
    return value.view(-1, *[1] * (other.ndim - 1))
