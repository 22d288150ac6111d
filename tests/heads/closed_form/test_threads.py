"""A pool of threads that each compute alone."""

from collections.abc import Iterator

import pytest
import torch

from heads.closed_form.threads import single_threads


@pytest.fixture
def threads() -> Iterator[int]:
    """Threads that torch uses, more than the processors may be."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_the_pool_has_the_threads_of_torch_which_uses_one(threads: int) -> None:
    """So limits that a user sets, as OMP_NUM_THREADS, hold for the pool."""
    with single_threads() as pool:
        assert pool._max_workers == threads
        assert torch.get_num_threads() == 1
        assert list(pool.map(lambda _: torch.get_num_threads(), range(8))) == [1] * 8
    assert torch.get_num_threads() == threads


def test_torch_has_its_threads_again_after_an_error(threads: int) -> None:
    with pytest.raises(ZeroDivisionError), single_threads() as pool:
        list(pool.map(lambda number: 1 / number, [0]))
    assert torch.get_num_threads() == threads
