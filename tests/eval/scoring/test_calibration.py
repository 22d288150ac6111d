"""Temperatures: against scikit-learn, at the edges, and in the files of a scored run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from eval.report.files import write_scores
from eval.scoring.calibration import (
    apply_temperature,
    bin_reliability,
    expected_calibration_error,
    fit_temperature,
)
from eval.scoring.choosing import choose_postprocessing
from eval.scoring.results import Results
from heads.folds import Fold
from tests.helpers.scored import make_results, record


def overconfident(seconds: int, seed: int, temperature: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose log odds are that many times what they should be."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(-1, 2, seconds)
    return (rng.random(seconds) < expit(scores)).astype(np.uint8), expit(temperature * scores)


def test_the_temperature_is_that_of_logistic_regression_without_intercept() -> None:
    labels, probabilities = overconfident(2000, 0)
    odds = logit(np.clip(probabilities, 1e-7, 1 - 1e-7))[:, None]
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(odds, labels)
    assert fit_temperature(labels, probabilities) == pytest.approx(1 / model.coef_[0, 0], rel=1e-6)


def test_a_temperature_mends_what_is_too_sure() -> None:
    labels, probabilities = overconfident(20_000, 0)
    fitted = fit_temperature(labels, probabilities)
    assert fitted == pytest.approx(3, rel=0.1)
    labels, probabilities = overconfident(20_000, 1)
    before, after = (
        expected_calibration_error(bin_reliability(labels, values))
        for values in (probabilities, apply_temperature(probabilities, fitted))
    )
    assert before > 0.08
    assert after < 0.02


def test_ranks_stay_and_certainty_is_finite() -> None:
    probabilities = np.array([0, 1e-9, 0.2, 0.9, 1], np.float32)
    calibrated = apply_temperature(probabilities, 2.0)
    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated) >= 0).all()
    np.testing.assert_allclose(apply_temperature(np.array([0.2, 0.7]), 1.0), [0.2, 0.7])


def test_one_class_gives_no_temperature_and_no_error_a_bound() -> None:
    assert np.isnan(fit_temperature(np.zeros(5, np.uint8), np.full(5, 0.1)))
    assert np.isnan(fit_temperature(np.zeros(0, np.uint8), np.zeros(0)))
    assert fit_temperature(np.array([0, 1]), np.array([0.4, 0.6])) == 1 / 20
    assert fit_temperature(np.array([0, 1]), np.array([0.6, 0.4])) == 20


def scored(path: Path, temperatures: tuple[float, ...]) -> Results:
    """Results of two folds, each on a person whose probabilities are too sure."""
    persons, choices, folds = {}, {}, []
    for name, temperature in zip(("01", "02"), temperatures, strict=True):
        labels, probabilities = overconfident(3000, len(choices))
        persons[name] = {"a": replace(record([], [], 3000), labels=labels, probabilities=probabilities)}
        chosen = choose_postprocessing({"01": [record([(100, 140)], [(100, 130)])]}, 0.5)
        choices[name] = replace(chosen, temperature=temperature)
        folds.append(Fold(name, (name,), (), ()))
    return replace(make_results(persons, folds, choices), path=path)


def test_metrics_give_the_error_before_and_at_the_temperatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.report.files.write_events", lambda results: None)  # the store has no recordings
    write_scores(scored(tmp_path, (3.0, 3.0)))
    content = json.loads((tmp_path / "metrics.json").read_text())["calibration"]
    assert content["expected_error"] > 0.08
    assert content["at_temperature"]["expected_error"] < 0.02
    assert content["at_temperature"]["temperatures"] == {"01": 3.0, "02": 3.0}
    assert sum(row["seconds"] for row in content["at_temperature"]["bins"]) == 6000
    write_scores(scored(tmp_path, (3.0, np.nan)))
    assert "at_temperature" not in json.loads((tmp_path / "metrics.json").read_text())["calibration"]


def test_each_person_gets_the_temperature_of_its_fold(tmp_path: Path) -> None:
    results = scored(tmp_path, (2.0, 4.0))
    calibrated = results.calibrated_seconds()
    assert calibrated is not None
    for person, temperature in (("01", 2.0), ("02", 4.0)):
        labels, probabilities = results.seconds()[person]
        np.testing.assert_array_equal(calibrated[person][0], labels)
        np.testing.assert_allclose(calibrated[person][1], apply_temperature(probabilities, temperature))


def test_a_head_on_other_data_takes_the_only_temperature(tmp_path: Path) -> None:
    results = scored(tmp_path, (2.0, 4.0))
    final = replace(results, folds=(), choices={"final": results.choices["02"]})
    calibrated = final.calibrated_seconds()
    assert calibrated is not None
    np.testing.assert_allclose(calibrated["01"][1], apply_temperature(final.seconds()["01"][1], 4.0))


def test_the_choice_fits_and_keeps_the_temperature() -> None:
    labels, probabilities = overconfident(3000, 0)
    person = [replace(record([], [], 3000), labels=labels, probabilities=probabilities)]
    choice = choose_postprocessing({"01": person}, 0.5)
    assert choice.temperature == fit_temperature(labels, probabilities)
    assert choice.to_json()["temperature"] == choice.temperature
    assert type(choice).from_json(choice.to_json()) == choice
    assert np.isnan(type(choice).from_json({**choice.to_json(), "temperature": "warm"}).temperature)
