"""Free memory goes back to the system."""

import os
import platform
import subprocess
import sys

import pytest

from store.runtime.memory import release_free_memory
from tests.helpers.paths import ROOT

IN_PIECES = """
from pathlib import Path
from store.runtime.memory import release_free_memory

def resident():
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) // 1024

pieces = [(bytearray(100_000), bytearray(1000)) for _ in range(4000)]
between = [small for _, small in pieces]  # lies on top of what is freed
full = resident()
pieces.clear()
kept = resident()
release_free_memory()
print(full, kept, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no free memory")
def test_what_was_freed_in_pieces_goes_back() -> None:
    """In a process of its own, whose heap is empty, and where no piece is large enough for a map of its own."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    command = [sys.executable, "-c", IN_PIECES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    full, kept, left = map(int, done.stdout.split())  # MiB
    assert kept > full - 40
    assert left < full - 340  # of 381


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    release_free_memory()
