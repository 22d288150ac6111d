"""What all commands share: the arithmetic that "auto" takes."""

import pytest
import torch

from store.cli import choose_precision


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
