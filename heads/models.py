"""Heads: from the features of a window to a seizure logit for each of its seconds.

A head is a module on ``(B, F, C, D)`` that gives ``(B, S)`` logits. It standardises its input with the buffers
``mean`` and ``scale`` ``(C, D)``, so a saved head needs nothing else. In training it is given ``noise (B, N)``,
uniform in [0, 1), N its ``noise_size``: dropout decides by it, which keeps many heads that train together
reproducible. A head may also define ``forward_stacked`` for many heads at once; `heads.fused` falls back on
`torch.func.vmap`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """What all heads share: input standardisation and the dropout rate, both buffers."""

    mean: Tensor
    scale: Tensor
    dropout: Tensor

    def __init__(self, shape: tuple[int, int, int], seconds: int, dropout: float) -> None:
        super().__init__()
        if shape[0] % seconds:
            raise ValueError(f"{shape[0]} frames a window do not divide into {seconds} seconds")
        self.shape, self.seconds = shape, seconds
        self.register_buffer("mean", torch.zeros(shape[1:]))
        self.register_buffer("scale", torch.ones(shape[1:]))
        self.register_buffer("dropout", torch.tensor(dropout))

    @property
    def noise_size(self) -> int:
        """Uniform numbers that a window needs in training."""
        return 0


class SpatialFusionHead(Head):
    """Convolution over all electrodes per frame, max-pool over the frames of each second, MLP, S logits."""

    def __init__(
        self, shape: tuple[int, int, int], seconds: int, filters: int, hidden: int, dropout: float
    ) -> None:
        super().__init__(shape, seconds, dropout)
        _, channels, dims = shape
        self.filters = filters
        self.fuse = nn.Linear(channels * dims, filters)
        self.hidden = nn.Linear(seconds * filters, hidden)
        self.out = nn.Linear(hidden, seconds)

    @property
    def noise_size(self) -> int:
        """One number for each hidden unit."""
        return self.hidden.out_features

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        standard = (features - self.mean) * self.scale
        fused = self.fuse(standard.flatten(2)).unflatten(1, (self.seconds, -1))
        pooled = fused.amax(2).relu()
        hidden = drop(self.hidden(pooled.flatten(1)).relu(), self.dropout, noise)
        return self.out(hidden)

    def forward_stacked(self, state: Mapping[str, Tensor], features: Tensor, noise: Tensor | None) -> Tensor:
        """K heads on the same windows, ``(B, F, C, D)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        The convolution of all heads is one matrix product, their standardisation folded into its weights; bias
        and ReLU commute with the maximum and follow it.
        """
        weight = state["fuse.weight"] * state["scale"].flatten(1)[:, None]
        bias = state["fuse.bias"] - (weight @ state["mean"].flatten(1)[..., None]).squeeze(-1)
        fused = features.flatten(2).flatten(0, 1) @ weight.flatten(0, 1).mT
        pooled = fused.view(len(features), self.seconds, -1, fused.shape[-1]).amax(2)
        pooled = (pooled.unflatten(-1, bias.shape) + bias).relu()
        flat = pooled.permute(2, 0, 1, 3).flatten(2)
        hidden = torch.baddbmm(state["hidden.bias"][:, None], flat, state["hidden.weight"].mT).relu()
        hidden = drop(hidden, state["dropout"][:, None, None], noise)
        return torch.baddbmm(state["out.bias"][:, None], hidden, state["out.weight"].mT)


class LinearHead(Head):
    """Logistic regression on the mean and the deviation over the frames of each second of the window."""

    def __init__(self, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds, dropout=0.0)
        frames, channels, dims = shape
        self.statistics = 2 if frames > seconds else 1
        self.out = nn.Linear(self.statistics * seconds * channels * dims, seconds)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        return self.out(self._pool((features - self.mean) * self.scale))

    def forward_stacked(self, state: Mapping[str, Tensor], features: Tensor, noise: Tensor | None) -> Tensor:
        """K heads on the same windows, ``(B, F, C, D)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        Pooling is done once on raw features: mean and deviation follow the standardisation linearly.
        """
        slots = len(state["out.bias"])
        weight = state["out.weight"].view(slots, self.seconds, self.statistics, self.seconds, -1)
        weight = weight * state["scale"].view(slots, 1, 1, 1, -1)
        shift = torch.einsum("kopsi,ki->ko", weight[:, :, :1], state["mean"].flatten(1))
        logits = self._pool(features) @ weight.flatten(2).flatten(0, 1).mT
        return logits.unflatten(-1, (slots, self.seconds)).transpose(0, 1) + (state["out.bias"] - shift)[:, None]

    def _pool(self, features: Tensor) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, statistics * S * C * D)``."""
        seconds = features.unflatten(1, (self.seconds, -1))
        pooled = [seconds.mean(2), seconds.std(2, correction=0)][: self.statistics]
        return torch.stack(pooled, 1).flatten(1)


@dataclass(frozen=True)
class HeadSettings:
    """Shape of a head; a head takes what it knows."""

    head: Literal["spatial-fusion", "linear"] = "spatial-fusion"
    """Which head."""
    filters: int = 64
    """Spatial filters: outputs of the convolution over all electrodes."""
    hidden: int = 128
    """Hidden units of the MLP."""
    dropout: float = 0.25
    """Share of hidden units left out in training."""


Builder = Callable[[HeadSettings, tuple[int, int, int], int], Head]

HEADS: dict[str, Builder] = {
    "spatial-fusion": lambda s, shape, seconds: SpatialFusionHead(shape, seconds, s.filters, s.hidden, s.dropout),
    "linear": lambda s, shape, seconds: LinearHead(shape, seconds),
}


def make_head(settings: HeadSettings, shape: tuple[int, int, int], seconds: int, seed: int) -> Head:
    """Build a head with seeded initial weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return HEADS[settings.head](settings, shape, seconds)


def drop(values: Tensor, rate: Tensor, noise: Tensor | None) -> Tensor:
    """Dropout by given noise; the identity without."""
    if noise is None:
        return values
    return values * (noise >= rate) / (1 - rate)
