"""Logistic regression of several strengths of regularisation, by scikit-learn."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from heads.closed_form.ridge_lda import LinearModels
from store.runtime.errors import UserError

_TOLERANCE = 1e-5
_ITERATIONS = 5000


def fit_logistic(
    x: Tensor, y: Tensor, weights: Tensor, mean: Tensor, scale: Tensor, inverse_strengths: Sequence[float]
) -> LinearModels:
    """Minimise ``sum(weights * loss) + |w|^2 / (2 * C)`` on standardised features, for each C.

    Each C begins at the solution of the next smaller one, which halves the time.

    Parameters
    ----------
    x, y, weights : (N, P), (N,), (N,) float64
        Features, labels 0 or 1, and weights of seconds.
    mean, scale : (P,) float64
        Standardisation.
    inverse_strengths
        C, as scikit-learn names it.

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
    weight, bias = np.zeros((x.shape[1], len(inverse_strengths))), np.zeros(len(inverse_strengths))
    for row in np.argsort(inverse_strengths).tolist():
        model.set_params(C=inverse_strengths[row])
        model.fit(standard, y.numpy(), weights.numpy())
        if model.n_iter_[0] >= _ITERATIONS:
            raise UserError(
                f"logistic regression with C = {inverse_strengths[row]:g} has not converged in {_ITERATIONS} "
                "iterations; use --method lda"
            )
        weight[:, row], bias[row] = model.coef_[0], model.intercept_[0]
    raw = scale[:, None] * torch.from_numpy(weight)
    return LinearModels(raw, torch.from_numpy(bias) - mean @ raw)
