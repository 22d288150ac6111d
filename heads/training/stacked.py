"""Train many heads in one pass over the features.

A slot is one head of one fold with one seed. All slots see the same batches; a window counts in a slot only if
its person is one of the slot's training persons. Parameters are stacked, ``(K, ...)``, so a step of all slots
is a few large products, and a group of one slot is an ordinary training.
"""

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heads.dataset import INVALID, Windows
from heads.device_features import DeviceFeatures
from heads.inference import aurocs, best_threshold, predict_person, predict_windows
from heads.models.registry import Head, make_head
from heads.ops.blocks import cut
from heads.training.optimizer import update
from heads.training.trials import Slot, Trained, positive_weights
from store.runtime.atomic import atomic_write
from store.runtime.device import choose_precision

_SAVE_EVERY_S = 5.0  # a short epoch is quicker trained again than saved
_CACHED_SLOTS = 32  # a step's tensors of so many stay in the processor's cache
_STATE = (
    "parameters",
    "first",
    "second",
    "best",
    "best_epoch",
    "best_score",
    "live",
    "history",
    "failures",
    "epoch",
    "step",
)

State = dict[str, Tensor]


def train_group(
    slots: Sequence[Slot],
    windows: Windows,
    device: torch.device,
    checkpoint: Path,
    progress: Callable[[int], object] = lambda count: None,
) -> list[Trained]:
    """Train heads of a group of `split_groups` together.

    A slot whose loss is not finite ends as failed, the others go on.

    Parameters
    ----------
    checkpoint
        File that holds the state after an epoch, written anew when it is old; a killed training resumes from it.
    progress
        Called with the number of windows x slots done.
    """
    group = _Group(slots, windows, device)
    if checkpoint.is_file():
        group.load(torch.load(checkpoint, map_location=device, weights_only=True))
    saved_s = time.monotonic()
    while group.live:
        group.run_epoch(progress)
        if not group.live or time.monotonic() >= saved_s + _SAVE_EVERY_S:
            with atomic_write(checkpoint) as file:
                torch.save(group.state(), file)
            saved_s = time.monotonic()
    return group.results()


class _Group:
    """The stacked state of a group and one epoch of its training; slots that are done leave the stack.

    All parameters of a slot lie in one row, weights before biases, so that an optimizer's step is one pass.
    """

    def __init__(self, slots: Sequence[Slot], windows: Windows, device: torch.device) -> None:
        self.slots, self.windows, self.device = slots, windows, device
        settings = slots[0].settings
        heads = [_initial_head(slot, windows) for slot in slots]
        self.head = heads[0].to(device)
        precision = getattr(torch, choose_precision(settings.precision, device.type))
        self.features = DeviceFeatures(windows, self.head, device, precision, keep=True)
        named = sorted(self.head.named_parameters(), key=lambda item: item[0].endswith("bias"))
        self.shapes = {name: value.shape for name, value in named}
        self.weights = sum(value.numel() for name, value in named if not name.endswith("bias"))
        self.best = torch.stack([_row(head, self.shapes) for head in heads]).to(device)
        self.parameters = self.best.clone()
        self.first, self.second = torch.zeros_like(self.best), torch.zeros_like(self.best)
        self.best_epoch = [0] * len(slots)
        self.best_score = [-np.inf] * len(slots)
        self.history: list[list[dict[str, float]]] = [[] for _ in slots]
        self.failures = [""] * len(slots)
        self.live = list(range(len(slots)))  # the slots that `parameters`, `first`, `second` and `own` hold
        self.epoch = self.step = 0
        self.together = _CACHED_SLOTS if device.type == "cpu" else len(slots)
        sample = np.sort(windows.epoch(0, settings.background_per_seizure))
        self.judged = {p: sample[windows.person[sample] == n] for n, p in enumerate(windows.persons)}
        self.trains = np.array([[person in slot.fold.train for person in windows.persons] for slot in slots])
        self.buffers = {name: _stack(heads, name, device) for name, _ in heads[0].named_buffers()}
        self.rates = {
            name: torch.tensor([getattr(slot.settings, name) for slot in slots], device=device)
            for name in ("lr", "weight_decay", "clip_norm")
        }
        self.rates["positive_weight"] = torch.tensor(positive_weights(slots, windows), device=device)
        self._choose_own()

    def run_epoch(self, progress: Callable[[int], object]) -> None:
        """Train on every batch of the epoch once, then validate and let go of the slots that are done."""
        settings = self.slots[0].settings
        self.epoch += 1
        order = self.windows.epoch(self.epoch, settings.background_per_seizure)
        losses = []
        for start in range(0, len(order), settings.batch_windows):
            indices = np.sort(order[start : start + settings.batch_windows])
            losses.append(self._step(indices))
            progress(len(indices) * len(self.live))
        loss, weight = torch.stack(losses).double().sum(0).cpu().numpy()
        for row, number in enumerate(self.live):
            self.history[number].append({"epoch": self.epoch, "loss": float(loss[row] / weight[row])})
        failed = ~(np.isfinite(loss) & self.parameters.isfinite().all(1).cpu().numpy())
        for row in np.flatnonzero(failed):
            self.failures[self.live[row]] = f"the loss is not finite in epoch {self.epoch}; lower --lr"
        self._leave(lambda number: self.failures[number])
        self._validate()
        self._leave(lambda number: self.epoch >= self._last_epoch(number))

    def _validate(self) -> None:
        """Score the slots on their validation persons and keep the heads that are better than before.

        Background is sampled as for training, once for all epochs: AUROC needs no more of it.
        """
        scores: list[list[float]] = [[] for _ in self.live]
        for person, rows in self._validators(self.live):
            indices = self.judged[person]
            state = _select({**self._named(self.parameters), **self.own_buffers}, rows)
            values = predict_windows(self.head, state, self.features, indices)
            labels = self.windows.labels[indices]
            there = labels != INVALID
            for row, score in zip(rows, aurocs(labels[there], values[:, there]), strict=True):
                scores[row].append(float(score))
        for row, (number, own_scores) in enumerate(zip(self.live, scores, strict=True)):
            score = float(np.mean(own_scores)) if own_scores else np.inf
            if self.slots[number].fold.validation:
                self.history[number][-1]["validation_auroc"] = score
            if score > self.best_score[number] or not own_scores:
                self.best_score[number], self.best_epoch[number] = score, self.epoch
                self.best[number] = self.parameters[row]

    def _last_epoch(self, number: int) -> int:
        settings = self.slots[number].settings
        return min(settings.epochs, self.best_epoch[number] + settings.patience)

    def _leave(self, done: Callable[[int], object]) -> None:
        """Take slots out of the stack, so that they cost nothing any more."""
        rows = [row for row, number in enumerate(self.live) if not done(number)]
        if len(rows) < len(self.live):
            self.live = [self.live[row] for row in rows]
            for name in ("parameters", "first", "second"):
                setattr(self, name, getattr(self, name)[rows])
            self._choose_own()

    def _choose_own(self) -> None:
        """What is fixed for each live slot."""
        self.own, self.own_buffers = _select(self.rates, self.live), _select(self.buffers, self.live)

    def _named(self, rows: Tensor) -> State:
        """The parameters in ``rows (K, P)`` by name, views with a leading K."""
        parts = rows.split([shape.numel() for shape in self.shapes.values()], 1)
        return {
            name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def _step(self, indices: NDArray[np.int64]) -> Tensor:
        """One AdamW step of every live slot; the loss summed and its weight, ``(2, K)``."""
        self.step += 1
        features = self.features.take(indices)
        labels = torch.from_numpy(self.windows.labels[indices]).to(self.device)
        counts = self.trains[self.live][:, self.windows.person[indices]]
        noise = self._noise(len(indices))
        losses = []
        for start in range(0, len(self.live), self.together):
            part = slice(start, start + self.together)
            own_noise = None if noise is None else noise[part]
            losses.append(self._step_part(part, features, labels, counts[part], own_noise))
        return torch.cat(losses, 1)

    def _step_part(
        self,
        part: slice,
        features: Tensor,
        labels: Tensor,
        counts: NDArray[np.bool_],
        noise: Tensor | None,
    ) -> Tensor:
        """The step of some slots: what they need stays in the processor's cache."""
        own = {name: value[part] for name, value in self.own.items()}
        rows = self.parameters[part].detach().requires_grad_()
        state = self._named(rows) | {name: value[part] for name, value in self.own_buffers.items()}
        pieces = cut(counts) if self.device.type == "cpu" else None
        logits = self.head.forward_stacked(state, features, noise, pieces)
        target = (labels == 1).float().expand_as(logits)
        weight = torch.from_numpy(counts).to(self.device)[..., None] * (labels != INVALID).float()
        loss = binary_cross_entropy_with_logits(
            logits, target, weight, reduction="none", pos_weight=own["positive_weight"][:, None, None]
        ).sum((1, 2))
        count = weight.sum((1, 2))
        (gradient,) = torch.autograd.grad((loss / count.clamp(min=1)).sum(), rows)
        moved = (self.parameters[part], gradient, self.first[part], self.second[part])
        update(*moved, self.step, self.weights, own["lr"], own["weight_decay"], own["clip_norm"])
        return torch.stack([loss.detach(), count])

    def _noise(self, count: int) -> Tensor | None:
        """Uniform numbers ``(K, B, N)`` of this step: equal for equal seeds, whatever else is in the group."""
        size = self.head.noise_size
        if not size:
            return None
        seeds = [self.slots[number].settings.seed for number in self.live]
        drawn = {}
        for seed in set(seeds):
            sequence = np.random.SeedSequence([seed, self.epoch, self.step])
            generator = torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
            drawn[seed] = torch.rand(count, size, generator=generator).to(self.device)
        if len(drawn) == 1:
            return drawn[seeds[0]].expand(len(seeds), -1, -1)
        return torch.stack([drawn[seed] for seed in seeds])

    def _validators(self, numbers: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
        """Persons that validate some of these slots, with the positions of those."""
        for person in self.windows.persons:
            rows = [row for row, number in enumerate(numbers) if person in self.slots[number].fold.validation]
            if rows:
                yield person, rows

    def results(self) -> list[Trained]:
        """The heads as they were in their best epochs, and the thresholds chosen with them, in float32."""
        everything, features = {**self._named(self.best), **self.buffers}, self.features.in_float32()
        predicted: list[list[tuple[NDArray[np.uint8], NDArray[np.float32]]]] = [[] for _ in self.slots]
        for person, numbers in self._validators(range(len(self.slots))):
            labels, values = predict_person(
                self.head, _select(everything, numbers), self.windows, features, person
            )
            for number, own in zip(numbers, values, strict=True):
                predicted[number].append((labels, own))
        results = []
        for number, pairs in enumerate(predicted):
            head = copy.deepcopy(self.head).cpu()
            head.load_state_dict({name: value[number] for name, value in everything.items()})
            threshold = best_threshold(*map(np.concatenate, zip(*pairs, strict=True))) if pairs else 0.5
            history = tuple(self.history[number])
            results.append(Trained(head, self.best_epoch[number], threshold, history, self.failures[number]))
        return results

    def state(self) -> dict[str, object]:
        """All that a resumed training needs."""
        return {name: getattr(self, name) for name in _STATE}

    def load(self, state: Mapping[str, object]) -> None:
        """Inverse of `state`."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._choose_own()


def _initial_head(slot: Slot, windows: Windows) -> Head:
    """The untrained head of a slot, standardised by its training persons."""
    head = make_head(slot.settings, windows.shape, windows.window_s, slot.settings.seed)
    total = windows.sums(slot.fold.train)
    count = np.maximum(total.count, 1)[:, None]
    mean = total.total / count
    deviation = np.sqrt(np.maximum(total.squares / count - mean**2, 0))
    usable = deviation > 1e-6 * np.maximum(1, np.abs(mean))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(np.where(usable, 1 / np.where(usable, deviation, 1), 0.0)))
    return head


def _row(head: Head, names: Iterable[str]) -> Tensor:
    """The parameters of a head one after the other, ``(P,)``."""
    return torch.cat([head.get_parameter(name).detach().flatten() for name in names])


def _stack(heads: Sequence[Head], name: str, device: torch.device) -> Tensor:
    return torch.stack([head.state_dict()[name].detach() for head in heads]).to(device)


def _select(state: Mapping[str, Tensor], numbers: Sequence[int]) -> State:
    return {name: value[list(numbers)] for name, value in state.items()}
