"""A transform coder for comparison: steps proportional to each window's scale, ideal entropy coding in bands."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.fft import dct, idct

BANDS = 60
_SCALE_BITS = 8  # a window, for its step
_ROUNDS = 40  # of the search for the step


@dataclass(frozen=True)
class Transformed:
    """Windows through the transform coder."""

    decoded: npt.NDArray[np.float64]  # (N, samples), in the unit of what was coded
    bits: float  # a window, in the mean


def code_at_rate(windows: npt.NDArray[np.floating], bits: float) -> Transformed:
    """Code windows ``(N, samples)`` with so many bits a window in the mean, to 1 % or as near as steps allow.

    Each window is transformed by a discrete cosine transform and rounded to multiples of a step, the same share of
    the root mean square of each. The bits are the entropy of the indices in each of 60 bands of frequencies, with
    the statistics of these windows, and 8 for the step: no real coder does better, so this bounds the kind.
    """
    coefficients = dct(np.asarray(windows, np.float64), norm="ortho")
    scale = np.sqrt(np.square(coefficients).mean(1, keepdims=True))
    scale = np.where(scale > 0, scale, 1.0)
    low, high = 1e-3, 1e3
    for _ in range(_ROUNDS):
        share = float(np.sqrt(low * high))
        indices = np.rint(coefficients / (share * scale))
        rate = count_bits(indices)
        if abs(rate - bits) < 0.01 * bits:
            break
        low, high = (share, high) if rate > bits else (low, share)
    return Transformed(idct(indices * share * scale, norm="ortho"), rate)


def count_bits(indices: npt.NDArray[np.floating]) -> float:
    """Bits a window of ideal entropy coding of indices ``(N, coefficients)``, each band with its own statistics.

    >>> count_bits(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])) - _SCALE_BITS
    2.0
    """
    edges = np.unique(np.rint(np.geomspace(1, indices.shape[1] + 1, BANDS + 1)).astype(int)) - 1
    bits = 0.0
    for low, high in pairwise(edges):
        _, counts = np.unique(indices[:, low:high], return_counts=True)
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / len(indices) + _SCALE_BITS
