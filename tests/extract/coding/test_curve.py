"""Errors by frequency, the transform coder, and the curve of both coders."""

import numpy as np
import pytest
import torch

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.coding.curve import draw_curve, measure_curve
from extract.coding.dct import code_at_rate
from extract.coding.distortion import band_prd, channel_prd, overall_prd

RATE_HZ = 128


def tone(hertz, scale=1.0, seconds=8):
    return scale * np.sin(2 * np.pi * hertz * np.arange(seconds * RATE_HZ) / RATE_HZ)


def test_an_error_counts_in_its_band_alone():
    original = (tone(2, 50) + tone(10, 20) + tone(20, 10))[None]
    decoded = (tone(2, 50) + tone(10, 10) + tone(20, 0))[None]
    prds = band_prd(original, decoded, RATE_HZ)
    assert prds["delta"] == pytest.approx(0, abs=0.1)
    assert prds["alpha"] == pytest.approx(50, abs=0.1)
    assert prds["beta"] == pytest.approx(100, abs=0.1)
    assert np.isnan(band_prd(original, decoded, 50)["above"])
    expected = np.sqrt((10**2 + 10**2) / (50**2 + 20**2 + 10**2)) * 100
    assert overall_prd(original, decoded) == pytest.approx(expected, rel=1e-6)


def test_the_transform_coder_keeps_its_rate_and_errs_less_with_more_bits():
    rng = np.random.default_rng(0)
    windows = np.cumsum(rng.normal(size=(40, 512)), axis=1) * rng.uniform(1, 50, (40, 1))
    windows -= windows.mean(1, keepdims=True)
    prds = []
    for bits in (100, 200, 400):
        coded = code_at_rate(windows, bits)
        assert coded.bits == pytest.approx(bits, rel=0.03)
        prds.append(channel_prd(windows, coded.decoded).mean())
    assert prds[0] > prds[1] > prds[2] > 0
    louder = code_at_rate(1000 * windows, 200)
    np.testing.assert_allclose(louder.decoded / 1000, code_at_rate(windows, 200).decoded, atol=1e-6)


def test_the_curve_has_each_count_of_codes_beside_the_transform_coder():
    config = BrainCodecConfig(
        ratios=(4, 4),
        n_filters=2,
        max_filters=4,
        dimension=3,
        quantizers=3,
        codebook_size=16,
        sample_rate_hz=RATE_HZ,
    )
    model = BrainCodec(config).eval()
    for q, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
        codebook.trained.fill_(1)
    windows = np.random.default_rng(0).normal(0, 30, (12, config.samples)).astype(np.float32)
    windows[3] = 0
    points = measure_curve(model, windows, "mine")
    assert [(p.coder, p.bits_per_s) for p in points[:3]] == [("mine", 32 * q) for q in (1, 2, 3)]
    assert [p.coder for p in points[3:]] == ["DCT"] * 3
    rows = torch.from_numpy(np.delete(windows, 3, 0))[:, None]
    with torch.inference_mode():
        decoded = model.decode(model.dequantize(model.quantize(model.encode(rows))))[..., : config.samples]
    assert points[2].prd == pytest.approx(channel_prd(rows[:, 0].numpy(), decoded[:, 0].numpy()).mean(), rel=1e-5)
    assert draw_curve(points, "curve", "svg", "us").startswith(b"<?xml")
