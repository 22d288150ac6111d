"""A trial of an encoder on two windows of noise, which shows what its attributes cannot."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from extract.io.preparation import normalise
from store import FeatureSpec

_NOISE_UV = ((0.0, 30.0), (20.0, 60.0))  # mean and standard deviation, so that a batch's are no window's
# rounding, as shares of the features' size: float16 rounds the first away, batches are multiplied in other orders
_REPEATED = {"float32": 2**-12, "bfloat16": 2**-7}
_BATCHED = {"float32": 2**-8, "bfloat16": 2**-5}
_FLIPPED = 0.25  # of the codes, where two vectors of a codebook are nearly as near
_LARGEST = float(np.finfo(np.float16).max)
_LOST = 0.1  # of the features' size, to float16
_SMALL = 0.1  # of the size of all dims: what a dim that is smaller is held against


def make_windows(spec: FeatureSpec) -> NDArray[np.float32]:
    """Two windows ``(2, C, N)`` of noise, as the spec prepares them."""
    random, shape = np.random.default_rng(0), (len(spec.input_channels), spec.sample_rate_hz * spec.window_s)
    noise_uv = np.stack([random.normal(mean, deviation, shape) for mean, deviation in _NOISE_UV])
    return normalise(noise_uv.astype(np.float32), spec)


def find_fault(encode: Callable[[NDArray[np.float32]], NDArray[np.generic]], spec: FeatureSpec) -> str | None:
    """Say how an encoder breaks the contract that `protocol` states; None if it keeps it.

    The windows are encoded together, together once more, and each by itself; what rounding changes is no fault.
    """
    windows = make_windows(spec)
    given = windows.copy()
    together = np.array(encode(given))  # an encoder may use its memory again
    if not np.array_equal(given, windows):
        return "encode changes the windows that it is given, which are read again; let it change a copy of them"
    if spec.features == "latents" and (fault := _find_loss(together)):
        return fault
    if _differ(together, np.array(encode(windows.copy())), spec, _REPEATED):
        return (
            "encode gives the same windows other features each time; they may depend on nothing but the windows: "
            "seed what is random, switch dropout off (model.eval())"
        )
    alone = np.concatenate([np.array(encode(window[None].copy())) for window in windows])
    if _differ(together, alone, spec, _BATCHED):
        return (
            "encode gives a window other features beside another window than alone; each window is encoded by "
            "itself: no statistics of the batch (axis 0, BatchNorm without model.eval())"
        )
    return None


def _find_loss(features: NDArray[np.generic]) -> str | None:
    """Latents that say nothing of the window, or that cannot be stored as float16."""
    exact = features.astype(np.float64)
    if not exact.any():
        return "encode gives zeros for noise of 30 uV; check spec.unit, spec.normalisation and its weights"
    if np.array_equal(*exact):
        return "encode gives two different windows the same features; check whether it reads its windows"
    largest = np.abs(exact).max()
    if largest > _LARGEST:
        return f"encode gives features of up to {largest:.3g}, float16 holds up to {_LARGEST:.0f}; scale them"
    if np.sqrt(np.mean((exact.astype(np.float16) - exact) ** 2) / np.mean(exact**2)) > _LOST:
        return f"encode gives features of at most {largest:.3g}, of which float16 keeps too little; scale them"
    return None


def _differ(
    first: NDArray[np.generic], second: NDArray[np.generic], spec: FeatureSpec, rounding: dict[str, float]
) -> bool:
    """Whether features ``(B, F, C, D)`` differ by more than rounding; of codes, whether many do."""
    if spec.features == "codes":
        return bool((first != second).mean() > _FLIPPED)
    size = _root_mean_square(first.astype(np.float64))
    apart = _root_mean_square(first.astype(np.float64) - second.astype(np.float64))
    size = np.maximum(size, _SMALL * np.sqrt(np.mean(size**2)))
    share = rounding.get(spec.precision, rounding["bfloat16"])
    return bool((apart > share * size).any())


def _root_mean_square(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each dim, ``(D,)``."""
    squares: NDArray[np.float64] = np.sqrt(np.mean(features**2, axis=(0, 1, 2)))
    return squares
