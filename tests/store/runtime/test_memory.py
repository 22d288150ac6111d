"""Free memory goes back to the system."""

import platform
import sys
from pathlib import Path

import pytest

from store.runtime.memory import release_free_memory


def resident() -> int:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no free memory")
def test_what_was_freed_in_pieces_goes_back() -> None:
    size, count = 100_000, 4000
    pieces = [(bytearray(size), bytearray(1000)) for _ in range(count)]
    between = [small for _, small in pieces]  # lies on top of what is freed
    pieces.clear()
    before = resident()
    release_free_memory()
    assert before - resident() > 0.8 * size * count
    assert len(between) == count


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    release_free_memory()
