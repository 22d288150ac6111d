"""Linear probes of seconds in closed form, every leave-one-person-out fold from sums over persons.

Ridge regression and linear discriminant analysis need of the data only counts, sums and products. They are summed
once for each person; the training set of any fold is the total less the persons held out, and one
eigendecomposition gives all strengths of regularisation. Pairs of persons choose the strength: the model without
i and j is judged on j for the fold of i, and on i for the fold of j.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heads.closed_form.moments import ClassMoments


@dataclass(frozen=True)
class LinearModels:
    """Linear models of one training set, one for each strength: scores are ``x @ weight + bias``.

    ``weight (P, R)`` and ``bias (R,)``, float64.
    """

    weight: Tensor
    bias: Tensor


def fit_ridge_lda(moments: ClassMoments, strengths: Sequence[float], method: str) -> LinearModels:
    """Fit standardised features for all strengths of regularisation at once.

    Parameters
    ----------
    method : "ridge" or "lda"
        Ridge regression of the labels with ``alpha = strength * N`` (scores minus 1/2, so that 0 decides), or
        discriminant analysis, whose covariance is shrunk by ``strength / (1 + strength)`` (scores are log odds).
        Both directions solve the same within-class system (Hastie et al., Elements of Statistical Learning, 4.3),
        so one decomposition serves them.
    """
    count, number = moments.count, moments.count.sum()
    mean, scale = moments.mean, moments.scale
    class_mean = (moments.total / count[:, None] - mean) * scale
    centered = moments.products - torch.outer(mean, mean) * number
    scatter = centered * torch.outer(scale, scale) - (class_mean.mT * count) @ class_mean
    difference = class_mean[1] - class_mean[0]
    values, vectors = torch.linalg.eigh(scatter)
    strength = torch.tensor(strengths, dtype=torch.float64)
    if method == "ridge":
        loading = strength * number
        inverse = 1 / (values.clamp(min=0)[:, None] + loading)
        direction = vectors @ (inverse * (vectors.mT @ difference)[:, None])
        between = count.prod() / number
        weight = between * direction / (1 + between * (difference @ direction))
        bias = count[1] / number - 0.5
    else:
        shrinkage = strength / (1 + strength)
        spectrum = values.clamp(min=0) / number
        inverse = 1 / ((1 - shrinkage) * spectrum[:, None] + shrinkage * spectrum.mean())
        weight = vectors @ (inverse * (vectors.mT @ difference)[:, None])
        bias = (count[1] / count[0]).log() - class_mean.mean(0) @ weight
    weight = scale[:, None] * weight
    return LinearModels(weight, bias - mean @ weight)


def best_strength(scores: Tensor) -> int:
    """Index of the strength with the best mean over persons, of ``scores (persons, R)``; nan persons are left out.

    >>> best_strength(torch.tensor([[0.6, 0.7], [torch.nan, torch.nan], [0.9, 0.9]]))
    1
    """
    return int(scores.nanmean(0).argmax())
