"""Features of windows on the training device, in the form that a head reads."""

import copy
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from heads.dataset import Dataset
from heads.models.head import Head
from store.runtime.commands import command_line
from store.runtime.errors import StoreError

_BLOCK_WINDOWS = 512
_CACHED_WINDOWS = 16  # float32 features of 16 windows fit in the processor's cache
_KEPT_BYTES = 1 << 30  # of features in the form that a head takes
_STORED_SHARE = 0.5  # of a GPU's free memory, for features as they are stored


class DeviceFeatures:
    """Features as a head takes them, ``(B, F, C, D)`` or what its ``precompute`` makes of them.

    Codes are looked up on the device. Features of electrodes that a recording lacks are nan, if the head leaves
    them out. With ``keep``, features are kept in this form if they are no more than ``kept_bytes``, and a GPU
    keeps the whole store as it is stored if it fits: then an epoch reads no file.
    """

    def __init__(
        self,
        dataset: Dataset,
        head: Head,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        keep: bool = False,
        kept_bytes: int | None = None,
    ) -> None:
        self._dataset, self._head, self._device = dataset, head, device
        self._precision = precision if head.supports_bfloat16 else torch.float32
        self._stored: Tensor | None = None  # the whole store, on a GPU
        self._kept: Tensor | None = None  # all windows as the head takes them
        self._vectors: Tensor | None = None  # of the codebooks, one after the other
        missing = torch.from_numpy(dataset.missing_electrodes(np.arange(len(dataset))))
        is_told = head.leaves_out_missing and bool(missing.any())
        self._missing = missing.to(device) if is_told else None  # (W, C) bool
        if dataset.codebooks is not None:
            vectors = torch.from_numpy(dataset.codebooks).to(device)
            self._first_code = vectors.shape[1] * torch.arange(len(vectors), device=device, dtype=torch.int32)
            self._vectors = vectors.flatten(0, 1)
        if keep and device.type == "cuda" and _fits(dataset, device):
            self._stored = torch.cat([self._read(block) for block in _blocks(dataset)])
        window = head.precompute(torch.zeros(1, *dataset.shape, dtype=self._precision, device=device))
        if keep and window.nbytes * len(dataset) <= (_KEPT_BYTES if kept_bytes is None else kept_bytes):
            kept = window.new_empty(len(dataset), *window.shape[1:])
            for block in _blocks(dataset):
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
    def take(self, windows: NDArray[np.int64], out: Tensor | None = None) -> Tensor:
        """Features of windows, in the order asked; ``out``, of as many windows or more, may be written over.

        Blocks that are taken one after the other into the same ``out`` need no new memory, which takes time.

        Raises
        ------
        StoreError
            If a feature is not finite: the file is damaged.
        """
        if self._kept is not None:
            return self._kept[torch.from_numpy(windows).to(self._device)]
        size = _CACHED_WINDOWS if self._device.type == "cpu" else max(1, len(windows))
        if len(windows) <= size:
            return self._precompute(windows)
        first = self._precompute(windows[:size])
        taken = first.new_empty(len(windows), *first.shape[1:]) if out is None else out[: len(windows)]
        taken[:size] = first
        for start in range(size, len(windows), size):
            taken[start : start + size] = self._precompute(windows[start : start + size])
        return taken

    def _precompute(self, windows: NDArray[np.int64]) -> Tensor:
        """Features of a few windows: what is between the stored ones and those that a head takes stays small."""
        stored = self._read(windows)
        if self._vectors is None:
            latents = stored.float()  # faster than from float16 straight to bfloat16
        else:
            codes = stored.flatten(0, 2).int() + self._first_code
            latents = embedding_bag(codes, self._vectors, mode="sum").view(len(stored), *self._dataset.shape)
        if not math.isfinite(float(latents.sum())):  # much faster than to look at each
            self._require_finite(windows, latents)
        latents = latents.to(self._precision)
        if self._missing is not None:
            missing = self._missing[torch.from_numpy(windows).to(self._device)]
            latents.masked_fill_(missing[:, None, :, None], torch.nan)
        return self._head.precompute(latents)

    def _require_finite(self, windows: NDArray[np.int64], latents: Tensor) -> None:
        damaged = windows[~latents.flatten(1).isfinite().all(1).cpu().numpy()]
        if len(damaged):
            name = self._dataset.name_of(int(damaged[0]))
            raise StoreError(
                f"{name}: its features are damaged, they are not all finite; {command_line('store')} verify names "
                "the file: remove it and extract the subject again"
            )

    def _read(self, windows: NDArray[np.int64]) -> Tensor:
        """Features as they are stored, on the device."""
        if self._stored is not None:
            return self._stored[torch.from_numpy(windows).to(self._device)]
        return torch.from_numpy(self._dataset.features(windows)).to(self._device)


def _fits(dataset: Dataset, device: torch.device) -> bool:
    stored_bytes = len(dataset) * dataset.features(np.zeros(1, np.int64)).nbytes
    free_bytes: int = torch.cuda.mem_get_info(device)[0]
    return stored_bytes < _STORED_SHARE * free_bytes


def _blocks(dataset: Dataset) -> list[NDArray[np.int64]]:
    return [
        np.arange(start, min(start + _BLOCK_WINDOWS, len(dataset)))
        for start in range(0, len(dataset), _BLOCK_WINDOWS)
    ]
