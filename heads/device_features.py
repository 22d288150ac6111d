"""Features of windows on the device that trains, in the form that a head takes."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from heads.dataset import Windows
from heads.models.registry import Head

_BLOCK_WINDOWS = 512
_CACHED_WINDOWS = 16  # what is made of so many stays in the processor's cache
_KEPT_BYTES = 1 << 30  # of features in the form that a head takes
_HELD_SHARE = 0.5  # of a GPU's free memory, for features as they are stored


class DeviceFeatures:
    """Features as a head takes them, ``(n, F, C, D)`` or what its ``reduce`` makes of them.

    Codes are looked up on the device. With ``keep``, they are kept in this form if they are few, and a GPU keeps
    the whole store as it is stored if it fits: then an epoch reads no file.
    """

    def __init__(
        self,
        windows: Windows,
        head: Head,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        keep: bool = False,
    ) -> None:
        self._windows, self._head, self._device = windows, head, device
        self._precision = precision if head.half else torch.float32
        self._held = self._kept = self._vectors = None
        if windows.codebooks is not None:
            vectors = torch.from_numpy(windows.codebooks).to(device)
            self._first_code = vectors.shape[1] * torch.arange(len(vectors), device=device, dtype=torch.int32)
            self._vectors = vectors.flatten(0, 1)
        if keep and device.type == "cuda" and _fits(windows, device):
            self._held = torch.cat([self._stored(block) for block in _blocks(windows)])
        window = head.reduce(torch.zeros(1, *windows.shape, dtype=self._precision))
        if keep and window.nbytes * len(windows) <= _KEPT_BYTES:
            kept = window.new_empty(len(windows), *window.shape[1:])
            for block in _blocks(windows):
                kept[block[0] : block[-1] + 1] = self.take(block)
            self._kept = kept

    def in_float32(self) -> "DeviceFeatures":
        """The same features, in float32."""
        if self._precision == torch.float32:
            return self
        other = copy.copy(self)
        other._precision, other._kept = torch.float32, None
        return other

    @torch.no_grad()
    def take(self, indices: NDArray[np.int64]) -> Tensor:
        """Features of windows, in the order asked."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(indices).to(self._device)]
        features = torch.empty(len(indices), *self._windows.shape, dtype=self._precision, device=self._device)
        size = _CACHED_WINDOWS if self._device.type == "cpu" else max(1, len(indices))
        wide = torch.empty(features[:size].shape, device=self._device)
        for start in range(0, len(indices), size):
            stored = self._stored(indices[start : start + size])
            if self._vectors is None:
                latents = wide[: len(stored)].copy_(stored)  # quicker than from float16 straight to bfloat16
            else:
                codes = stored.flatten(0, 2).int() + self._first_code
                latents = embedding_bag(codes, self._vectors, mode="sum").view(len(stored), *self._windows.shape)
            features[start : start + size] = latents
        return self._head.reduce(features)

    def _stored(self, indices: NDArray[np.int64]) -> Tensor:
        if self._held is not None:
            return self._held[torch.from_numpy(indices).to(self._device)]
        return torch.from_numpy(self._windows.features(indices)).to(self._device)


def _fits(windows: Windows, device: torch.device) -> bool:
    stored_bytes = len(windows) * windows.features(np.zeros(1, np.int64)).nbytes
    return stored_bytes < _HELD_SHARE * torch.cuda.mem_get_info(device)[0]


def _blocks(windows: Windows) -> list[NDArray[np.int64]]:
    return [
        np.arange(start, min(start + _BLOCK_WINDOWS, len(windows)))
        for start in range(0, len(windows), _BLOCK_WINDOWS)
    ]
