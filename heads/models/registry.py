"""Heads: from the features of a window to a seizure logit for each of its seconds.

A head is a module on ``(B, F, C, D)`` that gives ``(B, S)`` logits. It standardises its input with the buffers
``mean`` and ``scale`` ``(C, D)``, so a saved head needs nothing else. In training it is given ``noise (B, N)``,
uniform in [0, 1), N its ``noise_size``: dropout decides by it, which keeps many heads that train together
reproducible.

That is all a new head needs, with a line in ``HEADS``: many of them train together through `torch.func.vmap`. For
speed a head may define ``forward_stacked`` for many heads at once, on what its ``reduce`` makes of features.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from heads.ops.blocks import Pieces
from heads.ops.spatial_filters import fuse_and_pool, fuse_and_vary
from store.runtime.errors import UserError

_SEEDING = threading.Lock()  # torch's random state is one for all threads

DEVIATION_FLOOR = 1e-3  # keeps the logarithm of a silent second finite
RESPONSE_FLOOR = 0.1  # the same of a filter's responses to standardised features


class Head(nn.Module):
    """What all heads share: input standardisation and the dropout rate, both buffers."""

    half = False  # whether forward_stacked takes bfloat16 features
    mean: Tensor
    scale: Tensor
    dropout: Tensor

    def __init__(self, shape: tuple[int, int, int], seconds: int, dropout: float) -> None:
        super().__init__()
        if shape[0] % seconds:
            raise UserError(f"{shape[0]} frames a window do not divide into {seconds} seconds")
        self.shape, self.seconds = shape, seconds
        self.register_buffer("mean", torch.zeros(shape[1:]))
        self.register_buffer("scale", torch.ones(shape[1:]))
        self.register_buffer("dropout", torch.tensor(dropout))

    @property
    def noise_size(self) -> int:
        """Uniform numbers that a window needs in training."""
        return 0

    def reduce(self, features: Tensor) -> Tensor:
        """What ``forward_stacked`` takes of raw features; it depends on no weight, so it is kept over epochs."""
        return features

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        noise: Tensor | None,
        pieces: Pieces | None = None,
    ) -> Tensor:
        """K heads on the same windows, ``(B, ...)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        A head may leave out what is in no piece: such logits have no weight in the loss.
        """
        call = torch.func.functional_call
        if noise is None:
            return torch.func.vmap(lambda one: call(self, one, (features,)))(dict(state))
        return torch.func.vmap(lambda one, own: call(self, one, (features, own)))(dict(state), noise)


class SpatialFusionHead(Head):
    """Convolution over all electrodes per frame, pooling over the frames of each second, MLP, S logits.

    A filter's responses in a second are pooled to their maximum, and with ``deviation`` to the logarithms of
    maximum and standard deviation, as log-variance features are of EEG rhythms (Schirrmeister et al., 2017).
    """

    half = True

    def __init__(
        self, shape: tuple[int, int, int], seconds: int, filters: int, hidden: int, dropout: float, deviation: bool
    ) -> None:
        super().__init__(shape, seconds, dropout)
        frames, channels, dims = shape
        self.filters = filters
        self.deviation = deviation and frames > seconds
        self.fuse = nn.Linear(channels * dims, filters)
        self.hidden = nn.Linear(seconds * filters * (2 if self.deviation else 1), hidden)
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
        if self.deviation:
            pooled = on_log_scale(pooled, fused.var(2, correction=0))
        hidden = drop(self.hidden(pooled.flatten(1)).relu(), self.dropout, noise)
        return self.out(hidden)

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        noise: Tensor | None,
        pieces: Pieces | None = None,
    ) -> Tensor:
        """K heads on the same windows, ``(B, F, C, D)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        The convolution of all heads is one matrix product in the precision of the features; bias and ReLU commute
        with the maximum and follow it.
        """
        filters = (state["fuse.weight"], state["mean"].flatten(1), state["scale"].flatten(1))
        bias = state["fuse.bias"][:, None, None]
        if self.deviation:
            largest, variance = fuse_and_vary(features.flatten(2), *filters, self.seconds, pieces)
            pooled = on_log_scale((largest + bias).relu_(), variance)
        else:
            pooled = fuse_and_pool(features.flatten(2), *filters, self.seconds, pieces).add_(bias).relu_()
        hidden = torch.baddbmm(state["hidden.bias"][:, None], pooled.flatten(2), state["hidden.weight"].mT).relu()
        hidden = drop(hidden, state["dropout"][:, None, None], noise)
        return torch.baddbmm(state["out.bias"][:, None], hidden, state["out.weight"].mT)


class LinearHead(Head):
    """Logistic regression on mean and log deviation over the frames of each second of the window."""

    def __init__(self, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds, dropout=0.0)
        frames, channels, dims = shape
        self.statistics = 2 if frames > seconds else 1
        self.out = nn.Linear(self.statistics * seconds * channels * dims, seconds)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        pooled = self.reduce(features).view(len(features), self.statistics, self.seconds, *self.shape[1:])
        gain, offset = self._standardisation(self.mean, self.scale)
        return self.out((pooled * gain[:, None] + offset[:, None]).flatten(1))

    def reduce(self, features: Tensor) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, statistics * S * C * D)``, mean then log deviation."""
        return pool_seconds(features, self.seconds, self.statistics).movedim(2, 1).flatten(1)

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        noise: Tensor | None,
        pieces: Pieces | None = None,
    ) -> Tensor:
        """K heads on the same reduced windows -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        Features are pooled as they are stored; the standardisation is folded into weights and bias.
        """
        slots = len(state["out.bias"])
        gain, offset = (part.flatten(2) for part in self._standardisation(state["mean"], state["scale"]))
        weight = state["out.weight"].view(slots, self.seconds, self.statistics, self.seconds, -1)
        shift = torch.einsum("kopsi,kpi->ko", weight, offset)
        logits = features @ (weight * gain[:, None, :, None]).flatten(2).flatten(0, 1).mT
        return logits.unflatten(-1, (slots, self.seconds)).transpose(0, 1) + (state["out.bias"] + shift)[:, None]

    def _standardisation(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and offset of the statistics of standardised frames, ``(..., statistics, C, D)`` each."""
        alive = scale > 0
        gain = torch.stack([scale, alive.to(scale.dtype)][: self.statistics], -3)
        log_scale = torch.where(alive, scale, 1.0).log()
        return gain, torch.stack([-mean * scale, log_scale][: self.statistics], -3)


def on_log_scale(largest: Tensor, variance: Tensor) -> Tensor:
    """Maximum and variance of a filter's responses, ``(..., N)`` each, to logarithms ``(..., 2N)``."""
    return torch.cat([largest.log1p(), 0.5 * (variance + RESPONSE_FLOOR**2).log()], -1)


def pool_seconds(features: Tensor, seconds: int, statistics: int) -> Tensor:
    """Mean, and with two statistics the log of the deviation, over the frames of each second.

    ``(B, F, C, D)`` -> ``(B, S, statistics, C, D)``.
    """
    frames = features.unflatten(1, (seconds, -1))
    mean = frames.mean(2)
    if statistics == 1:
        return mean[:, :, None]
    variance = (frames - mean[:, :, None]).square().mean(2)
    return torch.stack([mean, 0.5 * (variance + DEVIATION_FLOOR**2).log()], 2)


@dataclass(frozen=True)
class HeadSettings:
    """Shape of a head; a head takes what it knows."""

    head: Literal["spatial-fusion", "linear"] = "spatial-fusion"
    """Which head."""
    filters: int = 64
    """Spatial filters: outputs of the convolution over all electrodes."""
    pooling: Literal["max", "max-deviation"] = "max-deviation"
    """What the MLP sees of a filter in a second: its maximum, or the logarithms of maximum and deviation."""
    hidden: int = 128
    """Hidden units of the MLP."""
    dropout: float = 0.25
    """Share of hidden units left out in training."""


Builder = Callable[[HeadSettings, tuple[int, int, int], int], Head]

HEADS: dict[str, Builder] = {
    "spatial-fusion": lambda s, shape, seconds: SpatialFusionHead(
        shape, seconds, s.filters, s.hidden, s.dropout, s.pooling == "max-deviation"
    ),
    "linear": lambda s, shape, seconds: LinearHead(shape, seconds),
}


def make_head(settings: HeadSettings, shape: tuple[int, int, int], seconds: int, seed: int) -> Head:
    """Build a head with seeded initial weights; the global random state is left as it was."""
    with _SEEDING, torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return HEADS[settings.head](settings, shape, seconds)


def drop(values: Tensor, rate: Tensor, noise: Tensor | None) -> Tensor:
    """Dropout by given noise; the identity without."""
    if noise is None:
        return values
    return values * torch.where(noise >= rate, 1 / (1 - rate), 0.0)
