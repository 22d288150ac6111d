"""Filters over frames, compiled and in torch operations, against plain sums and autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import heads.ops.blocks
from heads.ops import avx512_impl
from heads.ops.blocks import WorkBlock, partition_windows
from heads.ops.spatial_filters import filter_max, filter_max_and_variance

SECONDS = 4
Filter = Callable[..., Any]


@pytest.fixture(params=["compiled", "torch"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which form computes."""
    if request.param == "torch":
        monkeypatch.setattr(avx512_impl, "COMPILED", False)
    elif not avx512_impl.can_run(torch.zeros(1, 2, 2)):
        pytest.skip("needs AVX-512 and a C compiler")
    monkeypatch.setattr(heads.ops.blocks, "_MOST_WINDOWS", 3)  # more than one block, the last is smaller
    return str(request.param)


def arrays(frames: int, windows: int = 7, trials: int = 3, filters: int = 2, inner: int = 6) -> tuple[Tensor, ...]:
    """Features ``(B, F, P)``, weights ``(K, N, P)`` that want a gradient, mean and scale ``(K, P)``."""
    generator = torch.Generator().manual_seed(frames)
    features = torch.randn(windows, frames, inner, generator=generator)
    weight = torch.randn(trials, filters, inner, generator=generator).requires_grad_()
    mean, scale = torch.rand(2, trials, inner, generator=generator)
    return features, weight, mean, 0.5 + scale


def plainly(
    filters_of: Filter, features: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, seconds: int
) -> Tensor:
    """What `filters_of` gives, in float64, ``(1 or 2, K, B, S, N)``; weights are rounded as it rounds them."""
    scaled = weight.double() * scale.double()[:, None]
    scaled = scaled + ((weight * scale[:, None]).to(features.dtype).double() - scaled).detach()
    shift = (scaled * mean.double()[:, None]).sum(2)[:, None, :, None]
    responses = torch.einsum("bfp,knp->kbnf", features.double(), scaled) - shift
    responses = responses.unflatten(3, (seconds, -1)).transpose(2, 3)
    largest = responses.amax(4)
    return torch.stack([largest] if filters_of is filter_max else [largest, responses.var(4, correction=0)])


def stacked(values: Tensor | tuple[Tensor, ...]) -> Tensor:
    return torch.stack(values) if isinstance(values, tuple) else values[None]


def gradient(values: Tensor, weight: Tensor) -> Tensor:
    """Of a sum that weighs each value differently."""
    direction = torch.randn(values.shape, generator=torch.Generator().manual_seed(0)).to(values.dtype)
    return torch.autograd.grad((values * direction).sum(), weight)[0]


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("frames", [4, 8, 12, 44])
def test_values_and_gradients_are_those_of_autograd(form: str, filters_of: Filter, frames: int) -> None:
    given = arrays(frames)
    found, wanted = stacked(filters_of(*given, SECONDS)), plainly(filters_of, *given, SECONDS)
    torch.testing.assert_close(found, wanted.float())
    torch.testing.assert_close(gradient(found, given[1]), gradient(wanted, given[1]))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_compiled(filters_of: Filter, dtype: torch.dtype, data: st.DataObject) -> None:
    """Heads hold out some of the windows, so blocks differ in their filters."""
    if not avx512_impl.can_run(torch.zeros(1, 2, 2, dtype=dtype)):
        pytest.skip("needs AVX-512, here with bfloat16 and no AMX, and a C compiler")
    seconds, windows, trials, filters = (data.draw(st.integers(1, most)) for most in (4, 40, 4, 40))
    any_or_even = (
        st.integers if dtype == torch.float32 else lambda least, most: st.integers(1, most // 2).map((2).__mul__)
    )
    length, inner = data.draw(any_or_even(2, 18)), data.draw(any_or_even(1, 90))
    given = arrays(seconds * length, windows, trials, filters, inner)
    features = given[0].to(dtype)
    counts = torch.rand(trials, windows, generator=torch.Generator().manual_seed(windows)) < 0.7
    counts[:, : windows // 2] = counts[:, :1]
    blocks = partition_windows(counts.numpy())
    inside = torch.zeros(trials, windows, 1, 1)
    for block_windows, block_trials in blocks:
        inside[block_trials, block_windows] = 1
    found = stacked(filters_of(features, *given[1:], seconds, blocks or None)) * inside
    wanted = plainly(filters_of, features, *given[1:], seconds) * inside
    torch.testing.assert_close(found, wanted.float(), rtol=1e-3, atol=1e-3)
    of_weight = [gradient(values, given[1]) for values in (found, wanted)]
    error = float((of_weight[0] - of_weight[1]).norm() / of_weight[1].norm().clamp(min=1e-6))
    assert error < (1e-4 if dtype == torch.float32 else 0.02)


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_only_the_blocks_are_computed(form: str, filters_of: Filter) -> None:
    """What is in no block may be anything, it is seen in no value and no gradient."""
    features, weight, *rest = arrays(12)
    blocks = [
        WorkBlock(slice(0, 2), slice(0, 3)),
        WorkBlock(slice(2, 5), slice(1, 2)),
        WorkBlock(slice(6, 7), slice(1, 3)),
    ]
    inside = torch.zeros(3, 7, 1, 1)
    for windows, trials in blocks:
        inside[trials, windows] = 1
    wanted = stacked(filters_of(features, weight, *rest, SECONDS)) * inside
    spoilt = features.clone()
    spoilt[5] = torch.nan
    found = stacked(filters_of(spoilt, weight, *rest, SECONDS, blocks)) * inside
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradient(found, weight), gradient(wanted, weight))


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_features_may_lie_apart_in_memory(form: str, filters_of: Filter) -> None:
    features, weight, *rest = arrays(12)
    apart = features.repeat_interleave(2, 1)[:, ::2]
    assert not apart.is_contiguous()
    values = [stacked(filters_of(x, weight, *rest, SECONDS)) for x in (apart, features)]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(gradient(own, weight) for own in values))


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_windows_without_a_gradient_change_nothing(form: str, filters_of: Filter, dtype: torch.dtype) -> None:
    """Bit for bit, though a block holds them: so do folds that hold such windows out."""
    features, weight, *rest = arrays(12, windows=8)
    features = features.to(dtype)
    counts = (torch.arange(8) % 3 > 0).float()[:, None, None]
    noise = torch.where(counts > 0, features, 100 * features.flip(0) + 7)
    found = [gradient(stacked(filters_of(x, weight, *rest, SECONDS)) * counts, weight) for x in (features, noise)]
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert found[0].abs().min() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_weights_may_lie_apart_in_memory(form: str, filters_of: Filter, dtype: torch.dtype) -> None:
    """32 filters, which fill their memory."""
    features, weight, *rest = arrays(12, trials=1, filters=32)
    apart = weight.detach().mT.contiguous().mT
    assert not apart.is_contiguous()
    values = [stacked(filters_of(features.to(dtype), x, *rest, SECONDS)) for x in (weight, apart)]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_of_equal_frames_one_has_the_gradient(form: str, filters_of: Filter) -> None:
    """On small whole numbers, exact in bfloat16. The response is linear: its gradient times the weights is it."""
    features, weight, mean, scale = arrays(44)
    features, weight = features.mul(2).round().bfloat16(), weight.detach().mul(2).round().requires_grad_()
    given = features, weight, torch.zeros_like(mean), torch.ones_like(scale)
    largest = stacked(filters_of(*given, SECONDS))[0]
    torch.testing.assert_close(largest, plainly(filters_of, *given, SECONDS)[0].float(), rtol=0, atol=0)
    (of_weight,) = torch.autograd.grad(largest.sum(), weight)
    torch.testing.assert_close((of_weight * weight).sum((1, 2)), largest.sum((1, 2, 3)), rtol=1e-2, atol=1)


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_so(form: str, filters_of: Filter, value: float) -> None:
    features, weight, *rest = arrays(12)
    with torch.no_grad():
        weight[1] = value
    found = stacked(filters_of(features, weight, *rest, SECONDS))
    (of_weight,) = torch.autograd.grad(found.sum(), weight)
    assert not found[:, 1].isfinite().any()
    assert found[:, [0, 2]].isfinite().all()
    assert of_weight[[0, 2]].isfinite().all()


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("frame", [0, 4])
def test_a_frame_that_is_no_number_spoils_its_second_alone(form: str, filters_of: Filter, frame: int) -> None:
    given = arrays(12)
    given[0][2, frame, 1] = torch.nan
    bad = stacked(filters_of(*given, SECONDS)).isnan()
    assert bad[:, :, 2, frame // 3].all()
    assert int(bad.sum()) == bad[:, :, 2, frame // 3].numel()


def test_an_infinite_response_beside_others(form: str) -> None:
    """Below all others it is never chosen, above them always."""
    frames = torch.tensor([[[1.0, 0.0], [-torch.inf, 0.0], [5.0, 1.0], [2.0, 3.0]]])
    weight = torch.tensor([[[1.5, 0.5]]]).requires_grad_()
    rest = torch.zeros(1, 2), torch.ones(1, 2), 1
    (of_weight,) = torch.autograd.grad(filter_max(frames, weight, *rest).sum(), weight)
    assert of_weight.flatten().tolist() == [5, 1]
    (of_weight,) = torch.autograd.grad(filter_max(frames.abs(), weight, *rest).sum(), weight)
    assert of_weight.flatten().tolist() == [torch.inf, 0]


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_frames_that_do_not_divide_into_seconds_are_refused(form: str, filters_of: Filter) -> None:
    with pytest.raises(ValueError, match="13 frames a window do not divide into 4 seconds"):
        filters_of(*arrays(13), SECONDS)


@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_weights_and_blocks_of_other_features_are_refused(form: str, filters_of: Filter) -> None:
    """The compiled form would read, or write, beyond the end of an array."""
    features, weight, *rest = arrays(12)
    with pytest.raises(ValueError, match="weights are for 6 features of a frame, which has 5"):
        filters_of(features[..., :5], weight, *rest, SECONDS)
    for block in (WorkBlock(slice(6, 8), slice(0, 3)), WorkBlock(slice(0, 7), slice(3, 4))):
        with pytest.raises(ValueError, match=r"a block ends at window and head \(\d, \d\), of \(7, 3\)"):
            filters_of(features, weight, *rest, SECONDS, [block])


def test_python_and_c_agree_on_their_common_memory() -> None:
    """What was compiled is not older than the source."""
    compiled = pytest.importorskip("heads.ops._kernel", reason="needs a C compiler")
    assert 8 * len(avx512_impl._WORK) == compiled.WORK_BYTES
    assert compiled.VERSION == avx512_impl._VERSION


def test_a_kernel_of_an_older_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avx512_impl, "_VERSION", 3)
    avx512_impl._load_kernel.cache_clear()
    pytest.importorskip("heads.ops._kernel", reason="needs a C compiler")
    with pytest.raises(ImportError, match="install the package again"):
        avx512_impl._load_kernel()


def test_what_the_compiled_form_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"float32"}
    monkeypatch.setattr(avx512_impl, "COMPILED", True)
    monkeypatch.setattr(avx512_impl, "can_use_avx512_kernels", lambda precision: precision in able)
    features = torch.zeros(1, 8, 6)
    assert avx512_impl.can_run(features)
    assert not avx512_impl.can_run(features.double())
    assert not avx512_impl.can_run(features.to("meta"))
    assert not avx512_impl.can_run(features.bfloat16())
    able.add("bfloat16")
    assert avx512_impl.can_run(features.bfloat16())
    assert not avx512_impl.can_run(features[:, 1:].bfloat16())
    assert not avx512_impl.can_run(features[..., 1:].bfloat16())
    monkeypatch.setattr(avx512_impl, "COMPILED", False)
    assert not avx512_impl.can_run(features)
