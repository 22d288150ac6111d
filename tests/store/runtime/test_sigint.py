"""Ctrl-C while a store is read arrives when HDF5 is done."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import store
import store.gate
from store.runtime.sigint import defer_sigint


@pytest.fixture(autouse=True)
def _foreground() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run as a job in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_comes_after_the_block() -> None:
    done = []

    def work() -> None:
        with defer_sigint():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]


def test_ctrl_c_while_a_store_is_opened(make_store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, parse = make_store(persons=1), store.gate._read
    parsed = []

    def parse_interrupted(*given: object) -> object:
        signal.raise_signal(signal.SIGINT)
        parsed.append(parse(*given))
        return parsed[-1]

    monkeypatch.setattr(store.gate, "_read", parse_interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.open(path)
    assert len(parsed) == 1


def test_other_threads_read_too() -> None:
    entered = []

    def work() -> None:
        with defer_sigint():
            entered.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [1]
