"""Statistics over the electrodes of each second, computed once for a store and cached in files."""

import glob
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor
from tqdm import tqdm

from heads.closed_form.ridge_lda import LinearModels
from heads.closed_form.seconds import SecondFeatures
from heads.closed_form.threads import single_threads
from heads.dataset import INVALID, StoreDataset, merge_windows
from heads.device_features import DeviceFeatures
from heads.inference import centred_mean
from heads.models.pooled_linear import STATISTICS, PooledLinearHead
from heads.settings import HeadSettings
from store import RecordingInfo
from store.reader import StoreFile
from store.runtime.atomic import atomic_write
from store.runtime.errors import DiskFullError, UserError

_SETTINGS = HeadSettings(head="pooled-linear")
_CONTEXT_S = _SETTINGS.context_s
_VERSION = 1  # of the statistics: a change of what they are makes new files
_BLOCK_WINDOWS = 16  # their features fit in the processor's cache
_BLOCK_SECONDS = 4096
_FOLDER = "statistics"


class PooledElectrodes(SecondFeatures):
    """What `PooledLinearHead` takes of each second, averaged over its context.

    The statistics of a subject are kept in a file in the store's folder, or in the run's if the store's cannot be
    written to. They may be removed at any time. A changed store makes new ones of the subjects that changed.
    """

    def __init__(self, dataset: StoreDataset, run: Path) -> None:
        self.dataset = dataset
        self.size = STATISTICS * dataset.shape[2]
        self.head = PooledLinearHead(_SETTINGS, dataset.shape, dataset.window_s)
        self._features = DeviceFeatures(dataset, self.head, torch.device("cpu"))
        self._by_subject = {}
        bar = tqdm(desc="statistics", total=len(dataset), unit=" windows", unit_scale=True, disable=None)
        with bar, single_threads() as pool:
            for file, values in pool.map(lambda file: (file, self._load(file, run)), dataset.store.files):
                self._by_subject[file.subject] = values
                bar.update(file.windows)

    def blocks(self, person: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Features ``(N, P)`` and labels ``(N,)`` float32 of a person's labelled seconds, in order, in blocks."""
        for info, _ in self.dataset.recordings_of(person):
            labels, values = self.dataset.labels_of(info), self.values(info)
            for start in range(0, info.seconds, _BLOCK_SECONDS):
                block = labels[start : start + _BLOCK_SECONDS]
                labelled = block != INVALID
                x = torch.from_numpy(values[start : start + _BLOCK_SECONDS][labelled])
                yield x, torch.from_numpy(block[labelled]).float()

    def predict(self, person: str, models: LinearModels) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of a person's recordings by each of the models: name -> ``(R, T)``."""
        weights, biases = np.ascontiguousarray(models.weight.mT.numpy()), models.bias.tolist()
        predicted = {}
        for info, _ in self.dataset.recordings_of(person):
            x = self.values(info).astype(np.float64)
            logits = [x @ weight + bias for weight, bias in zip(weights, biases, strict=True)]
            predicted[info.name] = expit(np.stack(logits)).astype(np.float32)
        return predicted

    def values(self, info: RecordingInfo) -> NDArray[np.float32]:
        """Statistics of every second of a recording, ``(T, P)``."""
        return self._by_subject[info.subject][info.first_second : info.first_second + info.seconds]

    def as_head(self, models: LinearModels, row: int) -> PooledLinearHead:
        """The head that gives each second its score by one of the models."""
        head = PooledLinearHead(_SETTINGS, self.dataset.shape, self.dataset.window_s)
        head.context_s = _CONTEXT_S
        with torch.no_grad():
            head.out.weight.copy_(models.weight[:, row])
            head.out.bias.copy_(models.bias[row])
        return head

    def _load(self, file: StoreFile, run: Path) -> NDArray[np.float32]:
        """Read a subject's statistics, ``(seconds, P)``; take and keep them if they are not there."""
        original = file.original or file
        name = f"sub-{original.subject}-{_fingerprint(original)}.npy"
        folders = [file.path.parent / _FOLDER, run / _FOLDER / file.subject.rpartition("/")[0]]
        shape = (len(file.labels), self.size)
        for folder in folders:
            if not (folder / name).is_file():  # a pipe would be waited for
                continue
            with suppress(OSError, ValueError, EOFError):  # damaged
                kept: NDArray[np.float32] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
                if kept.shape == shape and kept.dtype == np.float32:
                    return kept
        values = self._take(file)
        for folder in folders:
            try:
                _keep(folder, name, original.subject, values)
                break
            except DiskFullError:
                raise
            except UserError:
                if folder is folders[-1]:
                    raise
        mapped: NDArray[np.float32] = np.load(folder / name, mmap_mode="r", allow_pickle=False)
        return mapped

    def _take(self, file: StoreFile) -> NDArray[np.float32]:
        values = np.empty((len(file.labels), self.size), np.float32)
        for info in file.recordings:
            first, last = self.dataset.first_window[info.name], self.dataset.first_window[info.name] + info.windows
            pooled = [
                self._features.take(np.arange(start, min(start + _BLOCK_WINDOWS, last)))
                for start in range(first, last, _BLOCK_WINDOWS)
            ]
            by_window = torch.cat(pooled).movedim(2, 0).numpy()  # (P, B, S)
            by_second = merge_windows(by_window, info.seconds, self.dataset.stride_s)
            rows = slice(info.first_second, info.first_second + info.seconds)
            values[rows] = centred_mean(by_second, _CONTEXT_S).T
        return values


def _fingerprint(file: StoreFile) -> str:
    """Hash of all that a subject's statistics depend on; they do not depend on labels."""
    recordings = [
        [info.name, info.seconds, info.channel_mask, features]
        for info, features in zip(file.recordings, file.hashes, strict=True)
    ]
    content: list[Any] = [_VERSION, _CONTEXT_S, file.spec.to_json(), recordings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _keep(folder: Path, name: str, subject: str, values: NDArray[np.float32]) -> None:
    """Write a subject's statistics, and remove those of an earlier state of the subject."""
    with atomic_write(folder / name) as file:
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(values))
        file.write(values.data)
    for path in folder.glob(f"sub-{glob.escape(subject)}-{'?' * 16}.npy"):
        if path.name != name:
            path.unlink(missing_ok=True)
