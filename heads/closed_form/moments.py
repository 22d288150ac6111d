"""Sums over seconds for linear classifiers; those of a fold are the total minus its test persons'."""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

_CONSTANT = 1e-6  # deviation over magnitude below which a feature counts as constant


@dataclass(frozen=True)
class MissingMoments:
    """Sums over seconds that lack features, float64: count by label ``(2, P)``, pairs of features ``(P, P)`` each.

    ``present`` sums each feature over the seconds that lack another one, ``both`` counts seconds that lack two.
    """

    count: Tensor
    present: Tensor
    both: Tensor


@dataclass(frozen=True)
class ClassMoments:
    """Sums over seconds, float64: count ``(2,)`` and total ``(2, P)`` by label, products ``(P, P)``.

    A missing feature counts as 0 in them; without any, ``missing`` is None.
    """

    count: Tensor
    total: Tensor
    products: Tensor
    missing: MissingMoments | None = None

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "ClassMoments":
        """Sums of features ``x (N, P)``, nan where missing, with labels ``y (N,)``, 0 or 1, all float64."""
        label = torch.stack([1 - y, y])
        is_missing = x.isnan()
        if not is_missing.any():
            return cls(label.sum(1), label @ x, x.mT @ x)
        x, lacks = x.where(~is_missing, 0.0), is_missing.double()
        missing = MissingMoments(label @ lacks, x.mT @ lacks, lacks.mT @ lacks)
        return cls(label.sum(1), label @ x, x.mT @ x, missing)

    def __add__(self, other: "ClassMoments") -> "ClassMoments":
        return self._combine(other, 1)

    def __sub__(self, other: "ClassMoments") -> "ClassMoments":
        return self._combine(other, -1)

    @property
    def mean(self) -> Tensor:
        """Mean of each feature over the seconds that have it, ``(P,)``."""
        count = self.count.sum()
        if self.missing:
            count = (count - self.missing.count.sum(0)).clamp(min=1)
        return self.total.sum(0) / count

    def with_means(self) -> "ClassMoments":
        """The same, with each missing feature at its mean."""
        if not self.missing:
            return self
        mean, lacks = self.mean, self.missing
        mixed = lacks.present * mean
        products = self.products + mixed + mixed.mT + lacks.both * torch.outer(mean, mean)
        return ClassMoments(self.count, self.total + mean * lacks.count, products)

    def _combine(self, other: "ClassMoments", sign: int) -> "ClassMoments":
        """The sums plus, or less, those of other seconds."""
        count, total = self.count + sign * other.count, self.total + sign * other.total
        products, missing = self.products + sign * other.products, self.missing or other.missing
        if self.missing and other.missing:
            pairs = zip(astuple(self.missing), astuple(other.missing), strict=True)
            missing = MissingMoments(*(left + sign * right for left, right in pairs))
        return ClassMoments(count, total, products, missing)

    @property
    def scale(self) -> Tensor:
        """One over the deviation of each feature, ``(P,)``; 0 where it is constant."""
        return inverse_deviation(self.mean, self.products.diagonal() / self.count.sum() - self.mean**2)


def inverse_deviation(mean: Tensor, variance: Tensor) -> Tensor:
    """One over the standard deviation of features, ``(P,)``; 0 where it is negligible against the mean."""
    varies = variance > (_CONSTANT * mean.abs().clamp(min=1)) ** 2
    return torch.where(varies, variance.clamp(min=1e-300).rsqrt(), 0.0)
