"""The discriminator on short-time spectra of several resolutions, and its losses (arXiv 2210.13438, 3.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extract.pretrain.losses import FLOOR_UV

RESOLUTIONS = (2048, 1024, 512, 256, 128)
LEAK = 0.2


@dataclass(frozen=True)
class Verdict:
    """What one resolution says of signals."""

    logits: Tensor  # (N, 1, time, frequency), high where real
    features: list[Tensor]  # of each layer before


class SpectrumDiscriminator(nn.Module):
    """Two-dimensional convolutions on the real and imaginary part of spectra of `size` samples."""

    window: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        self.layers = nn.ModuleList([nn.Conv2d(2, channels, (3, 9), padding=(1, 4))])
        for dilation in (1, 2, 4):
            self.layers.append(
                nn.Conv2d(channels, channels, (3, 9), (1, 2), (dilation, 4), dilation=(dilation, 1))
            )
        self.layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, signal: Tensor) -> Verdict:
        """Judge signals ``(N, 1, L)``."""
        spectra = torch.stft(
            signal[:, 0],
            self.size,
            hop_length=self.size // 4,
            window=self.window,
            normalized=True,
            pad_mode="constant",
            return_complex=True,
        )
        x = torch.view_as_real(spectra).permute(0, 3, 2, 1)  # (N, 2, time, frequency)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK)
            features.append(x)
        return Verdict(self.last(x), features)


class Discriminator(nn.Module):
    """One discriminator a resolution, on signals ``(N, 1, L)`` scaled to about one.

    Parameters
    ----------
    seed : int
        Of the initial weights; torch's own random state is not touched.
    """

    def __init__(self, channels: int = 64, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleList(SpectrumDiscriminator(size, channels) for size in RESOLUTIONS)

    def forward(self, signal: Tensor) -> list[Verdict]:
        """Judge signals ``(N, 1, L)`` at every resolution."""
        return [part(signal) for part in self.parts]


class Adversary:
    """A discriminator with the optimizer that trains it."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.discriminator = Discriminator(seed=seed).to(device)
        self.optimizer = torch.optim.AdamW(self.discriminator.parameters(), betas=(0.9, 0.99), fused=True)

    def compete(self, signal: Tensor, made: Tensor, learning_rate: float) -> dict[str, Tensor]:
        """Train the discriminator one step; gives the losses of the codec against it.

        Parameters
        ----------
        signal, made : Tensor
            ``(N, 1, L)`` microvolts, real and of the codec; each window is scaled to about one.
        """
        scale = signal.square().mean((1, 2), keepdim=True).sqrt().clamp(min=FLOOR_UV)
        signal, made = signal / scale, made / scale
        self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad()
        loss = discriminator_loss(self.discriminator(signal), self.discriminator(made.detach()))
        torch.autograd.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.discriminator.requires_grad_(False)
        real, fake = self.discriminator(signal), self.discriminator(made)
        return {"adversarial": adversarial_loss(fake), "feature_matching": feature_loss(real, fake)}

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes."""
        return {"model": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.discriminator.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def discriminator_loss(real: Sequence[Verdict], made: Sequence[Verdict]) -> Tensor:
    """Hinge loss of the discriminator, mean over the resolutions."""
    pairs = zip(real, made, strict=True)
    return torch.stack([F.relu(1 - r.logits).mean() + F.relu(1 + m.logits).mean() for r, m in pairs]).mean()


def adversarial_loss(made: Sequence[Verdict]) -> Tensor:
    """Hinge loss of the codec: how little its signals pass for real."""
    return torch.stack([F.relu(1 - verdict.logits).mean() for verdict in made]).mean()


def feature_loss(real: Sequence[Verdict], made: Sequence[Verdict]) -> Tensor:
    """Relative L1 between the features of real and made signals, mean over layers and resolutions."""
    parts = [
        (ours - theirs.detach()).abs().mean() / theirs.detach().abs().mean().clamp(min=1e-6)
        for m, r in zip(made, real, strict=True)
        for ours, theirs in zip(m.features, r.features, strict=True)
    ]
    return torch.stack(parts).mean()
