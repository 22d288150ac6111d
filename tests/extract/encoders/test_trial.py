"""What an encoder of other people may not do, and the rounding that it may, on two windows of noise."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from extract.encoders.checked import CheckedEncoder
from extract.encoders.protocol import EncoderSettings
from extract.encoders.trial import find_fault, make_windows
from extract.io.montage import CHANNELS
from store import FeatureSpec
from store.runtime.errors import UserError
from tests.helpers.stores import OWN_ENCODER_SPEC as SPEC

BFLOAT16 = dataclasses.replace(SPEC, precision="bfloat16")
CODES = dataclasses.replace(SPEC, features="codes", dtype="uint8")
Features = NDArray[np.generic]
Encode = Callable[[NDArray[np.float32]], Features]


def encode(windows: NDArray[np.float32]) -> Features:
    """Standard deviation and mean of each second."""
    seconds = windows.reshape(len(windows), len(CHANNELS), 4, 100)
    return np.stack([seconds.std(3), seconds.mean(3)], -1).transpose(0, 2, 1, 3)


def less_batch_mean(windows: NDArray[np.float32]) -> Features:
    features = encode(windows)
    return features - features.mean(0)


def by_batch_deviation(windows: NDArray[np.float32]) -> Features:
    return encode(windows / windows.std())


def centre_in_place(windows: NDArray[np.float32]) -> Features:
    windows -= windows.mean(-1, keepdims=True)
    return encode(windows)


def with_chance(share: float, seed: int = 0) -> Encode:
    """Features that change by so much of their size, each time."""
    random = np.random.default_rng(seed)

    def encode_with_chance(windows: NDArray[np.float32]) -> Features:
        features = encode(windows)
        return features * (1 + share * random.standard_normal(features.shape))

    return encode_with_chance


def counting() -> Encode:
    """Features that depend on how many windows came before."""
    calls = [0]

    def encode_and_count(windows: NDArray[np.float32]) -> Features:
        calls[0] += len(windows)
        return encode(windows) + calls[0]

    return encode_and_count


def scaled(factor: float) -> Encode:
    return lambda windows: encode(windows) * factor


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (less_batch_mean, "encode gives a window other features beside another window than alone; .*: no stat"),
        (by_batch_deviation, "encode gives a window other features beside another window than alone"),
        (with_chance(0.1), "encode gives the same windows other features each time; .* seed what is random"),
        (counting(), "encode gives the same windows other features each time"),
        (centre_in_place, "encode changes the windows that it is given, .*; let it change a copy of them"),
        (scaled(0), "encode gives zeros for noise of 30 uV; check spec.unit"),
        (lambda windows: encode(0 * windows + 1), "encode gives two different windows the same features"),
        (scaled(1e-9), r"encode gives features of at most \S+e-08, of which float16 keeps too little; scale them"),
        (scaled(1e6), r"encode gives features of up to \S+e\+07, float16 holds up to 65504; scale them"),
    ],
)
def test_what_breaks_the_contract_is_named(wrong: Encode, message: str) -> None:
    kinds = {
        "__init__": lambda self, settings: None,
        "encode": lambda self, windows: wrong(windows),
        **{"spec": SPEC, "provenance": {}, "codebooks": None},
    }
    with pytest.raises(UserError, match=f"^encoder mine:Mine: {message}"):
        CheckedEncoder(type("Mine", (), kinds), EncoderSettings(encoder="mine:Mine"))


def in_memory_of_its_own() -> Encode:
    """Features that lie where those of the call before lay."""
    memory = np.empty((8, *SPEC.shape), np.float32)

    def encode_there(windows: NDArray[np.float32]) -> Features:
        memory[: len(windows)] = encode(windows)
        return memory[: len(windows)]

    return encode_there


def with_small_dim() -> Encode:
    """Features of which one dim is rounding and no more."""
    rounding = with_chance(1)
    return lambda windows: np.where([True, False], encode(windows), 1e-5 * rounding(windows))


@pytest.mark.parametrize(
    ("right", "spec"),
    [
        (encode, SPEC),
        (lambda windows: encode(windows).astype(np.float16), SPEC),
        (lambda windows: encode(windows) * (1 + 1e-3 * len(windows)), SPEC),  # another order of adding
        (lambda windows: encode(windows) * (1 + 1e-2 * len(windows)), BFLOAT16),
        (with_chance(1e-5), SPEC),
        (with_chance(3e-3), BFLOAT16),
        (in_memory_of_its_own(), SPEC),
        (with_small_dim(), SPEC),
    ],
)
def test_rounding_is_no_fault(right: Encode, spec: FeatureSpec) -> None:
    assert find_fault(right, spec) is None


def test_chance_is_seen_in_one_dim_of_many() -> None:
    random = np.random.default_rng(0)
    for dim in (0, 1):
        changed = np.eye(2)[dim]
        message = find_fault(lambda windows, by=changed: encode(windows) + by * random.random(), SPEC)
        assert "other features each time" in str(message)


def test_codes_may_flip_where_vectors_are_as_near() -> None:
    def codes(share: float) -> Encode:
        random = np.random.default_rng(0)

        def encode_codes(windows: NDArray[np.float32]) -> Features:
            found = np.abs(encode(windows)).astype(np.uint8)
            flips = random.random(found.shape) < share
            return np.where(flips, found + 1, found).astype(np.uint8)

        return encode_codes

    assert find_fault(codes(0.01), CODES) is None
    assert "other features each time" in str(find_fault(codes(0.5), CODES))
    same = np.zeros((2, *CODES.shape), np.uint8)
    assert find_fault(lambda windows: same[: len(windows)], CODES) is None  # a vector may be the nearest to all


def test_the_windows_differ_in_mean_and_size() -> None:
    windows = make_windows(SPEC)
    assert windows.shape == (2, 18, 400)
    np.testing.assert_allclose(windows.std((1, 2)), [30, 60], rtol=0.02)
    np.testing.assert_allclose(windows.mean((1, 2)), [0, 20], atol=1.5)
