"""The training loop: every step is a function of the seed and its number, so a resumed run is the same run."""

import dataclasses
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator
from tqdm import tqdm

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.pretrain.data import TrainingSignal, augment, by_person, cut_windows, draw_windows
from extract.pretrain.discriminator import Adversary
from extract.pretrain.losses import LOSSES, Balancer, prd, reconstruction_losses
from extract.pretrain.quantizer import perplexity, quantize_in_training, start_codebooks
from store.runtime.archives import require_unpacked_size
from store.runtime.atomic import write_bytes
from store.runtime.errors import UserError

UNIT_UV = 50.0  # the network trains on signals in this unit; `in_microvolts` folds it into the weights
START_WINDOWS = 512  # that the codebooks start from
VALIDATION_WINDOWS = 512  # of each person, at most
BATCH_ENCODED = 64


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train; two runs with the same settings on the same machine give the same weights."""

    steps: int = 20_000
    """Batches to train on; a finished run goes on when this is raised."""
    batch: int = 32
    """Windows of one channel in a batch."""
    learning_rate: float = 1e-3
    """Highest, after the warm-up; a cosine leads it to zero."""
    warmup: int = 200
    """Steps of the warm-up."""
    weight_decay: float = 0.01
    """Of AdamW."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    quantize_from: int = 500
    """Step at which the codebooks start; before it the autoencoder trains alone."""
    l2: float = 1.0
    """Weight of the relative root mean square error."""
    l1: float = 0.0
    """Weight of the relative absolute error."""
    line_length: float = 0.0
    """Weight of the error of the line length."""
    spectrogram: float = 0.0
    """Weight of the error of the spectrograms."""
    commitment: float = 0.25
    """Weight of the distance of latents to their codes."""
    adversarial: float = 0.0
    """Weight of the loss against a discriminator of spectra; zero leaves the discriminator out."""
    feature_matching: float = 0.0
    """Weight of the distance of the discriminator's features."""
    adversarial_from: int = 10_000
    """Step at which the discriminator sets in."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic of the convolutions; weights and codebooks are float32."""
    seed: int = 0
    """Of weights, batches and codebooks."""
    every: int = 500
    """Steps between validations and saved states."""

    @property
    def loss_weights(self) -> dict[str, float]:
        """Losses of the reconstruction that have a weight."""
        return {name: getattr(self, name) for name in LOSSES if getattr(self, name)}

    @property
    def adversarial_weights(self) -> dict[str, float]:
        """Losses against the discriminator that have a weight."""
        names = ("adversarial", "feature_matching")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Training:
    """Model, optimizer and all else that a step changes."""

    def __init__(self, config: BrainCodecConfig, settings: TrainingSettings) -> None:
        self.settings = settings
        self.model = BrainCodec(config, settings.seed)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
        self.balancer = Balancer(settings.loss_weights | settings.adversarial_weights)
        self.adversary = Adversary(settings.seed) if settings.adversarial_weights else None
        self.step = 0
        self.batch_prd = 0.0  # running mean
        self.history: list[dict[str, float]] = []

    def advance(self, signals: Sequence[TrainingSignal]) -> float:
        """Train one step; gives the relative root mean square error of the batch, in percent.

        Raises
        ------
        UserError
            If the gradient is not finite.
        """
        settings, model, config = self.settings, self.model, self.model.config
        generator = Generator().manual_seed(settings.seed * 1_000_003 + self.step)
        x, others = (draw_windows(signals, config, settings.batch, generator) for _ in range(2))
        x = augment(x, others, generator) / UNIT_UV
        if self.step == settings.quantize_from:
            windows = draw_windows(signals, config, START_WINDOWS, generator) / UNIT_UV
            with torch.no_grad():
                latents = torch.cat([model.encode(part) for part in torch.split(windows, BATCH_ENCODED)])
            start_codebooks(model.quantizer, latents, generator)
        dtype = getattr(torch, settings.precision)
        latents = model.encoder(x.to(dtype)).float()
        commitment = latents.new_zeros(())
        if self.step >= settings.quantize_from:
            latents, commitment = quantize_in_training(model.quantizer, latents, generator)
        y = model.decoder(latents.to(dtype)).float()
        losses = reconstruction_losses(UNIT_UV * x, UNIT_UV * y, settings.loss_weights)
        if self.adversary and self.step >= settings.adversarial_from:
            losses |= self.adversary.compete(UNIT_UV * x, UNIT_UV * y, learning_rate(settings, self.step))
        objective = (self.balancer.gradient(losses, y).detach() * y).sum() + settings.commitment * commitment
        self.optimizer.zero_grad()
        objective.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        if not torch.isfinite(norm):
            raise UserError(
                f"training diverged at step {self.step}: the gradient is not finite; the last state is kept, "
                "train again with a lower --learning-rate and another --out"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, self.step)
        self.optimizer.step()
        self.step += 1
        return float(prd(x, y.detach()).nanmean())

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
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary and self.adversary.state_dict(),
            "norms": self.balancer.norms,
            "step": self.step,
            "batch_prd": self.batch_prd,
            "history": self.history,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(path, content.getvalue(), sync=True)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises
        ------
        UserError
            If it is damaged, or of another configuration or other settings.
        """
        try:
            require_unpacked_size(path)
            state: dict[str, Any] = torch.load(path, weights_only=True)
            stored = {**state["config"], **state["settings"]}
        except Exception as error:  # a damaged pickle raises whatever its bytes happen to call for
            raise UserError(f"{path}: no state of a training ({type(error).__name__}); remove it") from None
        current = {**dataclasses.asdict(self.model.config), **_comparable(self.settings)}
        if odd := [name for name in current if stored.get(name) != current[name]]:
            text = ", ".join(f"{name} {stored.get(name)}, now {current[name]}" for name in odd)
            raise UserError(f"{path}: begun with {text}; use the same settings, or another --out")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.adversary:
                self.adversary.load_state_dict(state["adversary"])
            self.balancer.norms = dict(state["norms"])
            self.step, self.batch_prd, self.history = (state[name] for name in ("step", "batch_prd", "history"))
        except Exception as error:  # parts that are missing or of another shape
            raise UserError(f"{path}: damaged state of a training ({type(error).__name__}); remove it") from None


def train(
    training: Training, signals: Sequence[TrainingSignal], held_out: Sequence[TrainingSignal], state_path: Path
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
        now = training.advance(signals)
        training.batch_prd += (0.02 if training.step > 1 else 1.0) * (now - training.batch_prd)
        bar.update()
        bar.set_postfix_str(f"batch PRD {training.batch_prd:.1f} %", refresh=False)
        if training.step % settings.every == 0 or training.step == settings.steps:
            figures = {"step": training.step, "batch_prd": training.batch_prd}
            parts = validate(training.model, held_out).values()
            if parts:
                figures["prd"] = sum(part["prd"] for part in parts) / len(parts)
                figures["autoencoder_prd"] = sum(part["autoencoder_prd"] for part in parts) / len(parts)
            training.history.append(figures)
            training.save(state_path)
            yield figures
    bar.close()


@torch.inference_mode()
def validate(model: BrainCodec, signals: Sequence[TrainingSignal]) -> dict[str, dict[str, Any]]:
    """Figures of each person: mean PRD of windows with and without quantization, codes in effective use.

    The model is in its unit of training. Windows that are all zero have no PRD and are left out.
    """
    figures = {}
    for person, recordings in by_person(signals).items():
        windows = torch.cat([cut_windows(signal, model.config) for signal in recordings]) / UNIT_UV
        windows = windows[windows.abs().amax((1, 2)) > 0]
        windows = windows[:: math.ceil(len(windows) / VALIDATION_WINDOWS)]
        plain, quantized, codes = [], [], []
        for part in torch.split(windows, BATCH_ENCODED):
            latents = model.encode(part)
            plain.append(prd(part, model.decode(latents)))
            if model.quantizer.codebooks[0].trained:
                codes.append(model.quantize(latents))
                quantized.append(prd(part, model.decode(model.dequantize(codes[-1]))))
        figures[person] = {
            "windows": len(windows),
            "autoencoder_prd": float(torch.cat(plain).mean()),
            "prd": float(torch.cat(quantized or plain).mean()),
            "perplexity": perplexity(torch.cat(codes), model.config.codebook_size).tolist() if codes else [],
        }
    return figures


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Linear warm-up, then a cosine to zero.

    >>> settings = TrainingSettings(steps=1000, learning_rate=1.0, warmup=100)
    >>> [round(learning_rate(settings, step), 2) for step in (0, 49, 100, 550, 1000)]
    [0.01, 0.5, 1.0, 0.5, 0.0]
    """
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def in_microvolts(model: BrainCodec) -> BrainCodec:
    """The model that does in microvolts what this one does in its unit of training."""
    folded = BrainCodec(model.config)
    folded.load_state_dict(model.state_dict())
    with torch.no_grad():
        folded.encoder.first.weight.div_(UNIT_UV)
        folded.decoder.last.weight.mul_(UNIT_UV)
        folded.decoder.last.bias.mul_(UNIT_UV)
    return folded


def _comparable(settings: TrainingSettings) -> dict[str, Any]:
    """Settings that a resumed training must share: all but its length and how often it reports."""
    values = dataclasses.asdict(settings)
    return {name: value for name, value in values.items() if name not in ("steps", "every")}
