"""What the machine can do: the arithmetic that "auto" takes, and our code for AVX-512."""

import pytest
import torch

from store.runtime.device import can_use_avx512_kernels, choose_precision


@pytest.mark.parametrize(
    ("able", "wanted"),
    [({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")],
)
def test_auto_takes_half_precision_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], wanted: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert choose_precision("auto", "cpu") == wanted
    assert choose_precision("float32", "cpu") == "float32"
    assert choose_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize(
    ("capability", "able", "suits"),
    [
        ("AVX2", {"avx512_bf16": True}, (False, False)),
        ("AVX512", {}, (True, False)),
        ("AVX512", {"avx512_bf16": True, "amx_bf16": False}, (True, True)),
        ("AVX512", {"avx512_bf16": True, "amx_bf16": True}, (True, False)),
    ],
)
def test_our_code_suits_processors_that_have_what_it_uses_and_nothing_faster(
    monkeypatch: pytest.MonkeyPatch, capability: str, able: dict[str, bool], suits: tuple[bool, bool]
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert (can_use_avx512_kernels("float32"), can_use_avx512_kernels("bfloat16")) == suits
