"""The same heads as scikit-learn estimators, on arrays of features or on windows of a store."""

from dataclasses import fields
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from heads.dataset import INVALID, StoreDataset
from heads.settings import TrainSettings
from heads.training.arrays import train_on_arrays
from store.runtime.errors import UserError

_BLOCK_WINDOWS = 512


class _HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A head trained for a set number of epochs, without validation persons."""

    _head: str

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> "_HeadClassifier":
        """Train on features ``X (B, F, C, D)`` and labels of seconds ``y (B, S)``, or of windows ``(B,)``.

        Features of electrodes that a window lacks are nan: they stand for the electrode's training mean.

        Raises
        ------
        UserError
            If shapes do not fit, values are not finite other than nan for a whole electrode of a window, labels
            are not 0 and 1 (or -1 for unknown), or training diverges.
        """
        X, y = _checked(X), np.asarray(y)
        labels = y[:, None] if y.ndim == 1 else y
        if labels.ndim != 2 or len(labels) != len(X):
            raise UserError(f"y is {y.shape}, expected one row of labels for each of the {len(X)} windows")
        if not {0, 1} <= (values := set(np.unique(labels).tolist())) <= {-1, 0, 1}:
            raise UserError(f"labels are {sorted(values)}; 0 and 1 are both needed, -1 marks unknown ones")
        parameters = self.get_params()
        given = {field.name: parameters[field.name] for field in fields(TrainSettings) if field.name in parameters}
        settings = TrainSettings(head=self._head, background_per_seizure=None, **given)
        settings.check(as_options=False)
        self.head_ = train_on_arrays(X, labels, settings)
        self.classes_, self.per_window_ = np.array([0, 1]), y.ndim == 1
        self.n_features_in_ = X.shape[1]
        return self

    @torch.no_grad()
    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Logits of seconds ``(B, S)``, or of windows ``(B,)`` if the labels were."""
        check_is_fitted(self)
        X = _checked(X)
        if X.shape[1:] != self.head_.shape:
            raise UserError(f"windows are {X.shape[1:]}, the head was trained on {self.head_.shape}")
        blocks = (X[start : start + _BLOCK_WINDOWS] for start in range(0, len(X), _BLOCK_WINDOWS))
        fill = self.head_.fill_missing
        logits = torch.cat([self.head_(fill(torch.from_numpy(block).float())) for block in blocks]).numpy()
        return logits[:, 0] if self.per_window_ else logits

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities of background and seizure, ``(B, S, 2)``, or ``(B, 2)`` if the labels were of windows."""
        seizure = expit(self.decision_function(X))
        return np.stack([1 - seizure, seizure], -1)

    def predict(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """1 where seizure is likelier than background."""
        return (self.decision_function(X) > 0).astype(np.int64)

    def score(self, X: NDArray[Any], y: NDArray[Any], sample_weight: NDArray[Any] | None = None) -> float:
        """Share of labelled seconds, or windows, that are predicted right; -1 is no label.

        ``sample_weight (B,)`` weighs windows.
        """
        y = np.asarray(y)
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        labelled = (y != INVALID) * weight.reshape(-1, *(1,) * (y.ndim - 1))
        return float(np.average(self.predict(X) == y, weights=labelled))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags


class SpatialFusionClassifier(_HeadClassifier):
    """`SpatialFusionHead` as a classifier; parameters as in `heads.settings.TrainSettings`."""

    _head = "spatial-fusion"

    def __init__(
        self,
        filters: int = TrainSettings.filters,
        pooling: Literal["max", "max-std", "max-std-electrodes"] = TrainSettings.pooling,
        hidden: int = TrainSettings.hidden,
        dropout: float = TrainSettings.dropout,
        epochs: int = TrainSettings.epochs,
        batch_windows: int = TrainSettings.batch_windows,
        lr: float = TrainSettings.lr,
        weight_decay: float = TrainSettings.weight_decay,
        clip_norm: float = TrainSettings.clip_norm,
        positive_weight: float | None = TrainSettings.positive_weight,
        seed: int = TrainSettings.seed,
    ) -> None:
        self.filters, self.pooling, self.hidden, self.dropout = filters, pooling, hidden, dropout
        self.epochs, self.batch_windows = epochs, batch_windows
        self.lr, self.weight_decay, self.clip_norm = lr, weight_decay, clip_norm
        self.positive_weight, self.seed = positive_weight, seed


class LinearClassifier(_HeadClassifier):
    """`LinearHead` as a classifier; parameters as in `heads.settings.TrainSettings`."""

    _head = "linear"

    def __init__(
        self,
        epochs: int = TrainSettings.epochs,
        batch_windows: int = TrainSettings.batch_windows,
        lr: float = TrainSettings.lr,
        weight_decay: float = TrainSettings.weight_decay,
        clip_norm: float = TrainSettings.clip_norm,
        positive_weight: float | None = TrainSettings.positive_weight,
        seed: int = TrainSettings.seed,
    ) -> None:
        self.epochs, self.batch_windows = epochs, batch_windows
        self.lr, self.weight_decay, self.clip_norm = lr, weight_decay, clip_norm
        self.positive_weight, self.seed = positive_weight, seed


def load_arrays(dataset: StoreDataset) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.str_]]:
    """A store's windows as ``X (B, F, C, D)``, ``y (B, S)`` and the person of each window, for scikit-learn.

    Features are nan for electrodes that a recording lacks.

    Raises
    ------
    UserError
        If it is not given a `StoreDataset`.
    """
    if not isinstance(dataset, StoreDataset):
        raise UserError(f"load_arrays takes a StoreDataset, not {dataset!r}; give StoreDataset(store.open(PATH))")
    rows = np.concatenate(
        [dataset.first_window[info.name] + np.arange(info.windows) for info in dataset.recordings]
    )
    return dataset.latents(rows), dataset.labels[rows], np.array(dataset.persons)[dataset.person[rows]]


def _checked(X: NDArray[Any]) -> NDArray[Any]:
    X = np.asarray(X)
    if X.ndim != 4 or not len(X):
        raise UserError(f"X is {X.shape}, expected windows x frames x electrodes x dims")
    is_missing = np.isnan(X).all((1, 3), keepdims=True)
    if not (np.isfinite(X) | is_missing).all():
        raise UserError(
            "X holds values that are not finite; leave these windows out; an electrode that a window lacks is nan "
            "in all frames and dims"
        )
    return X
