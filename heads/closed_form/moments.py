"""Sums over seconds, from which linear classifiers are computed; a fold's are the total less some persons'."""

from dataclasses import dataclass

import torch
from torch import Tensor

_CONSTANT = 1e-6  # deviation over magnitude below which a feature counts as constant


@dataclass(frozen=True)
class ClassMoments:
    """Sums over seconds, float64: count ``(2,)`` and total ``(2, P)`` by label, products ``(P, P)``."""

    count: Tensor
    total: Tensor
    products: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "ClassMoments":
        """Sums of features ``x (N, P)`` with labels ``y (N,)``, 0 or 1, all float64."""
        label = torch.stack([1 - y, y])
        return cls(label.sum(1), label @ x, x.mT @ x)

    def __add__(self, other: "ClassMoments") -> "ClassMoments":
        return ClassMoments(self.count + other.count, self.total + other.total, self.products + other.products)

    def __sub__(self, other: "ClassMoments") -> "ClassMoments":
        return ClassMoments(self.count - other.count, self.total - other.total, self.products - other.products)

    @property
    def mean(self) -> Tensor:
        """Mean of each feature, ``(P,)``."""
        return self.total.sum(0) / self.count.sum()

    @property
    def scale(self) -> Tensor:
        """One over the deviation of each feature, ``(P,)``; 0 where it is constant."""
        return inverse_deviation(self.mean, self.products.diagonal() / self.count.sum() - self.mean**2)


def inverse_deviation(mean: Tensor, variance: Tensor) -> Tensor:
    """One over the standard deviation of features, ``(P,)``; 0 where it is negligible against the mean."""
    varies = variance > (_CONSTANT * mean.abs().clamp(min=1)) ** 2
    return torch.where(varies, variance.clamp(min=1e-300).rsqrt(), 0.0)
