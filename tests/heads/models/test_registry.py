"""Each head against a plain oracle, and its stacked form against itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from heads.models.head import Head, drop
from heads.models.registry import HEADS, make_head
from heads.settings import HeadSettings

SHAPE = (8, 3, 5)  # F, C, D
SECONDS = 4
SETTINGS = {name: HeadSettings(head=name, filters=6, hidden=7, dropout=0.4) for name in HEADS}
SETTINGS["max"] = replace(SETTINGS["spatial-fusion"], pooling="max")
SETTINGS["electrodes"] = replace(SETTINGS["spatial-fusion"], pooling="max-std-electrodes")


def features(windows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(windows, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def standardised_head(name: str, seed: int) -> nn.Module:
    head = make_head(SETTINGS[name], SHAPE, SECONDS, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    head.mean.copy_(torch.randn(SHAPE[1:], generator=generator))
    head.scale.copy_(torch.rand(SHAPE[1:], generator=generator) + 0.5)
    return head


@pytest.mark.parametrize("name", ["spatial-fusion", "max", "electrodes"])
def test_spatial_fusion_is_the_convolution_over_all_electrodes(name: str) -> None:
    """nn.Conv2d with a kernel over C and D at each frame, then pooling over the frames of each second."""
    head = standardised_head(name, 3)
    x = features()
    convolution = nn.Conv2d(1, 6, kernel_size=(3, 5))
    with torch.no_grad():
        convolution.weight.copy_(head.fuse.weight.view(6, 1, 3, 5))
        convolution.bias.copy_(head.fuse.bias)
        standard = (x - head.mean) * head.scale
        fused = torch.stack([convolution(standard[:, frame, None])[..., 0, 0] for frame in range(8)], -1)
        pooled = functional.max_pool1d(functional.relu(fused), 2)  # (B, filters, S)
        if name != "max":
            deviation = torch.hypot(fused.unflatten(2, (4, 2)).std(3, correction=0), torch.tensor(0.1))
            pooled = torch.cat([torch.log(1 + pooled), torch.log(deviation)], 1)
        pooled = pooled.transpose(1, 2)
        if name == "electrodes":
            logs = torch.log(x.unflatten(1, (4, 2)).std(2, correction=0) + 0.05)  # (B, S, C, D)
            total = -head.scale.log().mean(0)  # of all training frames
            mean, maximum, spread = logs.mean(2) - total, logs.amax(2) - total, logs.std(2, correction=0)
            pooled = torch.cat([pooled, 3 * mean, 3 * maximum, 20 * spread], -1)
        hidden = functional.relu(functional.linear(pooled.flatten(1), *head.hidden.parameters()))
        wanted = functional.linear(hidden, *head.out.parameters())
        torch.testing.assert_close(head(x), wanted)


def test_linear_head_is_a_linear_map_of_mean_and_log_deviation() -> None:
    head = standardised_head("linear", 3)
    x = features()
    standard = ((x - head.mean) * head.scale).numpy().reshape(2, 4, 2, 15)
    deviation = np.log(
        np.hypot(standard.std(2), 1e-3 * head.scale.numpy().ravel())
    )  # the floor is in stored units
    pooled = np.stack([standard.mean(2), deviation], 1).reshape(2, -1)
    wanted = pooled @ head.out.weight.detach().numpy().T + head.out.bias.detach().numpy()
    np.testing.assert_allclose(head(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_spatial_fusion_on_one_frame_a_second_has_no_deviation() -> None:
    head = make_head(SETTINGS["spatial-fusion"], (4, 3, 5), 4, 0)
    assert head.hidden.in_features == 4 * 6
    plain = make_head(SETTINGS["max"], (4, 3, 5), 4, 0)
    x = torch.randn(2, 4, 3, 5)
    assert torch.equal(head(x), plain(x))
    with_electrodes = make_head(SETTINGS["electrodes"], (4, 3, 5), 4, 0)
    assert torch.equal(head(x), with_electrodes(x))


def test_linear_head_on_one_frame_a_second_has_no_deviation() -> None:
    head = make_head(SETTINGS["linear"], (4, 3, 5), 4, 0)
    assert head.out.in_features == 4 * 15
    assert torch.isfinite(head(torch.randn(2, 4, 3, 5))).all()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("training", [False, True])
def test_stacked_equals_each_head_alone(name: str, training: bool) -> None:
    heads = [standardised_head(name, seed) for seed in range(4)]
    state = {key: torch.stack([head.state_dict()[key] for head in heads]) for key in heads[0].state_dict()}
    x = features()
    uniforms = torch.rand(4, 2, heads[0].dropout_units) if training and heads[0].dropout_units else None
    alone = torch.stack([head(x, None if uniforms is None else uniforms[k]) for k, head in enumerate(heads)])
    torch.testing.assert_close(heads[0].forward_stacked(state, heads[0].precompute(x), uniforms), alone)


@pytest.mark.parametrize("name", SETTINGS)
def test_stacked_equals_vmap(name: str) -> None:
    """The general way that a head without its own stacked form takes."""
    heads = [standardised_head(name, seed) for seed in range(3)]
    state = {key: torch.stack([head.state_dict()[key] for head in heads]) for key in heads[0].state_dict()}
    x = features()
    wanted = Head.forward_stacked(heads[0], state, x, None)
    torch.testing.assert_close(heads[0].forward_stacked(state, heads[0].precompute(x), None), wanted)


@pytest.mark.parametrize("name", SETTINGS)
def test_swapping_electrodes_with_their_weights_changes_nothing(name: str) -> None:
    head = standardised_head(name, 1)
    x, order = features(), [2, 0, 1]
    before = head(x)
    head.mean.copy_(head.mean[order].clone())
    head.scale.copy_(head.scale[order].clone())
    if name != "pooled-linear":  # which knows no order of electrodes
        weight = head.out.weight if name == "linear" else head.fuse.weight
        with torch.no_grad():
            weight.copy_(weight.unflatten(1, (-1, 3, 5))[:, :, order].flatten(1))
    torch.testing.assert_close(head(x[:, :, order]), before)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_logit_of_each_second_depends_on_its_frames(name: str) -> None:
    head = standardised_head(name, 1)
    x = features().requires_grad_()
    head(x)[0, 2].backward()
    assert x.grad[0, 4:6].abs().sum() > 0
    assert x.grad[1].abs().sum() == 0


def test_seeded_weights_leave_the_global_state_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one = make_head(SETTINGS["linear"], SHAPE, SECONDS, 1)
    torch.testing.assert_close(torch.rand(3), wanted, rtol=0, atol=0)
    again, other = (make_head(SETTINGS["linear"], SHAPE, SECONDS, seed) for seed in (1, 2))
    assert torch.equal(one.out.weight, again.out.weight)
    assert not torch.equal(one.out.weight, other.out.weight)


def test_dropout_keeps_the_expectation() -> None:
    uniforms = torch.arange(1000) / 1000
    dropped = drop(torch.ones(1000), torch.tensor(0.25), uniforms)
    assert (dropped == 0).sum() == 250
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)


def test_frames_must_divide_into_seconds() -> None:
    with pytest.raises(ValueError, match="10 frames a window do not divide into 4 seconds"):
        make_head(SETTINGS["linear"], (10, 3, 5), 4, 0)
