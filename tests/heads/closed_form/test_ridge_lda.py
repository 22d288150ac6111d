"""Closed forms of raw features against scikit-learn on standardised ones, fold by fold."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heads.closed_form.moments import ClassMoments
from heads.closed_form.ridge_lda import best_strength, fit_ridge_lda

PERSONS, SECONDS, FEATURES = 5, 60, 12
STRENGTHS = (1e-3, 0.1, 2.0)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of unlike scales, with a strong correlation and a constant column; labels; persons."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PERSONS), SECONDS)
    y = (rng.random(len(person)) < 0.3).astype(float)
    x = rng.normal(size=(len(person), FEATURES)) * np.logspace(-1, 2, FEATURES) + 5
    x[:, 2] += 0.2 * y
    x[:, 3] = x[:, 2] * 3 + rng.normal(size=len(x)) * 0.05
    x[:, 5] = 7.0
    return x, y, person


def moments_of_persons(x: np.ndarray, y: np.ndarray, person: np.ndarray) -> list[ClassMoments]:
    return [
        ClassMoments.of(torch.from_numpy(x[person == p]), torch.from_numpy(y[person == p])) for p in range(PERSONS)
    ]


@pytest.mark.parametrize("held_out", [(0,), (4,), (1, 3)])
@pytest.mark.parametrize("method", ["ridge", "lda"])
def test_closed_form_equals_scikit_learn(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], held_out: tuple[int, ...], method: str
) -> None:
    x, y, person = data
    parts = moments_of_persons(x, y, person)
    rest = sum(parts[1:], parts[0])
    for p in held_out:
        rest = rest - parts[p]
    models = fit_ridge_lda(rest, STRENGTHS, method)
    train = ~np.isin(person, held_out)
    scaler = StandardScaler().fit(x[train])
    scaled, new = scaler.transform(x[train]), scaler.transform(x)
    for row, strength in enumerate(STRENGTHS):
        if method == "ridge":
            wanted = Ridge(alpha=strength * train.sum()).fit(scaled, y[train]).predict(new) - 0.5
        else:
            lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=strength / (1 + strength))
            wanted = lda.fit(scaled, y[train]).decision_function(new)
        found = x @ models.weight[:, row].numpy() + models.bias[row].item()
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_moments_subtract_to_those_of_the_rest(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, person = data
    parts = moments_of_persons(x, y, person)
    rest = sum(parts[1:], parts[0]) - parts[2]
    kept = torch.from_numpy(x[person != 2])
    np.testing.assert_allclose(rest.mean, kept.mean(0), rtol=1e-12)
    deviation = kept.std(0, correction=0)
    wanted = torch.where(deviation > 1e-9, 1 / deviation, 0.0)
    np.testing.assert_allclose(rest.scale, wanted, rtol=1e-9)
    assert rest.scale[5] == 0


def test_persons_without_a_score_do_not_choose() -> None:
    nan = torch.nan
    assert best_strength(torch.tensor([[0.9, 0.5], [nan, nan], [0.1, 0.8]])) == 1


@pytest.mark.parametrize("held_out", [(0,), (1, 3)])
def test_missing_features_have_their_training_mean(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], held_out: tuple[int, ...]
) -> None:
    x, y, person = data
    x = x.copy()
    x[person == 0, 2], x[person == 2, 3:5] = np.nan, np.nan
    x[(person == 4) & (y == 1), 0] = np.nan
    parts = moments_of_persons(x, y, person)
    rest = sum(parts[1:], parts[0])
    for p in held_out:
        rest = rest - parts[p]
    train = ~np.isin(person, held_out)
    filled = make_pipeline(SimpleImputer(), StandardScaler()).fit(x[train])
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1 / 1.1).fit(filled.transform(x[train]), y[train])
    found = fit_ridge_lda(rest, (0.1,), "lda").scores(torch.from_numpy(x))[:, 0]
    np.testing.assert_allclose(found, lda.decision_function(filled.transform(x)), rtol=1e-6, atol=1e-6)
