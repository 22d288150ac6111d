"""What a command takes, run as a user runs it: time, memory and bytes, its workers included. Linux."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import launch
from tests.helpers.paths import ROOT


@dataclass(frozen=True)
class Usage:
    """Wall-clock and processor seconds, peak resident bytes, bytes read and written by calls (not by maps)."""

    wall_s: float
    cpu_s: float
    peak: int
    read: int
    written: int


def measure_command(*arguments: str | Path, stdin: Iterable[bytes] = ()) -> Usage:
    """Run ``python -m ARGUMENTS`` to its end and measure it; paths are absolute.

    Parameters
    ----------
    stdin
        What the command reads on standard input, one part after the other.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "usage.json"
        launcher = [sys.executable, "-S", launch.__file__, str(report)]
        command = [*launcher, sys.executable, "-m", *map(str, arguments)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
            assert process.stdin
            with suppress(BrokenPipeError), process.stdin:  # a command that ends before says why by its status
                for part in stdin:
                    process.stdin.write(part)
        result = json.loads(report.read_text())
    if result["status"]:
        raise SystemExit(f"python -m {' '.join(map(str, arguments))}: status {result['status']}")
    return Usage(**result["usage"])
