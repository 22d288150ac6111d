"""Decide which channels of a recording are worth training on."""

import numpy as np
import numpy.typing as npt

DEVIATIONS_UV = (0.5, 300.0)  # standard deviation: noise alone has more, the largest seizures have less
MOST_REPEATED = 0.5  # share of the samples that equal the one before
MOST_CLIPPED = 0.02  # share of the samples at the largest or smallest value
REASONS = ("not finite", "flat", "clipped", "absurd amplitude")


def judge_channels(signal_uv: npt.NDArray[np.float32]) -> list[str | None]:
    """Say of each channel ``(C, samples)``, in microvolts, why it is left out; None if it is not.

    >>> judge_channels(np.array([[0, 30, -20, 10], [5, 5, 5, 5], [0, 9, np.nan, 1], [0, 9e3, 1, 2]], np.float32))
    [None, 'flat', 'not finite', 'absurd amplitude']
    """
    return [_judge(row) for row in signal_uv]


def _judge(row_uv: npt.NDArray[np.float32]) -> str | None:
    not_finite, flat, clipped, absurd = REASONS
    if not np.isfinite(row_uv).all():
        return not_finite
    if len(row_uv) < 2 or (row_uv[1:] == row_uv[:-1]).mean() > MOST_REPEATED:
        return flat
    at_ends = max(np.count_nonzero(row_uv == row_uv.max()), np.count_nonzero(row_uv == row_uv.min()))
    if at_ends - 1 > MOST_CLIPPED * len(row_uv):
        return clipped
    lowest, highest = DEVIATIONS_UV
    return None if lowest <= float(row_uv.std(dtype=np.float64)) <= highest else absurd
