"""Logistic regression of many strengths, by scikit-learn."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from heads.closed_form.ridge_lda import LinearModels
from store.runtime.errors import UserError

_TOLERANCE = 1e-6
_ITERATIONS = 5000


def fit_logistic(x: Tensor, y: Tensor, mean: Tensor, scale: Tensor, strengths: Sequence[float]) -> LinearModels:
    """Minimise ``mean(loss) + strength / 2 * |w|^2`` on standardised features, for all strengths.

    Each strength begins at the solution of the next larger one, which halves the time.

    Parameters
    ----------
    x, y : (N, P), (N,) float64
        Features and labels, 0 or 1.
    mean, scale : (P,) float64
        Standardisation.

    Returns
    -------
    LinearModels
        ``weight (P, R)`` and ``bias (R,)`` for raw features.

    Raises
    ------
    UserError
        If one does not converge.
    """
    standard = ((x - mean) * scale).numpy()
    model = LogisticRegression(tol=_TOLERANCE, max_iter=_ITERATIONS, warm_start=True)
    weight, bias = np.zeros((x.shape[1], len(strengths))), np.zeros(len(strengths))
    for row in np.argsort(strengths)[::-1].tolist():
        model.set_params(C=1 / (strengths[row] * len(y)))
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(standard, y.numpy())
            except ConvergenceWarning as error:
                raise UserError(
                    f"logistic regression of strength {strengths[row]:g} has not converged in {_ITERATIONS} "
                    "iterations; use --method lda"
                ) from error
        weight[:, row], bias[row] = model.coef_[0], model.intercept_[0]
    raw = scale[:, None] * torch.from_numpy(weight)
    return LinearModels(raw, torch.from_numpy(bias) - mean @ raw)
