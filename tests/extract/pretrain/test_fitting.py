"""Codebooks fitted to latents that stay: each part against a plain form, and the whole by the error it leaves."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Generator

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.braincodec.quantizer import ResidualQuantizer
from extract.pretrain import fitting
from extract.pretrain.fitting import RIDGE, error_metric, fit_codebooks, fit_codes, power
from extract.pretrain.folding import map_latents
from extract.pretrain.quantizer import rows_of, start_codebooks

CONFIG = BrainCodecConfig(
    ratios=(4, 4),
    n_filters=4,
    max_filters=8,
    dimension=5,
    quantizers=3,
    codebook_size=8,
    sample_rate_hz=64,
    beam=4,
)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def make_quantizer(rows, config=CONFIG):
    quantizer = ResidualQuantizer(config)
    start_codebooks(quantizer, rows.T[None], Generator().manual_seed(2))
    return quantizer


def weighted_error(quantizer, rows, weights, stages):
    codes = quantizer.search(rows, stages)
    total = sum(book.vectors[code] for book, code in zip(quantizer.codebooks, codes.unbind(1), strict=False))
    return float((weights * (rows - total).square().sum(1)).sum())


def test_a_round_is_the_weighted_least_squares_of_all_prefixes():
    rows, weights, shares = noise(300, 5), noise(300, seed=3).exp(), (0.5, 0.0, 2.0)
    quantizer = make_quantizer(rows)
    before = torch.cat([book.vectors for book in quantizer.codebooks]).numpy().astype(np.float64)
    prefixes = quantizer.search_prefixes(rows)
    fit_codebooks(quantizer, rows, weights, shares, rounds=1)
    scale = np.sqrt((weights / weights.mean()).numpy().astype(np.float64))
    blocks, targets = [], []
    for share, codes in zip(shares, prefixes, strict=True):
        one_hot = np.zeros((300, 24))
        for stage, code in enumerate(codes.numpy().T):
            one_hot[np.arange(300), 8 * stage + code] = 1
        blocks.append(np.sqrt(share) * scale[:, None] * one_hot)
        targets.append(np.sqrt(share) * scale[:, None] * rows.numpy())
    design = np.concatenate(blocks)
    pull = np.sqrt(RIDGE * (design**2).sum(0).mean())
    wanted, *_ = np.linalg.lstsq(
        np.concatenate([design, pull * np.eye(24)]), np.concatenate([*targets, pull * before]), rcond=None
    )
    actual = torch.cat([book.vectors for book in quantizer.codebooks]).numpy()
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)


def test_stages_that_know_of_each_other_leave_less():
    rows, weights = noise(4000, 5), noise(4000, seed=3).exp()
    quantizer = make_quantizer(rows)
    errors = [weighted_error(quantizer, rows, weights, 3)]
    for _ in range(4):
        fit_codebooks(quantizer, rows, weights, (0.0, 0.0, 1.0), rounds=2)
        errors.append(weighted_error(quantizer, rows, weights, 3))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.93 * errors[0]


def test_each_round_is_said(capsys):
    rows = noise(40, 5)
    fit_codebooks(make_quantizer(rows), rows, torch.ones(40), (1.0, 1.0, 1.0), rounds=2)
    assert capsys.readouterr().out.splitlines() == [f"fitting codebooks, round {n} of 2" for n in (1, 2)]


def test_shares_say_which_prefixes_the_codebooks_serve():
    rows, weights = noise(2000, 5), torch.ones(2000)
    first, last = make_quantizer(rows), make_quantizer(rows)
    fit_codebooks(first, rows, weights, (0.9, 0.05, 0.05))
    fit_codebooks(last, rows, weights, (0.01, 0.01, 0.98))
    assert weighted_error(first, rows, weights, 1) < weighted_error(last, rows, weights, 1)
    assert weighted_error(first, rows, weights, 3) > weighted_error(last, rows, weights, 3)


def test_codes_in_use_by_no_row_stay():
    rows = noise(40, 5)
    quantizer = make_quantizer(rows)
    quantizer.codebooks[0].vectors[3] = 1e3
    fit_codebooks(quantizer, rows, torch.ones(40), (1.0, 1.0, 1.0))
    assert quantizer.codebooks[0].vectors[3].tolist() == pytest.approx([1e3] * 5)
    assert all(book.vectors.isfinite().all() for book in quantizer.codebooks)


def test_the_metric_is_that_of_the_decoders_derivative():
    model = BrainCodec(CONFIG)
    latents, weights = noise(3, 5, 16), torch.tensor([1.0, 4.0, 0.5])
    wanted = torch.zeros(5, 5)
    for window, weight in zip(latents, weights, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda z: model.decoder(z[None])[0, 0], window)
        wanted += weight * torch.einsum("sdf,sef->de", jacobian, jacobian)
    wanted *= 5 / wanted.trace()
    generator = Generator().manual_seed(4)
    actual = sum(error_metric(model, latents, weights, generator) for _ in range(200)) / 200
    assert float((actual - wanted).norm() / wanted.norm()) < 0.05
    assert float(actual.trace()) == pytest.approx(5, rel=1e-4)


def test_a_map_of_latents_changes_no_signal():
    model = BrainCodec(CONFIG)
    signal = 40 * noise(6, 1, 256)
    rows = rows_of(model.encode(signal)).detach()
    start_codebooks(model.quantizer, rows.T[None], Generator().manual_seed(2))
    before, plain = model.encode(signal), model.decode(model.encode(signal))
    vectors = model.quantizer.codebooks[1].vectors.clone()
    matrix = torch.eye(5) + 0.3 * noise(5, 5)
    map_latents(model, matrix)
    torch.testing.assert_close(model.encode(signal), torch.einsum("de,nef->ndf", matrix, before))
    torch.testing.assert_close(model.decode(model.encode(signal)), plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.quantizer.codebooks[1].vectors, vectors @ matrix.T)


def test_small_eigenvalues_are_bounded():
    matrix = torch.diag(torch.tensor([1e-9, 1.0, 100.0]))
    torch.testing.assert_close(power(matrix, 1.0), torch.diag(torch.tensor([0.1, 1.0, 100.0])))


def make_model(windows):
    """A network with 16 codes a stage, started on the windows."""
    model = BrainCodec(dataclasses.replace(CONFIG, codebook_size=16)).requires_grad_(False)
    start_codebooks(model.quantizer, model.encode(windows), Generator().manual_seed(2))
    return model


def fit(model, windows):
    fit_codes(model, windows, (0.0, 0.0, 1.0), Generator().manual_seed(3))
    return torch.cat([book.vectors for book in model.quantizer.codebooks])


def decoded_error(model, windows):
    """What the quantizer changes in the decoded signals."""
    latents = model.encode(windows)
    return float((model.decode(latents) - model.decode(model.dequantize(model.quantize(latents)))).norm())


def test_fitted_codes_decode_to_less_error():
    windows = noise(200, 1, 256).cumsum(2)
    model = make_model(windows)
    plain, before = model.decode(model.encode(windows)), decoded_error(model, windows)
    fit(model, windows)
    torch.testing.assert_close(model.decode(model.encode(windows)), plain, rtol=1e-3, atol=1e-3)
    assert decoded_error(model, windows) < 0.95 * before


def test_the_map_serves_what_the_decoder_listens_to(monkeypatch):
    windows = noise(200, 1, 256).cumsum(2)

    def left(share):
        monkeypatch.setattr(fitting, "SHARE", share)
        model = make_model(windows)
        model.decoder.first.weight.mul_(torch.tensor([8.0, 1.0, 1.0, 1.0, 0.1])[:, None])
        fit(model, windows)
        return decoded_error(model, windows)

    assert left(0.5) < 0.9 * left(0.0)


def test_windows_of_channels_that_are_off_do_not_rule():
    windows = noise(200, 1, 256).cumsum(2)
    nearly_silent, silent = 1e-6 * noise(100, 1, 256, seed=5), torch.zeros(3, 1, 256)

    def left(trained_on):
        model = make_model(windows)
        fit(model, trained_on)
        return decoded_error(model, windows)

    assert left(torch.cat([windows, silent])) == pytest.approx(left(windows))
    assert left(torch.cat([windows, nearly_silent])) == pytest.approx(left(windows), rel=0.02)


def test_a_window_that_is_coded_exactly_does_not_rule():
    windows = noise(200, 1, 256).cumsum(2)
    model = make_model(windows)
    first, *others = model.quantizer.codebooks
    first.vectors.copy_(rows_of(model.encode(windows[:1])))
    for book in others:
        book.vectors[0] = 0
    vectors = fit(model, windows)
    assert vectors.isfinite().all()
    rows = rows_of(model.encode(windows))
    codes = model.quantizer.search(rows)
    total = sum(book.vectors[code] for book, code in zip(model.quantizer.codebooks, codes.unbind(1), strict=True))
    assert float((rows - total).norm() / rows.norm()) < 0.3
