"""Read ahead: take the next items in a thread while the present one is worked on."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Take items in a thread, at most ``depth`` ahead; their order, and where an exception comes, stay the same.

    Close it when it is not taken to its end, so that its thread ends too.

    >>> list(prefetch(iter("abc")))
    ['a', 'b', 'c']
    """

    def take() -> list[T]:
        return list(islice(items, 1))  # empty at the end

    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(take) for _ in range(depth))
        while taken := waiting.popleft().result():
            waiting.append(thread.submit(take))
            yield from taken
    finally:
        thread.shutdown(cancel_futures=True)
