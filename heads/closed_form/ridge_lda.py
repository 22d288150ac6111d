"""Linear probes of seconds in closed form, every leave-one-person-out fold from sums over persons. No I/O.

Ridge regression and linear discriminant analysis need of the data only counts, sums and products. They are summed
once for each person; the training set of any fold is the total less the persons held out, and one
eigendecomposition gives all strengths of regularisation. Pairs of persons choose the strength: the model without
i and j is judged on j for the fold of i, and on i for the fold of j.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_CONSTANT = 1e-6  # deviation over magnitude below which a feature counts as constant


@dataclass(frozen=True)
class Sums:
    """Sums over seconds, float64: count ``(2,)`` and total ``(2, P)`` by label, products ``(P, P)``."""

    count: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "Sums":
        """Sums of features ``x (N, P)`` with labels ``y (N,)``, 0 or 1, all float64."""
        label = torch.stack([1 - y, y])
        return cls(label.sum(1), label @ x, x.mT @ x)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.total + other.total, self.products + other.products)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.count - other.count, self.total - other.total, self.products - other.products)

    @property
    def mean(self) -> Tensor:
        """Mean of each feature, ``(P,)``."""
        return self.total.sum(0) / self.count.sum()

    @property
    def scale(self) -> Tensor:
        """One over the deviation of each feature, ``(P,)``; 0 where it is constant."""
        variance = self.products.diagonal() / self.count.sum() - self.mean**2
        usable = variance > (_CONSTANT * self.mean.abs().clamp(min=1)) ** 2
        return torch.where(usable, variance.clamp(min=1e-300).rsqrt(), 0.0)


@dataclass(frozen=True)
class Models:
    """Linear models of one training set, one for each strength: scores are ``x @ weight + bias``.

    ``weight (P, R)`` and ``bias (R,)``, float64.
    """

    weight: Tensor
    bias: Tensor


def fit(sums: Sums, strengths: Sequence[float], method: str) -> Models:
    """Fit standardised features for all strengths of regularisation at once.

    Parameters
    ----------
    method : "ridge" or "lda"
        Ridge regression of the labels with ``alpha = strength * N`` (scores minus 1/2, so that 0 decides), or
        discriminant analysis, whose covariance is shrunk by ``strength / (1 + strength)`` (scores are log odds).
        Both directions solve the same within-class system (Hastie et al., Elements of Statistical Learning, 4.3),
        so one decomposition serves them.
    """
    count, number = sums.count, sums.count.sum()
    mean, scale = sums.mean, sums.scale
    class_mean = (sums.total / count[:, None] - mean) * scale
    centered = sums.products - torch.outer(mean, mean) * number
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
    return Models(weight, bias - mean @ weight)


def best_strength(scores: Tensor) -> int:
    """Index of the strength with the best mean over persons, of ``scores (persons, R)``; nan persons are left out.

    >>> best_strength(torch.tensor([[0.6, 0.7], [torch.nan, torch.nan], [0.9, 0.9]]))
    1
    """
    return int(scores.nanmean(0).argmax())
