"""The training loop: every step is a function of the seed and its number, so a resumed run is the same run."""

import dataclasses
import io
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.pretrain.data import TrainingSignal, WindowSampler, augment
from extract.pretrain.discriminator import Adversary
from extract.pretrain.fitting import fit_codes
from extract.pretrain.folding import UNIT_UV, encode_all, in_training_unit
from extract.pretrain.losses import Balancer, prd, reconstruction_losses
from extract.pretrain.optimizers import Optimizers
from extract.pretrain.origin import Origin
from extract.pretrain.quantizer import quantize_in_training, start_codebooks
from extract.pretrain.settings import TrainingSettings
from extract.pretrain.validation import validate
from store.runtime.archives import require_unpacked_size
from store.runtime.atomic import write_bytes
from store.runtime.errors import UserError
from store.runtime.plurals import list_names

START_WINDOWS = 512  # that the codebooks start from
FIT_WINDOWS = 8192  # that they are fitted to where the encoder stays
ADVERSARY_RATE = 1e-3
_Tensors = tuple[Tensor, ...] | list[Tensor]
VALIDATION_WINDOWS = 512  # while it trains, of all persons


class Training:
    """Model, optimizer and all else that a step changes, on the device given."""

    def __init__(
        self, config: BrainCodecConfig, settings: TrainingSettings, device: torch.device | str = "cpu"
    ) -> None:
        self.settings, self.device = settings, torch.device(device)
        self.origin = Origin()
        self._dtype = getattr(torch, settings.precision)
        self._quantize_from = 0 if settings.freeze_encoder else settings.quantize_from
        self.model = BrainCodec(config, settings.seed).to(self.device)
        self._average = AveragedModel(self.model, multi_avg_fn=self._move_average, use_buffers=True)
        self.model.encoder.requires_grad_(not settings.freeze_encoder)
        if self.device.type == "cuda" and not settings.freeze_encoder:
            self._record_graphs()
        self.optimizers = Optimizers(self.model, settings.weight_decay)
        self.balancer = Balancer(settings.loss_weights | settings.adversarial_weights)
        self.adversary = Adversary(settings.seed, self.device) if settings.adversarial_weights else None
        self.step = 0
        self.is_fitted = False  # the codebooks, to an encoder that stays
        self.batch_prd = 0.0  # running mean
        self.history: list[dict[str, float]] = []

    def advance(self, sampler: WindowSampler, keep_fit: Callable[[], object] = lambda: None) -> float:
        """Train one step on windows of the sampler; gives the root mean square error of the batch, in percent.

        Parameters
        ----------
        sampler
        keep_fit
            Called when the codebooks have been fitted, which takes long, and the step is still to do.

        Raises
        ------
        UserError
            If the gradient is not finite.
        """
        settings, model = self.settings, self.model
        generator = Generator(self.device).manual_seed(settings.seed * 1_000_003 + self.step)
        x, others = (sampler.draw(settings.batch, generator) / UNIT_UV for _ in range(2))
        x = augment(x, others, generator)
        if self.step == self._quantize_from and not self.is_fitted:
            self._start_codebooks(sampler, generator)
            if self.is_fitted:
                keep_fit()
        latents = model.encoder(x.to(self._dtype)).float()
        commitment = latents.new_zeros(())
        if self.step >= self._quantize_from:
            stages, moves = self._draw_stages(), not settings.freeze_encoder
            latents, commitment = quantize_in_training(model.quantizer, latents, generator, stages, moves)
        elif settings.noise:
            spread = latents.square().mean().sqrt()
            noise = torch.randn(latents.shape, generator=generator, device=self.device)
            latents = latents + settings.noise * spread * noise
        y = model.decoder(latents.to(self._dtype)).float()
        losses = reconstruction_losses(UNIT_UV * x, UNIT_UV * y, settings.loss_weights)
        if self.adversary and self.step >= settings.adversarial_from:
            rate = ADVERSARY_RATE * rate_share(settings, self.step)
            losses |= self.adversary.compete(UNIT_UV * x, UNIT_UV * y, rate)
        objective = (self.balancer.gradient(losses, y).detach() * y).sum() + settings.commitment * commitment
        model.zero_grad()
        objective.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        if not torch.isfinite(norm):
            raise UserError(
                f"training diverged at step {self.step}: the gradient is not finite; the last state is kept, "
                "train again with a lower --learning-rate and another --out"
            )
        share = rate_share(settings, self.step)
        self.optimizers.step(share * settings.learning_rate, share * settings.adamw_rate)
        self._average.update_parameters(model)
        self.step += 1
        errors = prd(x, y.detach())
        return float(errors[errors.isfinite()].mean())  # windows that are all zero have none

    def start_from(self, model: BrainCodec) -> None:
        """Begin with the weights of a model in microvolts, and with its codebooks, which may be fewer."""
        weights = in_training_unit(model).state_dict()
        self.model.load_state_dict({**self.model.state_dict(), **weights})
        self.averaged.load_state_dict(self.model.state_dict())

    def _record_graphs(self) -> None:
        """Make encoder and decoder CUDA graphs: launching kernels one by one takes longer than running them."""
        model, batch = self.model, self.settings.batch
        place = {"device": self.device, "dtype": self._dtype}
        windows = torch.randn(batch, 1, model.config.samples, **place)
        latents = torch.randn(batch, model.config.dimension, model.config.frames, **place, requires_grad=True)
        for part, example in ((model.encoder, windows), (model.decoder, latents)):
            torch.cuda.make_graphed_callables(part, (example,))  # replaces the module's own forward

    @property
    def averaged(self) -> BrainCodec:
        """The running mean of the model, in the unit of training."""
        return cast(BrainCodec, self._average.module)  # torch's type says a module of any kind

    def _draw_stages(self) -> int:
        """How many quantizers code a batch."""
        nested, config = self.settings.nested, self.model.config
        if not nested:
            return config.quantizers
        rng = random.Random(self.settings.seed * 1_000_003 + self.step)
        return rng.randint(1, config.quantizers) if rng.random() < nested else config.default_quantizers

    def _stage_shares(self) -> list[float]:
        """Share of batches that the first quantizer codes alone, that the first two code, and so on."""
        nested, config = self.settings.nested, self.model.config
        shares = [nested / config.quantizers] * config.quantizers
        shares[(config.default_quantizers if nested else config.quantizers) - 1] += 1 - nested
        return shares

    def _start_codebooks(self, sampler: WindowSampler, generator: Generator) -> None:
        quantizer = self.model.quantizer
        kept = sum(bool(codebook.trained) for codebook in quantizer.codebooks) if self.step == 0 else 0
        self.model.eval()  # graphs are of batches in training
        if kept < len(quantizer.codebooks):
            with torch.no_grad():
                windows = sampler.draw(START_WINDOWS, generator) / UNIT_UV
                start_codebooks(quantizer, encode_all(self.model, windows), generator, kept)
        if self.settings.freeze_encoder:
            windows = sampler.draw(FIT_WINDOWS, generator) / UNIT_UV
            fit_codes(self.model, windows, self._stage_shares(), generator)
            self.is_fitted = True
        self.model.train()
        self.averaged.load_state_dict(self.model.state_dict())

    def _move_average(self, averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def save(self, path: Path) -> None:
        """Write all that a step changes, whole or not at all.

        Raises
        ------
        UserError
            If the disk is full or the file cannot be written.
        """
        state = {
            "settings": _comparable(self.settings),
            "config": dataclasses.asdict(self.model.config),
            "origin": self.origin.to_metadata(),
            "model": self.model.state_dict(),
            "average": self.averaged.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "adversary": self.adversary and self.adversary.state_dict(),
            "norms": {name: float(norm) for name, norm in self.balancer.norms.items()},
            "step": self.step,
            "is_fitted": self.is_fitted,
            "batch_prd": self.batch_prd,
            "history": self.history,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(path, content.getvalue(), sync=True)

    def load(
        self, path: Path, known: Origin | None = None, folders: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Go on from a saved state.

        Parameters
        ----------
        known
            Origin of a state that does not say it, as those of earlier versions; by default that of this training.
        folders
            Name of the data set by name of its folder, to name persons by in errors.

        Raises
        ------
        UserError
            If it is damaged, or of another configuration, other settings or another origin.
        """
        try:
            require_unpacked_size(path)
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location=self.device)
            stored = {**state["config"], **state["settings"]}
            origin = Origin.of(state["origin"]) if "origin" in state else known or self.origin
        except Exception:  # a damaged pickle raises whatever its bytes happen to call for
            raise _refuse(path, "not the state of a training") from None
        current = {**dataclasses.asdict(self.model.config), **_comparable(self.settings)}
        if odd := [name for name in current if stored.get(name) != current[name]]:
            text = ", ".join(f"{name} {stored.get(name)}, now {current[name]}" for name in odd)
            raise UserError(f"{path}: started with {text}; use the same settings, or another --out")
        if changes := list(origin.list_changes(self.origin, folders)):
            text = list_names(changes)
            raise UserError(
                f"{path}: started with {text}; give the same --bids, --hold-out and --start, or another --out"
            )
        try:
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["average"])
            self.optimizers.load_state_dict(state["optimizers"])
            if self.adversary:
                self.adversary.load_state_dict(state["adversary"])
            norms = dict(state["norms"]).items()
            self.balancer.norms = {name: torch.tensor(norm, device=self.device) for name, norm in norms}
            self.step, self.batch_prd, self.history = (state[name] for name in ("step", "batch_prd", "history"))
            self.is_fitted = bool(state.get("is_fitted"))  # earlier versions kept no fit before the first step
            self._average.n_averaged.fill_(self.step)  # at 0, torch would replace the mean by the next weights
        except Exception:  # parts that are missing or of another shape
            raise _refuse(path, "damaged state of a training") from None


def _refuse(path: Path, what: str) -> UserError:
    """The error for a state that cannot be read; the weights of its training are in the way of a new one too."""
    weights = path.with_suffix("")
    both = f"{path.name} and {weights.name}" if weights != path and weights.exists() else path.name
    return UserError(f"{path}: {what}; remove {both} to train anew, or give another --out")


def train(
    training: Training, sampler: WindowSampler, held_out: Sequence[TrainingSignal], state_path: Path
) -> Iterator[dict[str, float]]:
    """Train to the end, saving a state and giving the figures of a validation at each interval.

    Raises
    ------
    UserError
        If the training diverges; the state saved last stays.
    """
    settings = training.settings
    bar = tqdm(total=settings.steps, initial=training.step, unit="step", disable=None)
    while training.step < settings.steps:
        now = training.advance(sampler, keep_fit=lambda: training.save(state_path))
        if math.isfinite(now):
            training.batch_prd += (0.02 if training.batch_prd else 1.0) * (now - training.batch_prd)
        bar.update()
        bar.set_postfix_str(f"batch PRD {training.batch_prd:.1f} %", refresh=False)
        if training.step % settings.every == 0 or training.step == settings.steps:
            figures = {"step": training.step, "batch_prd": training.batch_prd}
            most = max(16, VALIDATION_WINDOWS // max(1, len({signal.person for signal in held_out})))
            parts = validate(training.averaged, held_out, most).values()
            if parts:
                figures["prd"] = sum(part["prd"] for part in parts) / len(parts)
                figures["autoencoder_prd"] = sum(part["autoencoder_prd"] for part in parts) / len(parts)
            training.history.append(figures)
            training.save(state_path)
            yield figures
    bar.close()


def rate_share(settings: TrainingSettings, step: int) -> float:
    """Share of the highest rates: a linear warm-up, all of them, then a cosine to zero.

    >>> settings = TrainingSettings(steps=1000, warmup=100, cooldown=0.8)
    >>> [round(rate_share(settings, step), 2) for step in (0, 49, 100, 200, 600, 1000)]
    [0.01, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    cooled = 1 - (settings.steps - step) / max(1.0, settings.cooldown * settings.steps)
    return min((step + 1) / max(1, settings.warmup), 0.5 * (1 + math.cos(math.pi * max(0.0, cooled))))


def _comparable(settings: TrainingSettings) -> dict[str, Any]:
    """Settings that a resumed training must share: all but its length and how often it reports."""
    values = dataclasses.asdict(settings)
    return {name: value for name, value in values.items() if name not in ("steps", "every")}
