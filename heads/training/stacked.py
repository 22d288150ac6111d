"""Train many heads in one pass over the features.

All trials see the same batches; a window trains a trial only if its person is one of the trial's training persons.
Parameters are stacked, ``(K, ...)``, so a step of all trials is a few large products, and a group of one trial is
an ordinary training.
"""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heads.dataset import INVALID, Dataset
from heads.device_features import DeviceFeatures
from heads.inference import aurocs, best_threshold, predict_person, predict_windows
from heads.models.head import Head
from heads.training.checkpoint import load_checkpoint, save_checkpoint
from heads.training.optimizer import adamw_step
from heads.training.trials import Trial, TrialResult, initial_head, positive_weights
from store.runtime.device import choose_precision

_SAVE_EVERY_S = 5.0  # training a short epoch again is faster than saving it
_CACHED_TRIALS = 32  # a step's tensors of 32 trials fit in the processor's cache
_STATE = (
    "parameters",
    "exp_avg",
    "exp_avg_sq",
    "best_state",
    "best_epoch",
    "best_score",
    "running",
    "history",
    "errors",
    "epoch",
    "step",
)

State = dict[str, Tensor]


def train_stacked(
    trials: Sequence[Trial],
    dataset: Dataset,
    device: torch.device,
    checkpoint: Path,
    progress: Callable[[int], object] = lambda count: None,
) -> list[TrialResult]:
    """Train the heads of a group of `heads.training.trials.split_groups` together.

    A trial whose loss is not finite ends with an error, the others go on.

    Parameters
    ----------
    checkpoint
        File that holds the state after an epoch, written anew when it is old; a killed training resumes from it.
    progress
        Called with the number of windows x trials done.
    """
    trainer = StackedTrainer(trials, dataset, device)
    if checkpoint.is_file():
        trainer.load(load_checkpoint(checkpoint, trainer.state(), device))
    saved_s = time.monotonic()
    while trainer.running:
        trainer.run_epoch(progress)
        if not trainer.running or time.monotonic() >= saved_s + _SAVE_EVERY_S:
            save_checkpoint(checkpoint, trainer.state())
            saved_s = time.monotonic()
    return trainer.results()


class StackedTrainer:
    """The stacked state of a group and one epoch of its training; trials that are done leave the stack.

    All parameters of a trial lie in one row, weights before biases, so that an optimizer's step is one pass.
    """

    def __init__(self, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> None:
        self.trials, self.dataset, self.device = trials, dataset, device
        settings = trials[0].settings
        heads = [initial_head(trial, dataset) for trial in trials]
        self.head = heads[0].to(device)
        precision = getattr(torch, choose_precision(settings.precision, device.type))
        self.features = DeviceFeatures(dataset, self.head, device, precision, keep=True)
        named = sorted(self.head.named_parameters(), key=lambda item: item[0].endswith("bias"))
        self.shapes = {name: value.shape for name, value in named}
        self.weights = sum(value.numel() for name, value in named if not name.endswith("bias"))
        self.best_state = torch.stack([_row(head, self.shapes) for head in heads]).to(device)
        self.parameters = self.best_state.clone()
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.best_state), torch.zeros_like(self.best_state)
        self.best_epoch = [0] * len(trials)
        self.best_score = [-np.inf] * len(trials)
        self.history: list[list[dict[str, float]]] = [[] for _ in trials]
        self.errors: list[str | None] = [None] * len(trials)
        self.running = list(range(len(trials)))  # trials of the rows of parameters, exp_avg and exp_avg_sq
        self.epoch = self.step = 0
        self.trials_at_once = _CACHED_TRIALS if device.type == "cpu" else len(trials)
        sample = np.sort(dataset.epoch_windows(0, settings.background_per_seizure))
        self.validation = {p: sample[dataset.person[sample] == n] for n, p in enumerate(dataset.persons)}
        self.trains = np.array([[person in trial.fold.train for person in dataset.persons] for trial in trials])
        self.buffers = {name: _stack(heads, name, device) for name, _ in heads[0].named_buffers()}
        self.rates = {
            name: torch.tensor([getattr(trial.settings, name) for trial in trials], device=device)
            for name in ("lr", "weight_decay", "clip_norm")
        }
        self.rates["positive_weight"] = torch.tensor(positive_weights(trials, dataset), device=device)
        self._select_running()

    def run_epoch(self, progress: Callable[[int], object]) -> None:
        """Train on every batch of the epoch once, then validate, and drop the trials that are done."""
        settings = self.trials[0].settings
        self.epoch += 1
        losses = []
        for windows, features, labels in self.dataset.batches(
            settings.batch_windows, self.epoch, settings.background_per_seizure, self.features.take
        ):
            losses.append(self._step(windows, features, labels))
            progress(len(windows) * len(self.running))
            del features  # before the next are made
        loss, weight = torch.stack(losses).double().sum(0).cpu().numpy()
        for row, number in enumerate(self.running):
            self.history[number].append({"epoch": self.epoch, "loss": float(loss[row] / weight[row])})
        diverged = ~(np.isfinite(loss) & self.parameters.isfinite().all(1).cpu().numpy())
        for row in np.flatnonzero(diverged).tolist():
            self.errors[self.running[row]] = f"the loss is not finite in epoch {self.epoch}; lower lr"
        self._remove(lambda number: self.errors[number])
        self._validate()
        self._remove(lambda number: self.epoch >= self._last_epoch(number))

    def _validate(self) -> None:
        """Score the trials on their validation persons and keep the heads that are better than before.

        Background is sampled as for training, once for all epochs: AUROC needs no more of it.
        """
        scores: list[list[float]] = [[] for _ in self.running]
        for person, rows in self._validators(self.running):
            windows = self.validation[person]
            state = _select({**self._named(self.parameters), **self.running_buffers}, rows)
            values = predict_windows(self.head, state, self.features, windows)
            labels = self.dataset.labels[windows]
            valid = labels != INVALID
            for row, score in zip(rows, aurocs(labels[valid], values[:, valid]), strict=True):
                scores[row].append(float(score))
        for row, (number, by_person) in enumerate(zip(self.running, scores, strict=True)):
            score = float(np.mean(by_person)) if by_person else np.inf
            if self.trials[number].fold.validation:
                self.history[number][-1]["validation_auroc"] = score
            if score > self.best_score[number] or not by_person:
                self.best_score[number], self.best_epoch[number] = score, self.epoch
                self.best_state[number] = self.parameters[row]

    def _last_epoch(self, number: int) -> int:
        settings = self.trials[number].settings
        return min(settings.epochs, self.best_epoch[number] + settings.patience)

    def _remove(self, done: Callable[[int], object]) -> None:
        """Take trials out of the stack, so that they cost nothing any more."""
        rows = [row for row, number in enumerate(self.running) if not done(number)]
        if len(rows) < len(self.running):
            self.running = [self.running[row] for row in rows]
            for name in ("parameters", "exp_avg", "exp_avg_sq"):
                setattr(self, name, getattr(self, name)[rows])
            self._select_running()

    def _select_running(self) -> None:
        """Select rates and buffers of the running trials."""
        self.running_rates = _select(self.rates, self.running)
        self.running_buffers = _select(self.buffers, self.running)

    def _named(self, rows: Tensor) -> State:
        """The parameters in ``rows (K, P)`` by name, views with a leading K."""
        parts = torch.split(rows, [shape.numel() for shape in self.shapes.values()], 1)
        return {
            name: part.view(len(part), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def _step(self, windows: NDArray[np.int64], features: Tensor, labels: NDArray[np.int8]) -> Tensor:
        """One AdamW step of every running trial; the loss summed and its weight, ``(2, K)``."""
        self.step += 1
        targets = torch.from_numpy(labels).to(self.device)
        trains = self.trains[self.running][:, self.dataset.person[windows]]
        uniforms = self._dropout_uniforms(len(windows))
        losses = []
        for start in range(0, len(self.running), self.trials_at_once):
            part = slice(start, start + self.trials_at_once)
            part_uniforms = None if uniforms is None else uniforms[part]
            losses.append(self._step_part(part, features, targets, trains[part], part_uniforms))
        return torch.cat(losses, 1)

    def _step_part(
        self,
        part: slice,
        features: Tensor,
        labels: Tensor,
        trains: NDArray[np.bool_],
        dropout_uniforms: Tensor | None,
    ) -> Tensor:
        """The step of some trials: their tensors fit in the processor's cache."""
        rates = {name: value[part] for name, value in self.running_rates.items()}
        rows = self.parameters[part].detach().requires_grad_()
        state = self._named(rows) | {name: value[part] for name, value in self.running_buffers.items()}
        logits = self.head.forward_stacked(state, features, dropout_uniforms, trains)
        target = (labels == 1).float().expand_as(logits)
        weight = torch.from_numpy(trains).to(self.device)[..., None] * (labels != INVALID).float()
        loss = binary_cross_entropy_with_logits(
            logits, target, weight, reduction="none", pos_weight=rates["positive_weight"][:, None, None]
        ).sum((1, 2))
        count = weight.sum((1, 2))
        (gradient,) = torch.autograd.grad((loss / count.clamp(min=1)).sum(), rows)
        updated = (self.parameters[part], gradient, self.exp_avg[part], self.exp_avg_sq[part])
        adamw_step(*updated, self.step, self.weights, rates["lr"], rates["weight_decay"], rates["clip_norm"])
        return torch.stack([loss.detach(), count])

    def _dropout_uniforms(self, windows: int) -> Tensor | None:
        """Uniform numbers ``(K, B, N)`` of this step: equal for equal seeds, whatever else is in the group."""
        size = self.head.dropout_units
        if not size:
            return None
        seeds = [self.trials[number].settings.seed for number in self.running]
        drawn = {}
        for seed in set(seeds):
            sequence = np.random.SeedSequence([seed, self.epoch, self.step])
            generator = torch.Generator().manual_seed(
                int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
            )
            drawn[seed] = torch.rand(windows, size, generator=generator).to(self.device)
        if len(drawn) == 1:
            return drawn[seeds[0]].expand(len(seeds), -1, -1)
        return torch.stack([drawn[seed] for seed in seeds])

    def _validators(self, numbers: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        """Persons that validate some of these trials, with the positions of those."""
        for person in self.dataset.persons:
            rows = [row for row, number in enumerate(numbers) if person in self.trials[number].fold.validation]
            if rows:
                yield person, rows

    def results(self) -> list[TrialResult]:
        """The heads as they were in their best epochs, and the thresholds chosen with them, in float32."""
        state, features = {**self._named(self.best_state), **self.buffers}, self.features.in_float32()
        predicted: list[list[tuple[NDArray[Any], NDArray[np.float32]]]] = [[] for _ in self.trials]
        for person, numbers in self._validators(range(len(self.trials))):
            labels, values = predict_person(self.head, _select(state, numbers), self.dataset, features, person)
            for number, probabilities in zip(numbers, values, strict=True):
                predicted[number].append((labels, probabilities))
        results = []
        for number, pairs in enumerate(predicted):
            head = copy.deepcopy(self.head).cpu()
            head.load_state_dict({name: value[number] for name, value in state.items()})
            threshold, error = 0.5, self.errors[number]
            if not all(np.isfinite(probabilities).all() for _, probabilities in pairs):
                error = error or "predictions of the best epoch are not finite; lower lr"
            elif pairs:
                threshold = best_threshold(*map(np.concatenate, zip(*pairs, strict=True)))
            history = tuple(self.history[number])
            results.append(TrialResult(head, self.best_epoch[number], threshold, history, error))
        return results

    def state(self) -> dict[str, object]:
        """All that a resumed training needs."""
        return {name: getattr(self, name) for name in _STATE}

    def load(self, state: Mapping[str, object]) -> None:
        """Inverse of `state`."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._select_running()


def _row(head: Head, names: Iterable[str]) -> Tensor:
    """The parameters of a head one after the other, ``(P,)``."""
    return torch.cat([head.get_parameter(name).detach().flatten() for name in names])


def _stack(heads: Sequence[Head], name: str, device: torch.device) -> Tensor:
    return torch.stack([head.state_dict()[name].detach() for head in heads]).to(device)


def _select(state: Mapping[str, Tensor], numbers: Sequence[int]) -> State:
    return {name: value[list(numbers)] for name, value in state.items()}
