"""What trained heads say: logits of many heads at once, probabilities of each second, the threshold."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve
from torch import Tensor

from heads.data import Windows, merge_windows
from heads.models import Head

_BATCH_WINDOWS = 512


def forward_stacked(
    head: Head, state: Mapping[str, Tensor], features: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Logits of K heads on the same windows, ``(B, F, C, D)`` -> ``(K, B, S)``."""
    if hasattr(head, "forward_stacked"):
        return head.forward_stacked(state, features, noise)
    call = torch.func.functional_call
    if noise is None:
        return torch.func.vmap(lambda one: call(head, one, (features,)))(dict(state))
    return torch.func.vmap(lambda one, n: call(head, one, (features, n)))(dict(state), noise)


@torch.no_grad()
def predict_recordings(
    head: Head, state: Mapping[str, Tensor], windows: Windows, person: str, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """Seizure probability of each second of a person's recordings, by K heads: name -> ``(K, T)``."""
    recordings = list(windows.recordings_of(person))
    indices = np.concatenate([rows for _, rows in recordings])
    parts = []
    for start in range(0, len(indices), _BATCH_WINDOWS):
        features = torch.from_numpy(windows.features(indices[start : start + _BATCH_WINDOWS]))
        parts.append(forward_stacked(head, state, features.to(device)).sigmoid().cpu())
    values = torch.cat(parts, 1).numpy()
    found, first = {}, 0
    for info, rows in recordings:
        own = values[:, first : first + len(rows)]
        stride_s = windows.store.spec.stride_s
        found[info.name] = np.stack([merge_windows(one, info.seconds, stride_s) for one in own])
        first += len(rows)
    return found


def predict_person(
    head: Head, state: Mapping[str, Tensor], windows: Windows, person: str, device: torch.device
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels ``(T,)`` and probabilities ``(K, T)`` of all seconds of a person."""
    found = predict_recordings(head, state, windows, person, device)
    infos = [info for info, _ in windows.recordings_of(person)]
    labels = np.concatenate([windows.store.labels(info) for info in infos])
    return labels, np.concatenate([found[info.name] for info in infos], axis=1)


def best_threshold(labels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    """The probability from which on calling a second seizure gives the largest F1.

    >>> best_threshold(np.array([0, 0, 1, 1], np.uint8), np.array([0.1, 0.4, 0.3, 0.9], np.float32)).__round__(6)
    0.3
    """
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])
