"""The pass between convolutions, compiled and not, does what the plain torch operations do."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.braincodec import elu as activation
from extract.braincodec.elu import padded_elu, reflect

needs_compiled = pytest.mark.skipif(not activation.COMPILED, reason="installed without a C compiler")


def plain(x, added, left, right):
    return reflect(F.elu(x + added), left, right)


@pytest.fixture(params=[pytest.param(True, marks=needs_compiled, id="compiled"), pytest.param(False, id="torch")])
def way(request):
    """Both ways to compute it; the second is that of GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation, "COMPILED", request.param)
        yield


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 3), st.integers(1, 19), st.integers(4, 21), st.integers(0, 3), st.integers(0, 3), st.booleans()
)
def test_equals_the_plain_form(way, rows, width, length, left, right, channels_last):
    x, added = 5 * torch.randn(2, rows, width, 1, length, generator=torch.Generator().manual_seed(length))
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    actual = padded_elu(x, added, left, right)
    torch.testing.assert_close(actual, plain(x, added, left, right), rtol=1e-6, atol=2e-7)
    torch.testing.assert_close(padded_elu(x, None, left, right), plain(x, 0, left, right), rtol=1e-6, atol=2e-7)
    rough = padded_elu(x.bfloat16(), added.bfloat16(), left, right)
    assert rough.dtype == torch.bfloat16
    exact = plain(x.bfloat16().float(), added.bfloat16().float(), left, right)
    torch.testing.assert_close(rough.float(), exact, rtol=2**-8, atol=2**-8)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3), st.integers(1, 9), st.integers(4, 21), st.integers(0, 3), st.integers(0, 3))
def test_gradients_equal_those_of_the_plain_form(way, rows, width, length, left, right):
    generator = torch.Generator().manual_seed(length)
    x, added = 5 * torch.randn(2, rows, width, 1, length, generator=generator)
    upstream = torch.randn(rows, width, 1, left + length + right, generator=generator)
    for given_added in (None, added):
        found, expected = [], []
        for function, gradients in ((padded_elu, found), (plain, expected)):
            inputs = [x.clone().requires_grad_()]
            inputs += [given_added.clone().requires_grad_()] if given_added is not None else []
            other = inputs[1] if given_added is not None else (None if function is padded_elu else 0)
            (function(inputs[0], other, left, right) * upstream).sum().backward()
            gradients += [tensor.grad for tensor in inputs]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@needs_compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extremes(dtype):
    x = torch.tensor(
        [torch.nan, torch.inf, -torch.inf, 3e38, -3e38, -88.0, -1e-7, 0.0, 1e-7, 1.0, -1.0], dtype=dtype
    )
    actual = padded_elu(x.view(1, 1, 1, -1)).flatten()
    torch.testing.assert_close(
        actual, F.elu(x), equal_nan=True, rtol=1e-6 if dtype == torch.float32 else 2**-7, atol=0
    )


@needs_compiled
def test_what_takes_the_compiled_pass(monkeypatch):
    from extract.braincodec import _activation

    calls = []
    compiled = _activation.padded_elu
    monkeypatch.setattr(_activation, "padded_elu", lambda *given: calls.append(1) or compiled(*given))
    x = torch.randn(1, 4, 1, 8)
    padded_elu(x, x, 1, 1)
    assert calls == [1]
    padded_elu(x.double())
    padded_elu(x, left=8)
    assert calls == [1]


@needs_compiled
def test_exports_as_operations_of_torch():
    """What follows the network's operations, as ONNX does, cannot follow the compiled pass."""

    class Pass(torch.nn.Module):
        def forward(self, x):
            return padded_elu(x, None, 1, 2)

    x = torch.randn(2, 3, 1, 8, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(Pass(), (x,))
    torch.testing.assert_close(program.module()(x), plain(x, 0, 1, 2))
    assert any(node.target == torch.ops.aten.elu.default for node in program.graph.nodes)
