"""Prefetching: never more than asked, errors at their place, threads that end."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from extract.io.prefetch import prefetch


def test_it_is_not_further_ahead_than_asked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with closing(prefetch(items(), 2)) as ahead:
        assert [next(ahead), next(ahead)] == [0, 1]
    assert len(taken) <= 4


def test_an_error_comes_after_what_was_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    ahead = prefetch(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="second"):
        next(ahead)


def test_an_interrupt_while_its_thread_starts_ends_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def items() -> Iterator[int]:
        time.sleep(0.2)
        yield 1

    def start(thread: threading.Thread) -> None:
        start_thread(thread)
        raise KeyboardInterrupt

    start_thread = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    taken = items()
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(taken))
    taken.close()  # of a generator that still runs it raises a ValueError


def test_an_interrupt_while_it_is_closed_ends_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def items() -> Iterator[int]:
        yield 1
        time.sleep(0.2)
        yield 2

    def shutdown(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    taken = items()
    ahead = prefetch(taken)
    next(ahead)
    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt):
        ahead.close()
    taken.close()  # of a generator that still runs it raises a ValueError


def test_closing_ends_its_thread() -> None:
    before = set(threading.enumerate())
    with closing(prefetch(iter(range(10)), 2)) as ahead:
        next(ahead)
        assert set(threading.enumerate()) - before
    assert set(threading.enumerate()) <= before  # of the tests before, one may end meanwhile
