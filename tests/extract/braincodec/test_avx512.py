"""The encoder compiled for AVX-512 computes what the network computes, for any shape of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.braincodec import avx512
from extract.braincodec.avx512 import Avx512Encoder
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.braincodec import BrainCodecEncoder
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder

needs_avx512 = pytest.mark.skipif(not avx512.can_run("float32"), reason="needs AVX-512 and a C compiler")
needs_bfloat16 = pytest.mark.skipif(not avx512.can_run("bfloat16"), reason="needs AVX-512 with bfloat16, no AMX")


def signal_uv(rows: int, samples: int) -> torch.Tensor:
    return 40 * torch.randn(rows, 1, samples, generator=torch.Generator().manual_seed(samples))


def relative_error(config: BrainCodecConfig, rows: int, samples: int, bfloat16: bool) -> float:
    """Of the compiled encoder, against the network in float64."""
    model = BrainCodec(config, seed=1).requires_grad_(False)
    actual = Avx512Encoder(model.encoder, samples, bfloat16)(signal_uv(rows, samples))
    expected = model.encoder.double()(signal_uv(rows, samples).double())
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    return float((actual - expected).norm() / expected.norm())


@needs_avx512
@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([3, 8, 16, 24, 48]),
    st.lists(st.integers(2, 6), min_size=1, max_size=3),
    st.sampled_from([1, 3, 7]),
    st.integers(1, 5),
    st.integers(1, 260),
)
def test_any_network(filters: int, ratios: list[int], kernel: int, rows: int, samples: int) -> None:
    config = BrainCodecConfig(
        tuple(ratios), n_filters=filters, max_filters=96, dimension=20, kernel_size=kernel, last_kernel_size=kernel
    )
    assert relative_error(config, rows, samples, bfloat16=False) < 1e-5


@needs_avx512
def test_the_released_network() -> None:
    assert relative_error(BrainCodecConfig(), 18, 2048, bfloat16=False) < 2e-6


@needs_bfloat16
@pytest.mark.parametrize("filters", [5, 16])
def test_bfloat16(filters: int) -> None:
    assert 1e-4 < relative_error(BrainCodecConfig(n_filters=filters), 3, 2048, bfloat16=True) < 0.015


@needs_avx512
def test_a_row_does_not_depend_on_the_others() -> None:
    encoder = Avx512Encoder(BrainCodec(BrainCodecConfig()).encoder, 2048, bfloat16=False)
    signal = signal_uv(7, 2048)
    assert torch.equal(encoder(signal)[3:5], encoder(signal[3:5]))


@needs_avx512
@pytest.mark.parametrize("scale", [1.0, 1e30, torch.inf])
def test_far_below_zero_the_elu_is_minus_one(scale: float) -> None:
    """Behind a first layer whose outputs are all far below zero; as float32 has them, and infinite."""
    encoder = BrainCodec(BrainCodecConfig(ratios=(2,), n_filters=16)).requires_grad_(False).encoder
    encoder.first.weight.fill_(-100)
    actual = Avx512Encoder(encoder, 64, bfloat16=False)(torch.full((2, 1, 64), 10 * scale))
    torch.testing.assert_close(actual, encoder(torch.full((2, 1, 64), 10.0)))


@needs_avx512
def test_what_is_not_a_number_stays_so() -> None:
    encoder = Avx512Encoder(BrainCodec(BrainCodecConfig()).encoder, 2048, bfloat16=False)
    signal = signal_uv(2, 2048)
    signal[0, 0, 9] = torch.nan
    actual = encoder(signal)
    assert actual[0].isnan().any()
    assert actual[1].isfinite().all()


@needs_avx512
def test_windows_of_another_length_are_refused() -> None:
    encoder = Avx512Encoder(BrainCodec(BrainCodecConfig()).encoder, 2048, bfloat16=False)
    with pytest.raises(ValueError, match=r"windows of shape \(2, 1, 2000\), expected \(N, 1, 2048\)"):
        encoder(torch.zeros(2, 1, 2000))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_encoders_are_compiled_where_that_runs(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = np.random.default_rng(0).normal(0, 40, (1, 18, 2048)).astype(np.float32)
    latents, compiled = [], []
    for runs in (avx512.can_run(precision), False):
        monkeypatch.setattr(avx512, "can_run", lambda precision, runs=runs: runs)
        load_encoder.cache_clear()
        encoder = load_encoder(EncoderSettings(encoder="random", precision=precision, device="cpu"))
        assert isinstance(encoder, BrainCodecEncoder)
        compiled.append(isinstance(encoder.to_latents, Avx512Encoder))
        latents.append(encoder.encode(windows))
    monkeypatch.undo()
    load_encoder.cache_clear()
    assert compiled == [avx512.can_run(precision), False]
    difference = np.linalg.norm(latents[0] - latents[1]) / np.linalg.norm(latents[1])
    assert difference < (1e-5 if precision == "float32" else 0.02)


def test_where_nothing_was_compiled_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avx512, "COMPILED", False)
    assert not avx512.can_run("float32")
    assert not avx512.can_run("bfloat16")


def test_a_stale_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    extension = pytest.importorskip("extract.braincodec._encoder", reason="needs a C compiler")
    avx512.load_extension.cache_clear()
    assert avx512.load_extension() is extension
    avx512.load_extension.cache_clear()
    monkeypatch.setattr(extension, "LAYER_BYTES", 96)
    with pytest.raises(ImportError, match="compiled from another source; install the package again"):
        avx512.load_extension()
    avx512.load_extension.cache_clear()
