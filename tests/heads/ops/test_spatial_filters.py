"""Filters over frames, compiled and in torch operations, against plain sums and autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import heads.ops.blocks
from heads.ops import amx_impl, avx512_impl, kernel, spatial_filters, torch_impl
from heads.ops.blocks import WorkBlock, partition_windows
from heads.ops.spatial_filters import filter_max, filter_max_and_variance
from store.runtime import device

SECONDS = 4
Filter = Callable[..., Any]


@pytest.fixture(params=["compiled", "torch"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which form computes."""
    if request.param == "torch":
        monkeypatch.setattr(kernel, "COMPILED", False)
    elif not avx512_impl.can_run(torch.zeros(1, 2, 2)):
        pytest.skip("needs AVX-512 and a C compiler")
    monkeypatch.setattr(heads.ops.blocks, "_MOST_WINDOWS", 3)  # more than one block, the last is smaller
    return str(request.param)


def can_compile_for(dtype: torch.dtype) -> bool:
    """Whether the processor has what the compiled forms use, though torch may have more."""
    wanted = {torch.float32: set(), torch.bfloat16: {"avx512_bf16"}}[dtype]
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return kernel.COMPILED and has_avx512 and wanted <= device._instructions()


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


def draw_any_shape(data: st.DataObject, even: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, int, list[WorkBlock]]:
    """Arrays, seconds and blocks of any size; heads hold out some of the windows, so blocks differ in filters."""
    seconds, windows, trials, filters = (data.draw(st.integers(1, most)) for most in (4, 40, 4, 40))
    any_or_even = (lambda least, most: st.integers(1, most // 2).map((2).__mul__)) if even else st.integers
    length, inner = data.draw(any_or_even(2, 18)), data.draw(any_or_even(1, 90))
    counts = torch.rand(trials, windows, generator=torch.Generator().manual_seed(windows)) < 0.7
    counts[:, : windows // 2] = counts[:, :1]
    blocks = partition_windows(counts.numpy())
    return *arrays(seconds * length, windows, trials, filters, inner), seconds, blocks


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-6))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_compiled(filters_of: Filter, dtype: torch.dtype, data: st.DataObject) -> None:
    """The form for AVX-512, also where another is faster."""
    if not can_compile_for(dtype):
        pytest.skip("needs AVX-512, here with bfloat16, and a C compiler")
    features, *rest, seconds, blocks = draw_any_shape(data, even=dtype == torch.bfloat16)
    given = features.to(dtype), *rest
    inside = torch.zeros(len(given[1]), len(features), 1, 1)
    for block_windows, block_trials in blocks:
        inside[block_trials, block_windows] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spatial_filters, "_choose_implementation", lambda features: avx512_impl)
        found = stacked(filters_of(*given, seconds, blocks or None)) * inside
        of_weight = gradient(found, given[1])
    wanted = plainly(filters_of, *given, seconds) * inside
    torch.testing.assert_close(found, wanted.float(), rtol=1e-3, atol=1e-3)
    error = relative_error(of_weight, gradient(wanted, given[1]))
    assert error < (1e-4 if dtype == torch.float32 else 0.02)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
def test_any_shape_multiplied_by_torch_and_pooled_in_c(data: st.DataObject) -> None:
    """The form for AMX is the form in torch operations with the same products, on any processor."""
    if not can_compile_for(torch.bfloat16):
        pytest.skip("needs AVX-512 with bfloat16 and a C compiler")
    features, weight, _, _, seconds, blocks = draw_any_shape(data, even=True)
    blocks = blocks or [WorkBlock(slice(0, len(features)), slice(0, len(weight)))]
    features, weight = features.bfloat16(), weight.detach().bfloat16()
    generator = torch.Generator().manual_seed(0)
    grads = torch.randn(2, len(weight), len(features), seconds, weight.shape[1], generator=generator)
    frames, of_max, of_both, gradients = [], [], [], []
    for form in (amx_impl, torch_impl):
        for save in (False, True):
            maximum, max_frame = form.response_max(features, weight, seconds, blocks, save)
            *both, saved = form.response_max_and_variance(features, weight, seconds, blocks, save)
            of_max.append(maximum)
            of_both.append(both)
        assert torch.equal(saved[0], max_frame)
        frames.append(max_frame)
        saved[0] = frames[0]  # of equal frames the forms choose others
        gradient_of_max = form.weight_grad_max(features, frames[0], grads[0], blocks)
        gradients.append((gradient_of_max, form.weight_grad_max_and_variance(features, saved, *grads, blocks)))
    for maximum, (same, variance) in zip(of_max, of_both, strict=True):
        torch.testing.assert_close([maximum, same], [of_max[-1]] * 2, rtol=0, atol=0)
        torch.testing.assert_close(variance, of_both[-1][1], rtol=1e-4, atol=1e-5)
    responses = torch.einsum("bfp,knp->kbfn", features.float(), weight.float()).flatten(1, 2)
    for windows, trials in blocks:
        at_frame = responses.gather(1, frames[0].flatten(1, 2).long()).view_as(of_max[0])[trials, windows]
        torch.testing.assert_close(at_frame, of_max[0][trials, windows], rtol=0.01, atol=0.01)
    assert max(relative_error(found, wanted) for found, wanted in zip(*gradients, strict=True)) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("filters_of", [filter_max, filter_max_and_variance])
def test_only_the_blocks_are_computed(form: str, filters_of: Filter, dtype: torch.dtype) -> None:
    """What is in no block may be anything, it is seen in no value and no gradient."""
    features, weight, *rest = arrays(12)
    features = features.to(dtype)
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
    rounding = {} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.05}
    torch.testing.assert_close(found, wanted, **rounding)
    torch.testing.assert_close(gradient(found, weight), gradient(wanted, weight), **rounding)


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
    assert 8 * len(kernel._WORK) == compiled.WORK_BYTES
    assert compiled.VERSION == kernel._VERSION


def test_a_kernel_of_an_older_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_VERSION", kernel._VERSION + 1)
    kernel.load_kernel.cache_clear()
    pytest.importorskip("heads.ops._kernel", reason="needs a C compiler")
    with pytest.raises(ImportError, match="install the package again"):
        kernel.load_kernel()


def test_what_the_compiled_forms_take(monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"float32"}
    monkeypatch.setattr(kernel, "COMPILED", True)
    monkeypatch.setattr(avx512_impl, "can_use_avx512_kernels", lambda precision: precision in able)
    monkeypatch.setattr(amx_impl, "has_amx", lambda: "amx" in able)
    features = torch.zeros(1, 8, 6)

    def form(features: Tensor) -> object:
        return spatial_filters._choose_implementation(features)

    assert form(features) is avx512_impl
    assert form(features.double()) is torch_impl
    assert form(features.to("meta")) is torch_impl
    assert form(features.bfloat16()) is torch_impl
    able.add("bfloat16")
    assert form(features.bfloat16()) is avx512_impl
    assert form(features[:, 1:].bfloat16()) is torch_impl
    assert form(features[..., 1:].bfloat16()) is torch_impl
    able.add("amx")
    assert form(features.bfloat16()) is amx_impl
    assert form(features[..., 1:].bfloat16()) is amx_impl
    assert form(features[:, 1:].bfloat16()) is torch_impl
    assert form(features) is avx512_impl
    monkeypatch.setattr(kernel, "COMPILED", False)
    assert form(features) is torch_impl
    assert form(features.bfloat16()) is torch_impl
