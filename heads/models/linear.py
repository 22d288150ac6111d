"""Logistic regression on statistics of each second."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.models.head import Head
from heads.settings import HeadSettings

STD_FLOOR = 1e-3  # keeps the logarithm of a silent second finite


class LinearHead(Head):
    """Logistic regression on mean and log deviation over the frames of each second of the window."""

    nan_if_missing = True

    def __init__(self, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds)
        frames, channels, dims = shape
        self.statistics = 2 if frames > seconds else 1
        self.out = nn.Linear(self.statistics * seconds * channels * dims, seconds)

    def forward(self, features: Tensor, dropout_uniforms: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        pooled = self.precompute(features).view(features.shape[0], self.statistics, self.seconds, *self.shape[1:])
        gain, offset = self._standardisation(self.mean, self.scale)
        standard = pooled * gain[:, None] + offset[:, None]
        logits: Tensor = self.out(torch.where(standard.isnan(), 0.0, standard).flatten(1))
        return logits

    def precompute(self, features: Tensor) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, statistics * S * C * D)``, mean then log deviation."""
        return pool_seconds(features, self.seconds, self.statistics).movedim(2, 1).flatten(1)

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        dropout_uniforms: Tensor | None,
        trains: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """K heads on the same precomputed windows -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        Features are pooled as they are stored; the standardisation is folded into weights and bias. Of missing
        electrodes, features and their share of the bias are left out.
        """
        heads = len(state["out.bias"])
        gain, offset = (part.flatten(2) for part in self._standardisation(state["mean"], state["scale"]))
        weight = state["out.weight"].view(heads, self.seconds, self.statistics, self.seconds, -1)
        shift = torch.einsum("kopsi,kpi->ko", weight, offset)[:, None]
        missing = features.view(len(features), -1, *self.shape[1:])[:, 0, :, 0].isnan()
        if missing.any():
            features = torch.where(features.isnan(), 0.0, features)
            of_electrodes = (part.view(*part.shape[:-1], *self.shape[1:]) for part in (weight, offset))
            by_electrode = torch.einsum("kopscd,kpcd->koc", *of_electrodes)
            shift = shift - torch.einsum("koc,bc->kbo", by_electrode, missing.to(features.dtype))
        logits = features @ (weight * gain[:, None, :, None]).flatten(2).flatten(0, 1).mT
        by_head = logits.view(*logits.shape[:-1], heads, self.seconds).transpose(0, 1)
        return by_head + (state["out.bias"][:, None] + shift)

    def _standardisation(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and offset of the statistics of standardised frames, ``(..., statistics, C, D)`` each."""
        varies = scale > 0
        gain = torch.stack([scale, varies.to(scale.dtype)][: self.statistics], -3)
        log_scale = torch.where(varies, scale, 1.0).log()
        return gain, torch.stack([-mean * scale, log_scale][: self.statistics], -3)


def pool_seconds(features: Tensor, seconds: int, statistics: int) -> Tensor:
    """Mean, and with two statistics the log of the deviation, over the frames of each second.

    ``(B, F, C, D)`` -> ``(B, S, statistics, C, D)``.
    """
    frames = features.view(features.shape[0], seconds, -1, *features.shape[2:])
    mean = frames.mean(2)
    if statistics == 1:
        return mean[:, :, None]
    variance = (frames - mean[:, :, None]).square().mean(2)
    return torch.stack([mean, 0.5 * (variance + STD_FLOOR**2).log()], 2)
