"""Train many heads in one pass over the features.

All heads see the same batches; a window trains a head only if its person is one of the head's training persons.
Parameters are stacked, ``(K, ...)``, so a step of all heads is a few large products, and a stack of one head is an
ordinary training. The head of a fold and the inner heads that choose for it train side by side; all are kept as
they were in the epoch in which the inner heads together were best.
"""

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heads.dataset import INVALID, Dataset
from heads.device_features import DeviceFeatures
from heads.inference import aurocs, choose_threshold, mean_auroc, predict_recordings, predict_windows
from heads.models.head import Head
from heads.training.checkpoint import load_checkpoint, not_this_training, save_checkpoint
from heads.training.dropout import draw_uniforms
from heads.training.optimizer import adamw_step
from heads.training.plan import StackPlan, initial_head, stack_rates
from heads.training.trials import Trial, TrialResult
from store.runtime.device import choose_precision
from store.runtime.memory import release_free_memory

_SAVE_EVERY_S = 5.0  # training a short epoch again is faster than saving it
_SAVING_SHARE = 0.01  # of the time, at most
_DIVERGED = 1e3  # a mean loss above, where a head that knows nothing has 0.7 times the weight of seizure seconds
_RELEASE_STEPS = 32  # torch keeps a plan of each product's shape, and free memory lies in pieces between these
_CACHED_HEADS = 32  # a step's tensors of 32 heads fit in the processor's cache
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
    kept_bytes: int | None = None,
) -> list[TrialResult]:
    """Train the heads of a group of `heads.training.trials.split_groups` together.

    A trial that diverges ends with an error, the others go on.

    Parameters
    ----------
    checkpoint
        File that holds the state after an epoch, written anew when it is old; a killed training of the same data
        resumes from it.
    progress
        Called with the number of windows x trials done.
    kept_bytes
        Features that are kept in memory at most, as `heads.device_features.DeviceFeatures`.
    """
    trainer = StackedTrainer(trials, dataset, device, kept_bytes)
    if checkpoint.is_file():
        trainer.load(checkpoint)
    due_s = time.monotonic() + _SAVE_EVERY_S
    while trainer.running:
        trainer.run_epoch(progress)
        if not trainer.running or time.monotonic() >= due_s:
            begin_s = time.monotonic()
            save_checkpoint(checkpoint, trainer.state())
            end_s = time.monotonic()
            due_s = end_s + max(_SAVE_EVERY_S, (end_s - begin_s) / _SAVING_SHARE)
    return trainer.results()


class StackedTrainer:
    """The stacked state of a group and one epoch of its training; heads that are done leave the stack.

    All parameters of a head lie in one row, weights before biases, so that an optimizer's step is one pass.
    ``parameters``, ``exp_avg`` and ``exp_avg_sq`` have a row for each running head, ``best_state`` a row for each
    head of each trial, since trials that share an inner head may keep it from different epochs.
    """

    def __init__(
        self, trials: Sequence[Trial], dataset: Dataset, device: torch.device, kept_bytes: int | None = None
    ) -> None:
        self.trials, self.dataset, self.device = trials, dataset, device
        self.plan = StackPlan(trials)
        stacked, settings = self.plan.heads, trials[0].settings
        heads = [initial_head(head, dataset).to(device) for head in stacked]
        self.head = heads[0]
        self.buffers = {name: _stack(heads, name) for name, _ in heads[0].named_buffers()}
        self.rates = stack_rates(stacked, dataset, device)
        self.seeds = [head.settings.seed for head in stacked]
        self.trains = np.array([np.isin(dataset.persons, head.train) for head in stacked])
        precision = getattr(torch, choose_precision(settings.precision, device.type))
        self.features = DeviceFeatures(dataset, self.head, device, precision, keep=True, kept_bytes=kept_bytes)
        named = sorted(self.head.named_parameters(), key=lambda item: item[0].endswith("bias"))
        self.shapes = {name: value.shape for name, value in named}
        self.weights = sum(value.numel() for name, value in named if not name.endswith("bias"))
        self.parameters = torch.stack([_row(head, self.shapes) for head in heads])
        self.exp_avg, self.exp_avg_sq = torch.zeros_like(self.parameters), torch.zeros_like(self.parameters)
        self.best_state = self.parameters[[head for _, head in self.plan.kept]]
        self.best_epoch = [0] * len(trials)
        self.best_score = [-np.inf] * len(trials)
        self.history: list[list[dict[str, float]]] = [[] for _ in trials]
        self.errors: list[str | None] = [None] * len(trials)
        self.running = list(range(len(stacked)))  # heads of the rows of parameters, exp_avg and exp_avg_sq
        self.epoch = self.step = 0
        self.heads_at_once = _CACHED_HEADS if device.type == "cpu" else len(stacked)
        self.validation = _validation_windows(dataset, settings.background_per_seizure)
        self._select_running()

    def run_epoch(self, progress: Callable[[int], object]) -> None:
        """Train on every batch of the epoch once, then validate, and drop the heads that are done."""
        settings = self.trials[0].settings
        self.epoch += 1
        losses = []
        for windows, features, labels in self.dataset.batches(
            settings.batch_windows, self.epoch, settings.background_per_seizure, self.features.take
        ):
            losses.append(self._step(windows, features, labels))
            progress(len(windows) * len(self.running))
            del features  # before the next are made
            if self.step % _RELEASE_STEPS == 0:
                release_free_memory()
        loss, weight = torch.stack(losses).double().sum(0).cpu().numpy()
        limit = _DIVERGED * self.running_rates["positive_weight"].clamp(min=1).cpu().numpy()
        trained = (loss / weight < limit) & self.parameters.isfinite().all(1).cpu().numpy()
        diverged = {head for row, head in enumerate(self.running) if not trained[row]}
        for number in self._running_trials(self.epoch - 1):
            row = self.running.index(self.plan.own[number])
            self.history[number].append({"epoch": self.epoch, "loss": float(loss[row] / weight[row])})
            if diverged.intersection(self.plan.needed([number])):
                self.errors[number] = f"training diverged in epoch {self.epoch}; lower lr"
        self._keep_heads(self._running_trials(self.epoch - 1))
        self._validate()
        self._keep_heads(self._running_trials(self.epoch))

    def _validate(self) -> None:
        """Score the trials on their validation persons and keep the heads that are better than before.

        Background is sampled as for training, once for all epochs: AUROC needs no more of it. A person without
        seizure or without background has no AUROC and no say.
        """
        scores: list[list[float]] = [[] for _ in self.trials]
        running = self._running_trials(self.epoch - 1)
        for person, windows in self.validation.items():
            labels = self.dataset.labels[windows]
            by_trial = {n: self.plan.choosing[n][person] for n in running if person in self.plan.choosing[n]}
            if not by_trial:
                continue
            heads = sorted({*by_trial.values()})
            state = {**self._named(self.parameters), **self.running_buffers}
            state = _select(state, [self.running.index(head) for head in heads])
            values = predict_windows(self.head, state, self.features, windows)
            valid = labels != INVALID
            by_head = dict(zip(heads, aurocs(labels[valid], values[:, valid]).tolist(), strict=True))
            for number, head in by_trial.items():
                scores[number].append(by_head[head])
        for number in running:
            score = float(np.mean(scores[number])) if scores[number] else np.inf
            if self.trials[number].fold.validation:
                self.history[number][-1]["validation_auroc"] = score
            if score > self.best_score[number] or not scores[number]:
                self.best_score[number], self.best_epoch[number] = score, self.epoch
                rows, heads = self.plan.kept_rows(number)
                self.best_state[rows] = self.parameters[[self.running.index(head) for head in heads]]

    def _running_trials(self, epoch: int) -> list[int]:
        """Trials that have not ended with an epoch."""
        return [
            number
            for number, trial in enumerate(self.trials)
            if self.errors[number] is None
            and epoch < min(trial.settings.epochs, self.best_epoch[number] + trial.settings.patience)
        ]

    def _keep_heads(self, trials: Sequence[int]) -> None:
        """Take heads that no such trial needs out of the stack, so that they cost nothing any more."""
        needed = self.plan.needed(trials)
        rows = [row for row, head in enumerate(self.running) if head in needed]
        if len(rows) < len(self.running):
            self.running = [self.running[row] for row in rows]
            for name in ("parameters", "exp_avg", "exp_avg_sq"):
                setattr(self, name, getattr(self, name)[rows])
            self._select_running()

    def _select_running(self) -> None:
        """Select rates and buffers of the running heads."""
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
        """One AdamW step of every running head; the loss summed and its weight, ``(2, K)``."""
        self.step += 1
        targets = torch.from_numpy(labels).to(self.device)
        trains = self.trains[self.running][:, self.dataset.person[windows]]
        uniforms = self._dropout_uniforms(len(windows))
        losses = []
        for start in range(0, len(self.running), self.heads_at_once):
            part = slice(start, start + self.heads_at_once)
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
        """The step of some heads: their tensors fit in the processor's cache."""
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
        """Uniform numbers ``(K, B, N)`` of this step; None for a head without dropout."""
        if not self.head.dropout_units:
            return None
        seeds = [self.seeds[head] for head in self.running]
        return draw_uniforms(seeds, self.epoch, self.step, windows, self.head.dropout_units, self.device)

    def results(self) -> list[TrialResult]:
        """The heads as they were in their best epochs, and the thresholds chosen with them, in float32."""
        state = {**self._named(self.best_state), **_select(self.buffers, [head for _, head in self.plan.kept])}
        features = self.features.in_float32()
        predicted: list[dict[str, NDArray[np.float32]]] = [{} for _ in self.trials]
        for person in self.dataset.persons:
            if alike := self._alike(self.plan.rows_predicting(person)):
                rows = [row for row, *_ in alike]
                by_name = predict_recordings(self.head, _select(state, rows), self.dataset, features, person)
                for place, same in enumerate(alike):
                    for number in (self.plan.kept[row][0] for row in same):
                        predicted[number] |= {name: values[place] for name, values in by_name.items()}
        results = []
        for number, trial in enumerate(self.trials):
            head, (row, *_) = copy.deepcopy(self.head).cpu(), self.plan.kept_rows(number)[0]
            head.load_state_dict({name: value[row].cpu() for name, value in state.items()})
            threshold, score, error = 0.5, np.nan, self.errors[number]
            if all(np.isfinite(probabilities).all() for probabilities in predicted[number].values()):
                persons = trial.fold.validation
                threshold = choose_threshold(self.dataset, persons, predicted[number])
                score = mean_auroc(self.dataset, persons, predicted[number])
            else:
                error = error or "predictions of the best epoch are not finite; lower lr"
            result = TrialResult(
                head,
                best_epoch=self.best_epoch[number],
                threshold=threshold,
                history=tuple(self.history[number]),
                error=error,
                validation=predicted[number],
                score=score,
            )
            results.append(result)
        return results

    def _alike(self, rows: Sequence[int]) -> list[list[int]]:
        """Rows of kept heads, together those of one head that several trials keep from the same epoch."""
        alike: dict[tuple[int, int], list[int]] = {}
        for row in rows:
            trial, head = self.plan.kept[row]
            alike.setdefault((head, self.best_epoch[trial]), []).append(row)
        return list(alike.values())

    def state(self) -> dict[str, object]:
        """All that a resumed training needs."""
        data = f"{self.dataset.identity} {self.plan.identity}"
        return {"data": data, **{name: getattr(self, name) for name in _STATE}}

    def load(self, checkpoint: Path) -> None:
        """Go on from a file of `state`, unless it is of other data.

        Raises
        ------
        UserError
            If it is damaged, or is of another training.
        """
        state = load_checkpoint(checkpoint, self.state(), self.device)
        if state is None:
            return
        for name in _STATE:
            setattr(self, name, state[name])
        if {*self.plan.needed(self._running_trials(self.epoch))} - {*self.running}:
            raise not_this_training(checkpoint, "heads that train are missing")
        self._select_running()


def _row(head: Head, names: Iterable[str]) -> Tensor:
    """The parameters of a head one after the other, ``(P,)``."""
    return torch.cat([head.get_parameter(name).detach().flatten() for name in names])


def _validation_windows(dataset: Dataset, background_per_seizure: float | None) -> dict[str, NDArray[np.int64]]:
    """Windows of each person with seizure and background, which validate in every epoch."""
    sample = np.sort(dataset.epoch_windows(0, background_per_seizure))
    by_person = {p: sample[dataset.person[sample] == n] for n, p in enumerate(dataset.persons)}
    return {p: rows for p, rows in by_person.items() if {0, 1} <= set(np.unique(dataset.labels[rows]))}


def _stack(heads: Sequence[Head], name: str) -> Tensor:
    return torch.stack([head.state_dict()[name].detach() for head in heads])


def _select(state: Mapping[str, Tensor], numbers: Sequence[int]) -> State:
    return {name: value[list(numbers)] for name, value in state.items()}
