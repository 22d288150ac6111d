"""Muon moves convolutions' weights as matrices, AdamW all else."""

import math

import pytest
import torch

from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.pretrain.optimizers import Optimizers
from store.runtime.errors import UserError

CONFIG = BrainCodecConfig(ratios=(2, 2), n_filters=4, max_filters=8, dimension=6, sample_rate_hz=32)


def make():
    model = BrainCodec(CONFIG)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return model, Optimizers(model, weight_decay=0.0)


def test_a_step_of_muon_is_the_nearest_orthogonal_matrix_of_the_gradient():
    model, optimizers = make()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizers.step(0.1, 0.01)
    weight = model.encoder.last.weight  # (6, 8, 3)
    step = (before["encoder.last.weight"] - weight.detach()).flatten(1) / 0.1
    u, _, vt = torch.linalg.svd(weight.grad.flatten(1), full_matrices=False)
    assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ vt).flatten(), dim=0) > 0.97
    values = torch.linalg.svdvals(step)
    assert values.min() > 0.5
    assert values.max() < 1.4
    tall = model.encoder.residuals[1].widen.weight  # (8, 4, 1)
    step = (before["encoder.residuals.1.widen.weight"] - tall.detach()).flatten(1) / 0.1
    assert torch.linalg.svdvals(step).max() == pytest.approx(math.sqrt(2), rel=0.4)


def test_a_first_step_of_adamw_is_the_sign_of_the_gradient():
    model, optimizers = make()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizers.step(0.1, 0.01)
    for name in ("encoder.first.weight", "encoder.first.bias", "decoder.ups.0.bias"):
        parameter = model.get_parameter(name)
        torch.testing.assert_close(
            before[name] - parameter.detach(), 0.01 * parameter.grad.sign(), rtol=1e-3, atol=0
        )


def test_a_weight_without_gradient_stays():
    model, optimizers = make()
    model.encoder.last.weight.grad = None
    before = model.encoder.last.weight.detach().clone()
    optimizers.step(0.1, 0.01)
    assert torch.equal(model.encoder.last.weight, before)


def test_an_older_torch_is_refused(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UserError, match=r"pretraining needs torch 2.9 or later, .*this is 2"):
        Optimizers(BrainCodec(CONFIG), weight_decay=0.0)
