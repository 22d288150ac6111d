"""Statistics over electrodes against numpy."""

import numpy as np
import torch

from heads.models.pooled_linear import pool_electrodes


def test_statistics_are_those_of_the_electrodes_present() -> None:
    x = torch.randn(2, 8, 4, 5)
    x[1, :, [0, 3]] = torch.nan
    pooled = pool_electrodes(x, 4).numpy()
    for window, present in enumerate(([0, 1, 2, 3], [1, 2])):
        values = np.log(x[window].numpy().reshape(4, 2, 4, 5)[:, :, present].std(1) + 0.05)
        wanted = np.concatenate([values.mean(1), values.max(1), values.std(1)], -1)
        np.testing.assert_allclose(pooled[window], wanted, atol=1e-5)


def test_one_frame_a_second_keeps_its_value() -> None:
    x = torch.randn(2, 4, 3, 5)
    wanted = torch.cat([x.mean(2), x.amax(2), x.std(2, correction=0)], -1)
    torch.testing.assert_close(pool_electrodes(x, 4), wanted)


def test_without_electrodes_all_is_zero() -> None:
    assert torch.equal(pool_electrodes(torch.full((1, 8, 3, 5), torch.nan), 4), torch.zeros(1, 4, 15))
