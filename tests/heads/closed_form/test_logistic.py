"""Logistic regressions of many sets at once against scikit-learn's, one by one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from heads.closed_form import logistic
from heads.closed_form.logistic import TrainingSeconds, fit_logistic
from heads.closed_form.ridge_lda import LinearModels

FEATURES = 12
STRENGTHS = (1e-3, 0.1, 2.0, 1e3)
TRAINS = np.array([[1, 1, 1, 0, 1], [0, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 1, 0, 0]], bool)


def make_persons(separable: bool = False, missing: bool = False) -> list[TrainingSeconds]:
    """Features of unlike scales, with a strong correlation and a constant; the last person has no seconds."""
    rng = np.random.default_rng(0)
    persons = []
    for number, seconds in enumerate((60, 90, 200, 40, 0)):
        y = (rng.random(seconds) < 0.3).astype(np.float32)
        x = rng.normal(size=(seconds, FEATURES)) * np.logspace(-1, 2, FEATURES) + 5
        x[:, 2] += (20 if separable else 0.2) * y
        x[:, 3] = x[:, 2] * 3 + rng.normal(size=seconds) * 0.05 + number
        x[:, 5] = 7.0
        if missing:
            x[:, [1, 4][: number % 3]] = np.nan
            x[y == 1, 0] = np.nan
        count = np.where(y == 1, 1.0, 2.5)
        persons.append(TrainingSeconds(*(torch.from_numpy(part).float() for part in (x, y, count))))
    return persons


def fit_by_scikit_learn(persons: list[TrainingSeconds], c: float, new: torch.Tensor) -> np.ndarray:
    x, y, count = (
        torch.cat([getattr(one, name) for one in persons]).double().numpy() for name in ("x", "y", "count")
    )
    missing = np.isnan(x)
    mean = count @ np.nan_to_num(x) / np.maximum(count @ ~missing, 1)
    x, new = np.where(missing, mean, x), np.where(new.isnan(), mean, new.double())
    scaler = StandardScaler().fit(x, sample_weight=count)
    scaler.scale_[5], scaler.mean_[5] = np.inf, 7.0  # constant
    weights = torch.cat([one.weights for one in persons]).numpy()
    plain = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    plain.fit(scaler.transform(x), y, weights)
    values: np.ndarray = plain.decision_function(scaler.transform(new))
    return values


def watch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sets are fitted at once, each time."""
    sizes: list[int] = []
    plain = logistic._StackedRegression.fit_path

    def fit_path(self: logistic._StackedRegression, strengths: np.ndarray) -> list[LinearModels]:
        sizes.append(len(strengths))
        return plain(self, strengths)

    monkeypatch.setattr(logistic._StackedRegression, "fit_path", fit_path)
    return sizes


@pytest.mark.parametrize(
    ("separable", "missing", "most_bytes"),
    [
        (False, False, 1 << 20),
        (True, False, 1 << 20),
        (False, True, 1 << 20),
        (False, False, 11_000),
        (False, False, 1),
    ],
)
def test_every_set_and_strength_equals_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, separable: bool, missing: bool, most_bytes: int
) -> None:
    monkeypatch.setattr(logistic, "_MOST_BYTES", most_bytes)
    fitted_at_once = watch_sizes(monkeypatch)
    persons = make_persons(separable, missing)
    models = fit_logistic(persons, TRAINS, np.array([STRENGTHS] * len(TRAINS)))
    assert fitted_at_once == {1 << 20: [4], 11_000: [3, 1], 1: [1, 1, 1, 1]}[most_bytes]  # a set has 3,640 bytes
    new = torch.cat([one.x for one in persons])
    for trains, fitted in zip(TRAINS, models, strict=True):
        known = [one for one, is_known in zip(persons, trains, strict=True) if is_known]
        for row, strength in enumerate(STRENGTHS):
            wanted = fit_by_scikit_learn(known, strength, new)
            found = fitted.scores(new.double())[:, row].numpy()
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_each_set_has_its_own_strengths() -> None:
    persons = make_persons()
    strengths = np.array([[0.1], [1e-3], [2.0], [0.1]])
    models = fit_logistic(persons, TRAINS, strengths)
    for number, one in enumerate(models):
        (alone,) = fit_logistic(persons, TRAINS[number : number + 1], strengths[number : number + 1])
        torch.testing.assert_close(one.weight, alone.weight, rtol=1e-3, atol=1e-5)


def test_seconds_of_others_change_nothing_to_the_last_bit() -> None:
    persons = make_persons()
    strengths = np.array([STRENGTHS] * len(TRAINS))
    before = fit_logistic(persons, TRAINS, strengths)
    persons[3] = TrainingSeconds(1e3 * persons[3].x, 1 - persons[3].y, persons[3].count)
    after = fit_logistic(persons, TRAINS, strengths)
    assert [torch.equal(one.weight, two.weight) for one, two in zip(before, after, strict=True)] == [
        not trains[3] for trains in TRAINS
    ]


def test_what_does_not_converge_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "_NEWTON_STEPS", 1)
    with pytest.raises(ValueError, match=r"C = 0\.001 has not converged in 1 steps; use --method lda"):
        fit_logistic(make_persons(), TRAINS, np.array([STRENGTHS] * len(TRAINS)))
