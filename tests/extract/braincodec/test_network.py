"""The network against the published figures, and its fast form against a plain one."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from extract.braincodec.checkpoint import published_names
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec, Conv, TransposedConv
from tests.helpers.paths import DATA

GOLDEN = json.loads((DATA / "braincodec_parity.json").read_text())
TINY = BrainCodecConfig(ratios=(2, 3), n_filters=4, max_filters=6, dimension=5, quantizers=3, codebook_size=7)


def formula_model(config):
    """A model whose weights are the formulas of the parity figures."""
    model = BrainCodec(config)
    tensors = model.state_dict()
    with torch.no_grad():
        for li, (theirs, ours) in enumerate(published_names(config)):
            shape = tensors[ours].shape
            i = np.arange(tensors[ours].numel(), dtype=np.float64)
            if theirs.startswith("quantizer"):
                q = int(theirs.split(".")[2])
                values = np.sin(0.9 * i + 0.05 * (i % 13) * (i % 17) + q) * 0.5**q
                if not theirs.endswith("embed"):
                    values = np.ones_like(i)
            elif len(shape) == 1:
                values = 0.01 * np.sin(0.7 * i + li)
            else:
                fan = shape[0] * shape[2] // 2 if "convtr" in theirs else shape[1] * shape[2]
                values = np.sin(1.3 * i + 0.1 * (i % 7) * (i % 11) + li) * math.sqrt(3 / fan)
            tensors[ours].copy_(torch.from_numpy(values.astype(np.float32)).reshape(shape))
    return model


def formula_input_uv():
    """Two channels of 4 s at 512 Hz."""
    t = np.arange(2048) / 512
    first = 40 * np.sin(2 * np.pi * 10 * t) + 15 * np.sin(2 * np.pi * 3.3 * t + 1)
    second = 100 * np.sin(2 * np.pi * (2 + t) * t) * np.exp(-((t - 2) ** 2))
    return torch.from_numpy(np.stack([first, second]).astype(np.float32)[:, None])


@pytest.mark.parametrize("name", ["hop64", "hop16"])
def test_equals_the_published_network(name):
    golden = GOLDEN[name]
    model = formula_model(BrainCodecConfig(ratios=tuple(golden["ratios"])))
    with torch.inference_mode():
        latents = model.encode(formula_input_uv())
        codes = model.quantize(latents)
        reconstruction = model.decode(model.dequantize(codes))[:, 0]
    assert list(latents.shape) == golden["latent_shape"]
    scale = golden["latent_l2"] / math.sqrt(latents.numel())
    for channel, dim, frame, value in golden["latent_samples"]:
        assert latents[channel, dim, frame].item() == pytest.approx(value, rel=1e-4, abs=1e-4 * scale)
    assert latents.mean().item() == pytest.approx(golden["latent_mean"], abs=1e-4 * scale)
    assert latents.norm().item() == pytest.approx(golden["latent_l2"], rel=1e-4)
    assert list(codes.shape) == golden["codes_shape"]
    assert codes.dtype == torch.uint8
    listed = torch.tensor([*golden["codes_channel0_frames0to3"], golden["codes_channel1_last_frame"]])
    assert (torch.cat([codes[0, :4], codes[1, -1:]]) == listed).float().mean() >= 0.99
    assert codes.sum().item() == pytest.approx(golden["codes_sum"], rel=0.01)
    assert reconstruction.norm().item() == pytest.approx(golden["reconstruction_l2"], rel=1e-3)
    scale = golden["reconstruction_l2"] / math.sqrt(reconstruction.numel())
    for channel, sample, value in golden["reconstruction_samples"]:
        assert reconstruction[channel, sample].item() == pytest.approx(value, rel=1e-3, abs=1e-3 * scale)


def plain_conv(layer, x):
    """Oracle: one-dimensional convolution with its padding written out."""
    kernel, stride = layer.weight.shape[-1], getattr(layer, "stride", 1)
    right = (kernel - stride) // 2
    left, extra = kernel - stride - right, -x.shape[-1] % stride
    width = max(left, right + extra)
    short = max(0, width + 1 - x.shape[-1])
    padded = F.pad(F.pad(x, (0, short)), (left, right + extra), mode="reflect")
    return F.conv1d(padded[..., : padded.shape[-1] - short], layer.weight, layer.bias, stride=stride)


def plain_residual(block, x):
    return x + plain_conv(block.widen, F.elu(plain_conv(block.narrow, F.elu(x))))


def plain_encode(model, x):
    encoder = model.encoder
    x = plain_conv(encoder.first, x)
    for residual, down in zip(encoder.residuals, encoder.downs, strict=True):
        x = plain_conv(down, F.elu(plain_residual(residual, x)))
    return plain_conv(encoder.last, F.elu(x))


def plain_decode(model, x):
    decoder = model.decoder
    x = plain_conv(decoder.first, x)
    for up, residual in zip(decoder.ups, decoder.residuals, strict=True):
        y = F.conv_transpose1d(F.elu(x), up.weight, up.bias, stride=up.stride)
        right = up.stride // 2
        x = plain_residual(residual, y[..., up.stride - right : y.shape[-1] - right])
    return plain_conv(decoder.last, F.elu(x))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 5, 30, 31, 64])
def test_fast_form_equals_the_plain_one(samples, frozen):
    model = BrainCodec(TINY, seed=3).requires_grad_(not frozen)
    x = 20 * torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(1))
    latents = model.encode(x)
    assert latents.shape == (2, 5, math.ceil(math.ceil(samples / 2) / 3))
    torch.testing.assert_close(latents, plain_encode(model, x))
    signal = model.decode(latents)
    assert signal.shape == (2, 1, latents.shape[-1] * TINY.hop)
    torch.testing.assert_close(signal, plain_decode(model, latents))


def test_gradients_equal_those_of_the_plain_form():
    model = BrainCodec(TINY, seed=4)
    x = 20 * torch.randn(3, 1, 24, generator=torch.Generator().manual_seed(2))
    grads = []
    for encode, decode in ((BrainCodec.encode, BrainCodec.decode), (plain_encode, plain_decode)):
        model.zero_grad()
        (decode(model, encode(model, x)) - x).square().mean().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    assert all(g.abs().sum() > 0 for g in grads[0])
    torch.testing.assert_close(*grads)


def test_quantizer_equals_a_search_over_all_codes():
    model = BrainCodec(TINY)
    generator = torch.Generator().manual_seed(5)
    for q, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(std=0.5**q, generator=generator)
        codebook.trained.fill_(1)
    latents = torch.randn(2, 5, 11, generator=generator)
    codes = model.quantize(latents)
    assert codes.shape == (2, 11, 3)
    expected, total = torch.zeros(2, 11, 3), torch.zeros(2, 5, 11)
    for n in range(2):
        for f in range(11):
            rest = latents[n, :, f]
            for q, codebook in enumerate(model.quantizer.codebooks):
                best = min(range(7), key=lambda k: (rest - codebook.vectors[k]).square().sum().item())
                expected[n, f, q] = best
                total[n, :, f] += codebook.vectors[best]
                rest = rest - codebook.vectors[best]
    assert torch.equal(codes, expected.to(torch.uint8))
    torch.testing.assert_close(model.dequantize(codes), total)


def test_untrained_quantizer_is_refused():
    model = BrainCodec(TINY)
    with pytest.raises(ValueError, match="never trained"):
        model.quantize(torch.zeros(1, 5, 4))
    with pytest.raises(ValueError, match="never trained"):
        model.dequantize(torch.zeros(1, 4, 3, dtype=torch.uint8))


def test_seed_decides_the_weights_and_leaves_the_global_state():
    state = torch.get_rng_state()
    first, second, other = (BrainCodec(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["encoder.first.weight"], other["encoder.first.weight"])


@pytest.mark.parametrize("layer", [Conv(6, 8, 4, 2), TransposedConv(6, 8, 2)])
def test_layers_keep_windows_apart(layer):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    x = torch.randn(3, 6, 1, 10, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(layer.after_elu(x)[1:2], layer.after_elu(x[1:2]))


def test_bfloat16_encoder_stays_close():
    model = BrainCodec(BrainCodecConfig())
    with torch.inference_mode():
        exact = model.encode(formula_input_uv())
        model.encoder.bfloat16()
        rough = model.encode(formula_input_uv())
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).norm() / exact.norm() < 0.05
