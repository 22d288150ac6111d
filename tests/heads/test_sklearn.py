"""Heads as scikit-learn takes them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import store
from heads.dataset import StoreDataset
from heads.sklearn import LinearClassifier, SpatialFusionClassifier, load_arrays
from store.runtime.errors import UserError

KINDS = {
    "fusion": SpatialFusionClassifier(filters=4, hidden=6, epochs=6, lr=1e-2, batch_windows=16),
    "linear": LinearClassifier(epochs=6, lr=1e-2, batch_windows=16),
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


@pytest.mark.parametrize("kind", KINDS)
def test_cross_validation_takes_what_a_store_gives(make_store: Callable[..., Path], kind: str) -> None:
    """Labels of seconds, with -1 past the end of each recording."""
    x, y, persons = load_arrays(StoreDataset(store.open(make_store(persons=3, lengths_s=(118,), signal=3.0))))
    assert (y == -1).sum() == 6
    estimator = clone(KINDS[kind]).set_params(epochs=25)
    scores = cross_val_score(estimator, x, y, groups=persons, cv=LeaveOneGroupOut(), error_score="raise")
    assert scores.min() > 0.85
    fitted = clone(KINDS[kind]).fit(x, y)
    assert fitted.score(x, y) == pytest.approx((fitted.predict(x) == y)[y != -1].mean())
    assert fitted.score(x, y, np.arange(len(x)) == 3) == (fitted.predict(x)[3] == y[3]).mean()


def test_a_window_far_on_one_side_has_a_probability(arrays: tuple[Any, ...]) -> None:
    x, y, _ = arrays
    fitted = clone(KINDS["linear"]).fit(x, y)
    fitted.head_.out.bias.data.fill_(-1e4)
    np.testing.assert_array_equal(fitted.predict_proba(x), np.broadcast_to([1, 0], (*y.shape, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_runs_no_check_that_needs_two_axes(kind: str) -> None:
    """Features are windows x frames x electrodes x dims; its checks of fitting make samples x features alone."""
    if not hasattr(estimator_checks, "estimator_checks_generator"):
        pytest.skip("this scikit-learn gives no list of its checks")
    with pytest.warns(SkipTestWarning, match="which requires input"):
        checks = list(estimator_checks.estimator_checks_generator(KINDS[kind]))
    for estimator, check in checks:
        check(estimator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "check_do_not_raise_errors_in_init_or_set_param",
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_scikit_learns_checks_that_need_no_features(kind: str, name: str) -> None:
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this scikit-learn has no {name}")
    check(type(KINDS[kind]).__name__, KINDS[kind])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 0], y), r"X is \(30, 3, 5\), expected windows x frames x electrodes x dims"),
        (lambda x, y: (x[:0], y[:0]), r"X is \(0, 8, 3, 5\), expected windows"),
        (lambda x, y: (np.where(x > 3, np.nan, x), y), "X holds values that are not finite"),
        (lambda x, y: (x * [[np.inf], [1], [1]], y), "X holds values that are not finite"),
        (lambda x, y: (x, y[1:]), r"y is \(29, 4\), expected one row of labels for each of the 30 windows"),
        (lambda x, y: (x, y * 0), r"labels are \[.*0.*\]; 0 and 1 are both needed"),
    ],
)
def test_arrays_that_cannot_train(arrays: tuple[Any, ...], change: Callable[..., Any], message: str) -> None:
    x, y, _ = arrays
    with pytest.raises(ValueError, match=message):
        KINDS["linear"].fit(*change(x[:30], y[:30]))


def test_what_is_no_data_set_of_a_store(make_store: Callable[..., Path]) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    with pytest.raises(
        UserError, match=r"a StoreDataset is made of a store, not of '.*'; give store.open\(PATH\)"
    ):
        StoreDataset(str(path))
    with pytest.raises(
        UserError, match=r"load_arrays takes a StoreDataset, not <Store .*>; give StoreDataset\(store"
    ):
        load_arrays(store.open(path))


def test_labels_are_named_as_numbers(arrays: tuple[Any, ...]) -> None:
    x, y, _ = arrays
    with pytest.raises(UserError, match=r"labels are \[-1, 0, 3\]; 0 and 1 are both needed"):
        clone(KINDS["linear"]).fit(
            x, np.where(y == 1, 3, np.where(np.arange(y.shape[1]) == 0, -1, y)).astype(np.int8)
        )


def test_settings_and_shapes_that_do_not_fit(arrays: tuple[Any, ...]) -> None:
    x, y, _ = arrays
    with pytest.raises(ValueError, match=r"dropout is 1.5; allowed: from 0 to less than 1"):
        SpatialFusionClassifier(dropout=1.5).fit(x, y)
    fitted = clone(KINDS["linear"]).fit(x, y)
    with pytest.raises(ValueError, match=r"windows are \(8, 2, 5\), the head was trained on \(8, 3, 5\)"):
        fitted.predict(x[:, :, :2])
