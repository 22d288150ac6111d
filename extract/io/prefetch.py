"""Read ahead: load the next items in a thread while the current one is processed."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Take items in a thread, at most ``depth`` ahead; their order, and where an exception comes, stay the same.

    Close it when it is not taken to its end, so that its thread ends too.

    >>> list(prefetch(iter("abc")))
    ['a', 'b', 'c']
    """
    lock, is_open = Lock(), True

    def take() -> list[T]:
        with lock:
            return list(islice(items, 1)) if is_open else []  # empty at the end

    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(take) for _ in range(depth))
        while taken := waiting.popleft().result():
            waiting.append(thread.submit(take))
            yield from taken
    finally:
        try:
            thread.shutdown(cancel_futures=True)
        finally:
            with lock:  # shutdown does not wait if it is interrupted, or the start of its thread was
                is_open = False
