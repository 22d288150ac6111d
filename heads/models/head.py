"""The contract of a head: from the features of a window to a seizure logit for each of its seconds.

A head is a `Head`, a module on ``(B, F, C, D)`` that gives ``(B, S)`` logits, made by ``Name(settings, shape,
seconds)``. It standardises its input with the buffers ``mean`` and ``scale`` ``(C, D)``, which training fills, so
a saved head needs nothing else. In training it is given ``dropout_uniforms (B, N)``, uniform in [0, 1), N its
``dropout_units``: dropout decides by it, which keeps many heads that train together reproducible.

Features of an electrode that a recording lacks are nan. They stand for the electrode's training mean, which is 0
once it is standardised. `Head.fill_missing` puts the mean there, and most heads need no more.

That is all a new head needs: many of them train together through `torch.func.vmap`. So its ``forward`` may not
change buffers nor draw random numbers. For speed a head may define ``forward_stacked``, many heads at once, on
what its ``precompute`` makes of features.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heads.settings import HeadSettings
from store.runtime.errors import UserError


class Head(nn.Module):
    """What all heads share: input standardisation and the dropout rate, all buffers.

    Parameters
    ----------
    shape
        ``(F, C, D)`` of a window.
    seconds
        S, seconds of a window.
    dropout
        Share of units left out in training.
    """

    supports_bfloat16 = False  # whether forward_stacked takes bfloat16 features
    context_s = (
        1  # seconds whose logits a prediction averages, an odd number; `make_head` takes it of the settings
    )
    nan_if_missing = False  # whether ``forward`` and ``precompute`` take the nan of missing electrodes
    mean: Tensor
    scale: Tensor
    dropout: Tensor

    def __init__(self, shape: tuple[int, int, int], seconds: int, dropout: float = 0.0) -> None:
        super().__init__()
        if shape[0] % seconds:
            raise UserError(f"{shape[0]} frames a window do not divide into {seconds} seconds")
        self.shape, self.seconds = shape, seconds
        self.register_buffer("mean", torch.zeros(shape[1:]))
        self.register_buffer("scale", torch.ones(shape[1:]))
        self.register_buffer("dropout", torch.tensor(dropout))

    @property
    def dropout_units(self) -> int:
        """Uniform numbers that a window needs in training."""
        return 0

    def precompute(self, features: Tensor) -> Tensor:
        """Compute of raw features what ``forward_stacked`` takes; it depends on no weight, so epochs share it."""
        return features

    @property
    def leaves_out_missing(self) -> bool:
        """Whether it is told which electrodes are missing; else it sees what zeros were encoded to."""
        head_class = type(self)
        is_plain = head_class.forward_stacked is Head.forward_stacked and head_class.precompute is Head.precompute
        return self.nan_if_missing or is_plain

    def fill_missing(self, features: Tensor) -> Tensor:
        """Features as ``forward`` takes them, ``(B, F, C, D)``: training means where electrodes are missing."""
        return features if self.nan_if_missing else torch.where(features.isnan(), self.mean, features)

    def forward_stacked(
        self,
        state: Mapping[str, Tensor],
        features: Tensor,
        dropout_uniforms: Tensor | None,
        trains: NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """K heads on the same windows, ``(B, ...)`` -> ``(K, B, S)``; ``state`` has a leading K everywhere.

        ``trains (K, B)`` says which windows train which head; the other logits have no weight in the loss, so a
        head need not compute them. None wants all.
        """
        has_means = self.leaves_out_missing and not self.nan_if_missing
        fills = has_means and bool(find_missing(features).any())

        def forward(weights: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            filled = torch.where(features.isnan(), weights["mean"], features) if fills else features
            logits: Tensor = torch.func.functional_call(self, weights, (filled, *inputs))
            return logits

        if dropout_uniforms is None:
            return torch.func.vmap(forward)(dict(state))
        return torch.func.vmap(forward)(dict(state), dropout_uniforms)


def find_missing(features: Tensor) -> Tensor:
    """Which electrodes are missing in windows ``(B, F, C, D)``, whose features are nan; ``(B, C)`` bool."""
    return features[:, 0, :, 0].isnan()


HeadBuilder = Callable[[HeadSettings, tuple[int, int, int], int], Head]


def drop(values: Tensor, rate: Tensor, dropout_uniforms: Tensor | None) -> Tensor:
    """Dropout by given uniform numbers; the identity without."""
    if dropout_uniforms is None:
        return values
    return values * torch.where(dropout_uniforms >= rate, 1 / (1 - rate), 0.0)
