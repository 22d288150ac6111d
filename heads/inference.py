"""Predict each second with many heads at once, score predictions, choose a threshold."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.dataset import INVALID, Dataset, merge_windows
from heads.device_features import DeviceFeatures
from heads.models.head import Head

_BATCH_WINDOWS = 512


@torch.no_grad()
def predict_windows(
    head: Head,
    state: Mapping[str, Tensor],
    features: DeviceFeatures,
    windows: NDArray[np.int64],
    *,
    as_logits: bool = False,
) -> NDArray[np.float32]:
    """Seizure probability, or its logit, of each second of windows, by K heads: ``(K, B, S)``.

    Windows are predicted one by one: a head's context is not applied. Heads are computed one by one too, since the
    rounding of a stack depends on its size: what a head predicts does not depend on what else is asked for.
    """
    heads = [
        {name: value[k : k + 1] for name, value in state.items()} for k in range(len(next(iter(state.values()))))
    ]

    def predict(head_state: Mapping[str, Tensor], block: Tensor) -> Tensor:
        logits = head.forward_stacked(head_state, block, None)
        return logits if as_logits else logits.sigmoid()

    block, predicted = None, []
    for start in range(0, len(windows), _BATCH_WINDOWS):
        block = features.take(windows[start : start + _BATCH_WINDOWS], out=block)
        predicted.append(torch.cat([predict(head_state, block) for head_state in heads]).cpu())
    values: NDArray[np.float32] = torch.cat(predicted, 1).numpy()
    return values


def merge_predictions(head: Head, values: NDArray[np.float32], seconds: int, stride_s: int) -> NDArray[np.float32]:
    """Join predictions of windows ``(..., B, S)`` to one probability a second, ``(..., T)``.

    Parameters
    ----------
    values
        Probabilities; logits of a head with context, which are averaged over the seconds of the context.
    """
    merged = merge_windows(values, seconds, stride_s)
    if head.context_s == 1:
        return merged
    from scipy.special import expit  # here, since a head without context starts faster without scipy

    probabilities: NDArray[np.float32] = expit(centred_mean(merged, head.context_s))
    return probabilities


def centred_mean(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Mean over each second and its neighbours, ``(..., T)``, ``width`` in all; at an end over those that exist.

    >>> centred_mean(np.array([0, 3, 6, 9], np.float32), 3)
    array([1.5, 3. , 6. , 7.5], dtype=float32)
    """
    length, half = values.shape[-1], width // 2
    start = np.maximum(np.arange(length) - half, 0)
    stop = np.minimum(np.arange(length) + half + 1, length)
    total = np.zeros(values.shape)
    furthest = min(half, length - 1)
    for offset in range(-furthest, furthest + 1):
        first, last = max(0, -offset), min(length, length - offset)
        total[..., first:last] += values[..., first + offset : last + offset]
    mean: NDArray[np.float32] = (total / (stop - start)).astype(np.float32)
    return mean


def predict_recordings(
    head: Head, state: Mapping[str, Tensor], dataset: Dataset, features: DeviceFeatures, person: str
) -> dict[str, NDArray[np.float32]]:
    """Seizure probability of each second of a person's recordings, by K heads: name -> ``(K, T)``."""
    recordings = list(dataset.recordings_of(person))
    windows = np.concatenate([rows for _, rows in recordings])
    values = predict_windows(head, state, features, windows, as_logits=head.context_s > 1)
    predicted, first = {}, 0
    for info, rows in recordings:
        by_window = values[:, first : first + len(rows)]
        predicted[info.name] = merge_predictions(head, by_window, info.seconds, dataset.stride_s)
        first += len(rows)
    return predicted


def choose_threshold(
    dataset: Dataset, persons: Sequence[str], predicted: Mapping[str, NDArray[np.float32]]
) -> float:
    """The threshold with the best F1 over the labelled seconds of persons; 0.5 if there are no persons.

    Parameters
    ----------
    predicted
        Name of a recording -> probability of each second, ``(T,)``.
    """
    infos = [info for person in persons for info, _ in dataset.recordings_of(person)]
    if not infos:
        return 0.5
    labels = np.concatenate([dataset.labels_of(info) for info in infos])
    probabilities = np.concatenate([predicted[info.name] for info in infos])
    labelled = labels != INVALID
    return best_threshold(labels[labelled], probabilities[labelled])


def mean_auroc(dataset: Dataset, persons: Sequence[str], predicted: Mapping[str, NDArray[np.float32]]) -> float:
    """AUROC over the labelled seconds of a person, mean over persons with seizures and background; nan without.

    Parameters
    ----------
    predicted
        Name of a recording -> probability of each second, ``(T,)``.
    """
    scores = []
    for person in persons:
        infos = [info for info, _ in dataset.recordings_of(person)]
        labels = np.concatenate([dataset.labels_of(info) for info in infos])
        if {0, 1} <= {*labels.tolist()}:
            values = np.concatenate([predicted[info.name] for info in infos])
            scores.append(aurocs(labels[labels != INVALID], values[None, labels != INVALID])[0])
    return float(np.mean(scores)) if scores else np.nan


def predict_persons(
    head: Head, persons: Sequence[str], dataset: Dataset, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """Seizure probability of each second of the persons' recordings by one head, in float32: name -> ``(T,)``."""
    state = {name: value[None].to(device) for name, value in head.state_dict().items()}
    features = DeviceFeatures(dataset, head, device)
    by_person = (predict_recordings(head, state, dataset, features, person) for person in persons)
    return {name: values[0] for predicted in by_person for name, values in predicted.items()}


def aurocs(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """AUROC of K scores of the same seconds: labels ``(N,)`` of both kinds, and scores ``(K, N)``.

    It is the share of pairs of a seizure and a background second that are in order; ties count half (Hanley and
    McNeil, 1982). A score that overflowed to nan counts as 0. For 23 heads it takes a quarter of the time of
    `sklearn.metrics.roc_auc_score`, which takes one score at a time.

    >>> aurocs(np.array([0, 1, 0, 1]), np.array([[0.1, 0.4, 0.2, 0.3], [0.5, 0.5, 0.2, 0.3]]))
    array([1.   , 0.625])
    """
    values = np.nan_to_num(scores, nan=0.0)
    seizure, background = (torch.from_numpy(np.compress(labels == label, values, 1)) for label in (1, 0))
    background.numpy().sort(1)  # several times as fast as torch's, which finds indices too
    below = torch.searchsorted(background, seizure) + torch.searchsorted(background, seizure, right=True)
    return (below.double().mean(1) / (2 * background.shape[1])).numpy()


def best_threshold(labels: NDArray[np.integer], probabilities: NDArray[np.float32]) -> float:
    """The probability from which on calling a second seizure gives the largest F1, the least of several.

    `sklearn.metrics.precision_recall_curve` gives the same, but takes as long to load as torch.

    >>> best_threshold(np.array([0, 0, 1, 1], np.uint8), np.array([0.1, 0.4, 0.3, 0.9], np.float32)).__round__(6)
    0.3
    """
    order = np.argsort(probabilities)
    thresholds, first = np.unique(probabilities[order], return_index=True)
    hits = np.cumsum((labels[order] == 1)[::-1])[::-1][first]
    precision, recall = hits / (len(order) - first), hits / max(1, hits[0])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1)])
