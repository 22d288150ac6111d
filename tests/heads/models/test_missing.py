"""Electrodes that are missing, whose features are nan: each head takes them as if they had their training mean."""

import pytest
import torch

from heads.models.head import Head
from tests.heads.models.test_registry import SETTINGS, features, standardised_head

NAMES = [name for name in SETTINGS if name != "pooled-linear"]


def with_missing(windows: int = 3) -> torch.Tensor:
    """Features whose first window lacks an electrode, the second two, the third none."""
    x = features(windows)
    x[0, :, 1], x[1, :, [0, 2]] = torch.nan, torch.nan
    return x


def with_means(head: Head, x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.isnan(), head.mean, x)


def stack(heads: list[Head]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([one.state_dict()[name] for one in heads]) for name in heads[0].state_dict()}


@pytest.mark.parametrize("name", ["spatial-fusion", "max", "linear"])  # others also pool the electrodes present
def test_a_missing_electrode_has_its_training_mean(name: str) -> None:
    head, x = standardised_head(name, 3), with_missing()
    wanted = head(with_means(head, x))
    if name == "linear":  # whose log deviations of standardised frames are 0, as those of standard deviation 1
        state = head.state_dict()
        pooled = head.precompute(with_means(head, x)).view(3, 2, 4, 3, 5)
        missing = x[:, 0, :, 0].isnan()[:, None, None, :, None]
        standard = torch.cat(
            [(pooled[:, :1] - state["mean"]) * state["scale"], pooled[:, 1:] + state["scale"].log()], 1
        )
        wanted = head.out(standard.where(~missing, 0.0).flatten(1))
    torch.testing.assert_close(head(x), wanted)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_heads_together_equal_each_alone_to_their_gradients(name: str, training: bool) -> None:
    heads, exact = ([standardised_head(name, seed) for seed in range(3)] for _ in range(2))
    x, generator = with_missing(), torch.Generator().manual_seed(0)
    units = heads[0].dropout_units
    uniforms = torch.rand(3, 3, units, generator=generator) if training and units else None
    weights = torch.randn(3, 3, 4, generator=generator)
    alone = [
        head.double()(x.double(), None if uniforms is None else uniforms[k].double())
        for k, head in enumerate(exact)
    ]
    (torch.stack(alone) * weights).sum().backward()
    state = {
        key: value.detach().requires_grad_(key.startswith(("fuse", "out", "hidden")))
        for key, value in stack(heads).items()
    }
    together = heads[0].forward_stacked(state, heads[0].precompute(x), uniforms)
    torch.testing.assert_close(together, torch.stack(alone).float())
    (together * weights).sum().backward()
    for key, _ in heads[0].named_parameters():
        wanted = torch.stack([head.get_parameter(key).grad for head in exact])
        torch.testing.assert_close(state[key].grad, wanted.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["spatial-fusion", "max"])
def test_bfloat16_leaves_out_the_missing_too(name: str) -> None:
    heads = [standardised_head(name, seed) for seed in range(3)]
    x = with_missing()
    wide = heads[0].forward_stacked(stack(heads), x, None)
    narrow = heads[0].forward_stacked(stack(heads), x.bfloat16(), None)
    torch.testing.assert_close(narrow, wide, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ["spatial-fusion", "max"])
def test_the_general_way_fills_in_each_heads_own_mean(name: str) -> None:
    heads = [standardised_head(name, seed) for seed in range(3)]
    for head in heads:
        head.__class__ = type(
            "Plain", (type(head),), {"forward_stacked": Head.forward_stacked, "nan_if_missing": False}
        )
    assert heads[0].leaves_out_missing
    x = with_missing()
    wanted = torch.stack([head(head.fill_missing(x)) for head in heads])
    torch.testing.assert_close(heads[0].forward_stacked(stack(heads), x, None), wanted)
