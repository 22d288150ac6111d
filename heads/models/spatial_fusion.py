"""Spatial filters over all electrodes, pooled to seconds, and an MLP."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.models.head import Head, drop, find_missing
from heads.models.pooled_linear import STATISTICS, pool_electrodes
from heads.ops.blocks import partition_windows
from heads.ops.spatial_filters import filter_max, filter_max_and_variance, shift_of_missing
from heads.settings import HeadSettings

STATISTIC_GAINS = (3.0, 3.0, 20.0)  # with which mean, maximum and deviation over electrodes vary by about 1
RESPONSE_FLOOR = 0.1  # keeps the logarithm of the deviation of responses to standardised features finite


class SpatialFusionHead(Head):
    """Convolution over all electrodes per frame, pooling over the frames of each second, MLP, S logits.

    A filter's responses in a second are pooled to their maximum, and with ``pooling`` "max-std" to the logarithms
    of maximum and standard deviation, as log-variance features are of EEG rhythms (Schirrmeister et al., 2017).
    With "max-std-electrodes" the MLP also takes what `PooledLinearHead` takes of a second, which depends neither
    on the side nor on the number of the electrodes.
    """

    supports_bfloat16 = True
    nan_if_missing = True

    def __init__(self, settings: HeadSettings, shape: tuple[int, int, int], seconds: int) -> None:
        super().__init__(shape, seconds, settings.dropout)
        frames, channels, dims = shape
        self.with_std = settings.pooling != "max" and frames > seconds
        self.with_electrodes = settings.pooling == "max-std-electrodes" and frames > seconds
        pooled = settings.filters * (2 if self.with_std else 1) + STATISTICS * dims * self.with_electrodes
        self.fuse = nn.Linear(channels * dims, settings.filters)
        self.hidden = nn.Linear(seconds * pooled, settings.hidden)
        self.out = nn.Linear(settings.hidden, seconds)

    @property
    def dropout_units(self) -> int:
        """One number for each hidden unit."""
        return self.hidden.out_features

    def forward(self, features: Tensor, dropout_uniforms: Tensor | None = None) -> Tensor:
        """``(B, F, C, D)`` -> ``(B, S)`` logits."""
        standard = (features - self.mean) * self.scale
        standard = torch.where(standard.isnan(), 0.0, standard)
        responses = self.fuse(standard.flatten(2)).unflatten(1, (self.seconds, -1))
        pooled = responses.amax(2).relu()
        if self.with_std:
            pooled = to_log_scale(pooled, responses.var(2, correction=0))
        if self.with_electrodes:
            pooled = torch.cat([pooled, self._electrodes(features, self.scale)], -1)
        hidden = drop(self.hidden(pooled.flatten(1)).relu(), self.dropout, dropout_uniforms)
        logits: Tensor = self.out(hidden)
        return logits

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        dropout_uniforms: Tensor | None,
        trains: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """K heads on the same windows, ``(B, F, C, D)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        The convolution of all heads is one matrix product in the precision of the features; bias and ReLU commute
        with the maximum and follow it, and so does what corrects for missing electrodes.
        """
        filters = (state["fuse.weight"], state["mean"].flatten(1), state["scale"].flatten(1))
        bias = state["fuse.bias"][:, None, None]
        statistics = self._electrodes(features, state["scale"][:, None, None]) if self.with_electrodes else None
        missing = find_missing(features)
        if missing.any():
            features = features.masked_fill(missing[:, None, :, None], 0)
            bias = bias + shift_of_missing(*filters, missing, features.dtype)
        blocks = None if trains is None or features.device.type != "cpu" else partition_windows(trains)
        if self.with_std:
            maximum, variance = filter_max_and_variance(features.flatten(2), *filters, self.seconds, blocks)
            pooled = to_log_scale((maximum + bias).relu_(), variance)
        else:
            pooled = filter_max(features.flatten(2), *filters, self.seconds, blocks).add_(bias).relu_()
        if statistics is not None:
            pooled = torch.cat([pooled, statistics], -1)
        hidden = torch.baddbmm(state["hidden.bias"][:, None], pooled.flatten(2), state["hidden.weight"].mT).relu()
        hidden = drop(hidden, state["dropout"][:, None, None], dropout_uniforms)
        return torch.baddbmm(state["out.bias"][:, None], hidden, state["out.weight"].mT)

    def _electrodes(self, features: Tensor, scale: Tensor) -> Tensor:
        """Statistics over the electrodes of raw features ``(B, F, C, D)``, ``(..., B, S, 3 * D)``.

        Log deviations are less those of all training frames: ``scale (..., C, D)`` holds their inverse.
        """
        varies = scale > 0
        logs = torch.where(varies, scale, 1.0).log().sum(-2) / varies.sum(-2).clamp(min=1)  # (..., D)
        pooled = pool_electrodes(features.float(), self.seconds)
        statistics = pooled.view(*pooled.shape[:2], STATISTICS, -1)
        offsets = torch.stack([logs, logs, torch.zeros_like(logs)], -2)  # a deviation needs none
        return ((statistics + offsets) * torch.tensor(STATISTIC_GAINS, device=logs.device)[:, None]).flatten(-2)


def to_log_scale(maximum: Tensor, variance: Tensor) -> Tensor:
    """Maximum and variance of a filter's responses, ``(..., N)`` each, to logarithms ``(..., 2N)``."""
    return torch.cat([maximum.log1p(), 0.5 * (variance + RESPONSE_FLOOR**2).log()], -1)
