"""What trained heads say: logits of many heads at once, probabilities of each second, the threshold."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from sklearn.metrics import precision_recall_curve
from torch import Tensor

from heads.dataset import Windows, merge_windows
from heads.device_features import DeviceFeatures
from heads.models.registry import Head, HeadSettings, make_head
from store import FeatureSpec
from store.runtime.errors import UserError

_BATCH_WINDOWS = 512


def load_head(path: Path) -> tuple[Head, FeatureSpec, float]:
    """Read a trained head, the spec of the features that it takes and its threshold.

    Raises
    ------
    UserError
        If there is no such file.
    UserError
        If it holds no head of this project.
    """
    if not path.is_file():
        raise UserError(f"{path}: no trained head; python -m heads.train --fold final makes one")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
        spec = FeatureSpec.from_json(metadata["spec"])
        chosen = json.loads(metadata["settings"])
        settings = HeadSettings(**{field.name: chosen[field.name] for field in dataclasses.fields(HeadSettings)})
        head = make_head(settings, (spec.frames, *state["mean"].shape), spec.window_s, seed=0)
        head.load_state_dict(state)
        return head, spec, float(metadata["threshold"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a head that python -m heads.train wrote ({reason}); train it again"
        ) from error


@torch.no_grad()
def predict_windows(
    head: Head, state: Mapping[str, Tensor], features: DeviceFeatures, indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Seizure probability of each second of windows, by K heads: ``(K, B, S)``."""
    blocks = (indices[start : start + _BATCH_WINDOWS] for start in range(0, len(indices), _BATCH_WINDOWS))
    parts = [head.forward_stacked(state, features.take(block), None).sigmoid().cpu() for block in blocks]
    return torch.cat(parts, 1).numpy()


def predict_recordings(
    head: Head, state: Mapping[str, Tensor], windows: Windows, features: DeviceFeatures, person: str
) -> dict[str, NDArray[np.float32]]:
    """Seizure probability of each second of a person's recordings, by K heads: name -> ``(K, T)``."""
    recordings = list(windows.recordings_of(person))
    values = predict_windows(head, state, features, np.concatenate([rows for _, rows in recordings]))
    found, first = {}, 0
    for info, rows in recordings:
        found[info.name] = merge_windows(values[:, first : first + len(rows)], info.seconds, windows.stride_s)
        first += len(rows)
    return found


def predict_person(
    head: Head, state: Mapping[str, Tensor], windows: Windows, features: DeviceFeatures, person: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Labels ``(T,)`` and probabilities ``(K, T)`` of all seconds of a person."""
    found = predict_recordings(head, state, windows, features, person)
    infos = [info for info, _ in windows.recordings_of(person)]
    labels = np.concatenate([windows.labels_of(info) for info in infos])
    return labels, np.concatenate([found[info.name] for info in infos], axis=1)


def aurocs(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """AUROC of K scores of the same seconds: labels ``(N,)``, 0 and 1 both there, and scores ``(K, N)``.

    It is the share of pairs of a seizure and a background second that are in order; ties count half (Hanley and
    McNeil, 1982). A score that overflowed to nan counts as 0.

    >>> aurocs(np.array([0, 1, 0, 1]), np.array([[0.1, 0.4, 0.2, 0.3], [0.5, 0.5, 0.2, 0.3]]))
    array([1.   , 0.625])
    """
    values = torch.from_numpy(np.nan_to_num(scores, nan=0.0))
    seizure = values[:, torch.from_numpy(labels == 1)].contiguous()
    background = values[:, torch.from_numpy(labels == 0)].sort(1).values
    below = torch.searchsorted(background, seizure) + torch.searchsorted(background, seizure, right=True)
    return (below.double().mean(1) / (2 * background.shape[1])).numpy()


def best_threshold(labels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    """The probability from which on calling a second seizure gives the largest F1.

    >>> best_threshold(np.array([0, 0, 1, 1], np.uint8), np.array([0.1, 0.4, 0.3, 0.9], np.float32)).__round__(6)
    0.3
    """
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])
