"""Calibration: whether a probability of 0.7 means seizure in 70 % of seconds."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10  # of equal width
_HIGHEST = 20.0  # temperature; the lowest is its inverse


def bin_reliability(labels: NDArray[Any], probabilities: NDArray[Any]) -> pd.DataFrame:
    """Reliability diagram of seconds, ``(T,)`` each.

    Returns
    -------
    One row per bin: from_probability, to_probability, seconds, mean_probability, seizure_share (nan if empty).

    Examples
    --------
    >>> bin_reliability(np.array([0, 1, 1]), np.array([0.1, 0.85, 0.85])).dropna()["seizure_share"].tolist()
    [0.0, 1.0]
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    seconds = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_probability, seizure_share = (
            np.bincount(bins, weights=values, minlength=BINS) / seconds for values in (probabilities, labels)
        )
    edges = np.linspace(0, 1, BINS + 1)
    return pd.DataFrame(
        {
            "from_probability": edges[:-1],
            "to_probability": edges[1:],
            "seconds": seconds,
            "mean_probability": mean_probability,
            "seizure_share": seizure_share,
        }
    )


def pool_reliability(persons: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> pd.DataFrame:
    """`bin_reliability` of the labels and probabilities of all persons."""
    return bin_reliability(*map(np.concatenate, zip(*persons.values(), strict=True)))


def expected_calibration_error(reliability: pd.DataFrame) -> float:
    """Mean distance of probability from the share of seizure, over seconds (Naeini et al., AAAI 2015).

    >>> labels, probabilities = np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75])
    >>> expected_calibration_error(bin_reliability(labels, probabilities))
    0.25
    """
    distance = (reliability["mean_probability"] - reliability["seizure_share"]).abs()
    return float((distance * reliability["seconds"]).sum() / reliability["seconds"].sum())


def fit_temperature(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """The temperature that makes seconds, ``(T,)`` each, most likely (Guo et al., ICML 2017).

    From 1/20 to 20; nan without seizure or without background seconds.

    >>> labels, probabilities = np.array([1, 1, 1, 0] * 9), np.full(36, 0.9)
    >>> round(float(apply_temperature(probabilities, fit_temperature(labels, probabilities))[0]), 3)
    0.75
    """
    if not len(labels) or labels.min() == labels.max():
        return math.nan
    from scipy.optimize import brentq  # here, since --help needs no scipy

    signed = np.where(labels == 1, 1, -1) * _log_odds(probabilities)

    @cache  # brentq asks for both ends again
    def slope(inverse: float) -> float:
        """Derivative of the log loss at an inverse temperature; it increases."""
        return -float((signed / (1 + np.exp(inverse * signed))).mean())

    if slope(1 / _HIGHEST) >= 0:
        return _HIGHEST
    if slope(_HIGHEST) <= 0:
        return 1 / _HIGHEST
    return 1 / float(brentq(slope, 1 / _HIGHEST, _HIGHEST))


def apply_temperature(probabilities: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Probabilities whose log odds are divided by a temperature: above 1 they come nearer to 0.5."""
    from scipy.special import expit  # as above

    calibrated: NDArray[Any] = expit(_log_odds(probabilities) / temperature)
    return calibrated


def _log_odds(probabilities: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import logit  # as above

    values: NDArray[Any] = logit(np.clip(probabilities.astype(float), 1e-7, 1 - 1e-7))
    return values
