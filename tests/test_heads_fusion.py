"""Pooling over frames by blocks of windows against autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import heads.pieces
from heads.fusion import fuse_and_pool, fuse_and_vary

SECONDS = 4


def arrays(frames: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Features ``(B, F, P)`` and weights ``(K, N, P)``."""
    generator = torch.Generator().manual_seed(frames)
    features = torch.randn(7, frames, 5, generator=generator)
    return features.to(dtype), torch.randn(3, 2, 5, generator=generator).to(dtype)


def plainly(features: Tensor, weight: Tensor) -> Tensor:
    responses = torch.einsum("bfp,knp->kbfn", features, weight)
    return responses.unflatten(2, (SECONDS, -1)).max(3).values


@pytest.mark.parametrize("frames", [4, 8, 12, 44])
def test_values_and_gradients_are_those_of_autograd(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    monkeypatch.setattr(heads.pieces, "_MOST_WINDOWS", 3)  # the last piece is smaller
    features, weight = arrays(frames)
    direction = torch.randn(3, 7, SECONDS, 2, generator=torch.Generator().manual_seed(0))
    weight.requires_grad_()
    found, wanted = fuse_and_pool(features, weight, SECONDS), plainly(features, weight)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad((values * direction).sum(), weight) for values in (found, wanted)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("frames", [8, 12, 44])
def test_maximum_and_variance_and_their_gradients_are_those_of_autograd(
    monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    monkeypatch.setattr(heads.pieces, "_MOST_WINDOWS", 3)
    features, weight = arrays(frames)
    directions = torch.randn(2, 3, 7, SECONDS, 2, generator=torch.Generator().manual_seed(0))
    weight.requires_grad_()
    responses = torch.einsum("bfp,knp->kbfn", features, weight).unflatten(2, (SECONDS, -1))
    wanted = torch.stack([responses.amax(3), responses.var(3, correction=0)])
    found = torch.stack(fuse_and_vary(features, weight, SECONDS))
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad((values * directions).sum(), weight)[0] for values in (found, wanted)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("fuse", [fuse_and_pool, fuse_and_vary])
def test_only_the_pieces_are_computed(fuse: Callable[..., Any]) -> None:
    """What is in no piece may be anything, it is seen in no value and no gradient."""
    features, weight = arrays(12)
    pieces = [(slice(0, 2), slice(0, 3)), (slice(2, 5), slice(1, 2)), (slice(6, 7), slice(1, 3))]
    inside = torch.zeros(3, 7, 1, 1)
    for windows, slots in pieces:
        inside[slots, windows] = 1
    weight.requires_grad_()
    wanted = [x * inside for x in as_tuple(fuse(features, weight, SECONDS))]
    spoilt = features.clone()
    spoilt[5] = torch.nan
    found = as_tuple(fuse(spoilt, weight, SECONDS, pieces))
    torch.testing.assert_close(found, tuple(wanted))
    gradients = [torch.autograd.grad(sum((x * inside).sin().sum() for x in v), weight) for v in (found, wanted)]
    torch.testing.assert_close(*gradients)


def as_tuple(values: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return values if isinstance(values, tuple) else (values,)


def test_frames_that_share_the_maximum_share_its_gradient() -> None:
    """As autograd has it; whole numbers, exact in bfloat16, among them many equal ones."""
    features, weight = (values.mul(2).round().bfloat16() for values in arrays(44))
    weight.requires_grad_()
    largest, _ = fuse_and_vary(features, weight, SECONDS)
    exact = weight.detach().float().requires_grad_()
    responses = torch.einsum("bfp,knp->kbfn", features.float(), exact).unflatten(2, (SECONDS, -1))
    torch.testing.assert_close(largest, responses.amax(3), rtol=0, atol=0)
    (found,), (wanted,) = (
        torch.autograd.grad(values.sum(), leaf) for values, leaf in ((largest, weight), (responses.amax(3), exact))
    )
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=0.1)


def test_of_equal_frames_one_has_the_gradient() -> None:
    """On small whole numbers, exact in bfloat16. The response is linear: its gradient times the weights is it."""
    features, weight = (values.mul(2).round().bfloat16() for values in arrays(12))
    weight.requires_grad_()
    values = fuse_and_pool(features, weight, SECONDS)
    torch.testing.assert_close(values, plainly(features.float(), weight.float()), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(values.sum(), weight)
    torch.testing.assert_close((gradient * weight).sum((1, 2)).float(), values.sum((1, 2, 3)), rtol=1e-2, atol=1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_so(value: float) -> None:
    features, weight = arrays(12)
    weight[1] = value
    weight.requires_grad_()
    values = fuse_and_pool(features, weight, SECONDS)
    (gradient,) = torch.autograd.grad(values.sum(), weight)
    assert not values[1].isfinite().any()
    assert values[[0, 2]].isfinite().all()
    assert gradient[[0, 2]].isfinite().all()
