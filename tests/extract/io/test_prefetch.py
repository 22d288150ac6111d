"""Work ahead: never more than asked, errors at their place, threads that end."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from extract.io.prefetch import work_ahead


def test_it_is_not_further_ahead_than_asked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with closing(work_ahead(items(), 2)) as ahead:
        assert [next(ahead), next(ahead)] == [0, 1]
    assert len(taken) <= 4


def test_an_error_comes_after_what_was_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    ahead = work_ahead(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="second"):
        next(ahead)


def test_closing_ends_its_thread() -> None:
    before = set(threading.enumerate())
    with closing(work_ahead(iter(range(10)), 2)) as ahead:
        next(ahead)
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) == before
