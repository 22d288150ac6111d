"""Heads as scikit-learn takes them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import store
from heads.dataset import StoreDataset
from heads.sklearn import LinearProbe, SpatialFusionClassifier, load_arrays

KINDS = {
    "fusion": SpatialFusionClassifier(filters=4, hidden=6, epochs=6, lr=1e-2, batch_windows=16),
    "linear": LinearProbe(epochs=6, lr=1e-2, batch_windows=16),
}


@pytest.fixture
def arrays(make_store: Callable[..., Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return load_arrays(StoreDataset(store.open(make_store(persons=3, lengths_s=(120,), signal=3.0))))


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_clones_and_pickles(arrays: tuple[Any, ...], kind: str) -> None:
    x, y, persons = arrays
    assert (x.shape[1:], y.shape[1:], set(persons)) == ((8, 3, 5), (4,), {"01", "02", "03"})
    fitted = clone(KINDS[kind]).fit(x, y)
    probabilities = fitted.predict_proba(x)
    assert probabilities.shape == (*y.shape, 2)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-6)
    assert (fitted.predict(x) == y).mean() > 0.85
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(x), probabilities)
    again = clone(fitted)
    assert not hasattr(again, "head_")
    assert again.get_params() == KINDS[kind].get_params()
    np.testing.assert_array_equal(again.fit(x, y).predict_proba(x), probabilities)


def test_leave_one_person_out_in_a_pipeline_under_joblib(arrays: tuple[Any, ...]) -> None:
    x, y, persons = arrays
    pipeline = make_pipeline(FunctionTransformer(np.negative), KINDS["fusion"])
    result = cross_validate(
        pipeline,
        x,
        y.max(1),
        groups=persons,
        cv=LeaveOneGroupOut(),
        scoring="roc_auc",
        n_jobs=2,
        error_score="raise",
    )
    assert result["test_score"].min() > 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 0], y), r"X is \(30, 3, 5\), wanted windows x frames x electrodes x dims"),
        (lambda x, y: (x[:0], y[:0]), r"X is \(0, 8, 3, 5\), wanted windows"),
        (lambda x, y: (np.where(x > 3, np.nan, x), y), "X holds values that are not finite"),
        (lambda x, y: (x, y[1:]), r"y is \(29, 4\), wanted one row of labels for each of the 30 windows"),
        (lambda x, y: (x, y * 0), r"labels are \[.*0.*\]; 0 and 1 are both needed"),
    ],
)
def test_arrays_that_cannot_train(arrays: tuple[Any, ...], change: Callable[..., Any], message: str) -> None:
    x, y, _ = arrays
    with pytest.raises(ValueError, match=message):
        KINDS["linear"].fit(*change(x[:30], y[:30]))


def test_settings_and_shapes_that_do_not_fit(arrays: tuple[Any, ...]) -> None:
    x, y, _ = arrays
    with pytest.raises(ValueError, match=r"dropout is 1.5; allowed: from 0 to less than 1"):
        SpatialFusionClassifier(dropout=1.5).fit(x, y)
    fitted = clone(KINDS["linear"]).fit(x, y)
    with pytest.raises(ValueError, match=r"windows are \(8, 2, 5\), the head was trained on \(8, 3, 5\)"):
        fitted.predict(x[:, :, :2])
