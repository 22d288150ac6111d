"""Calibration: whether a probability of 0.7 means seizure in 70 % of seconds."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 10  # of equal width


def bin_reliability(labels: NDArray[Any], probabilities: NDArray[Any]) -> pd.DataFrame:
    """Reliability diagram of seconds, ``(T,)`` each.

    Returns
    -------
    A row a bin: from_probability, to_probability, seconds, mean_probability, seizure_share (nan if empty).

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


def expected_calibration_error(reliability: pd.DataFrame) -> float:
    """Mean distance of probability from the share of seizure, over seconds (Naeini et al., AAAI 2015).

    >>> labels, probabilities = np.array([0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75])
    >>> expected_calibration_error(bin_reliability(labels, probabilities))
    0.25
    """
    distance = (reliability["mean_probability"] - reliability["seizure_share"]).abs()
    return float((distance * reliability["seconds"]).sum() / reliability["seconds"].sum())
