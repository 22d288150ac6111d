"""Logistic regression on statistics over the electrodes, averaged over neighbouring seconds."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.models.head import Head
from heads.settings import HeadSettings

STATISTICS = 3  # mean, maximum and standard deviation over the electrodes
_STD_OFFSET = 0.05  # keeps the logarithm of a silent second finite


class PooledLinearHead(Head):
    """Logistic regression on the mean, maximum and standard deviation of each dim over the electrodes.

    A dim's value is the log deviation over the frames of a second, or its mean where a second has one frame.
    Averaged over the seconds of the context, its logits are those of the averaged statistics. Features are taken
    as they are stored: ``mean`` and ``scale`` are not used.
    """

    nan_if_missing = True

    def __init__(self, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds)
        self.out = nn.Linear(STATISTICS * shape[2], 1)

    def forward(self, features: Tensor, dropout_uniforms: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        logits: Tensor = self.out(self.precompute(features)).squeeze(-1)
        return logits

    def precompute(self, features: Tensor) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S, 3 * D)``."""
        return pool_electrodes(features.float(), self.seconds)

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        dropout_uniforms: Tensor | None,
        trains: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """K heads on the same precomputed windows -> ``(K, B, S)``; ``state`` has a leading K everywhere."""
        logits = features @ state["out.weight"][:, 0].mT
        return logits.movedim(-1, 0) + state["out.bias"][:, :, None]


def pool_electrodes(features: Tensor, seconds: int) -> Tensor:
    """Mean, maximum and standard deviation over the electrodes of what `frame_statistic` gives of each.

    ``(B, F, C, D)`` -> ``(B, S, 3 * D)``. Electrodes whose features are nan are left out; without any all is 0.
    """
    values = frame_statistic(features, seconds)
    present = ~values.isnan().any(-1, keepdim=True)  # (B, S, C, 1)
    count = present.sum(2).clamp(min=1)
    mean = values.where(present, 0.0).sum(2) / count
    maximum = values.where(present, -torch.inf).amax(2)
    variance = (values - mean[:, :, None]).square().where(present, 0.0).sum(2) / count
    return torch.cat([mean, maximum.where(present.any(2), 0.0), variance.sqrt()], -1)


def frame_statistic(features: Tensor, seconds: int) -> Tensor:
    """Log standard deviation over the frames of each second, ``(B, F, C, D)`` -> ``(B, S, C, D)``.

    A second with one frame keeps its value.
    """
    frames = features.view(len(features), seconds, -1, *features.shape[2:])
    if frames.shape[2] == 1:
        return frames[:, :, 0]
    variance = (frames - frames.mean(2, keepdim=True)).square().mean(2)
    return (variance.sqrt() + _STD_OFFSET).log()
