"""Random numbers for dropout: the same for the same seed, whatever else trains in the pass."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_uniforms(
    seeds: Sequence[int], epoch: int, step: int, windows: int, units: int, device: torch.device
) -> Tensor:
    """Uniform numbers of a step, ``(K, B, N)`` float32: equal for equal seeds.

    Parameters
    ----------
    seeds
        Of the K heads.
    windows, units
        B and N.
    """
    drawn = {seed: _draw([seed, epoch, step], windows, units).to(device) for seed in set(seeds)}
    if len(drawn) == 1:
        return drawn[seeds[0]].expand(len(seeds), -1, -1)
    return torch.stack([drawn[seed] for seed in seeds])


def _draw(seed: Sequence[int], windows: int, units: int) -> Tensor:
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1)
    return torch.rand(windows, units, generator=torch.Generator().manual_seed(int(state)))
