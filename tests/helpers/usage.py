"""What a command takes, run as a user runs it: time, memory and bytes, its workers included. Linux."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.paths import ROOT


@dataclass(frozen=True)
class Usage:
    """Wall-clock and processor seconds, peak resident bytes, bytes read and written by calls (not by maps)."""

    wall_s: float
    cpu_s: float
    peak: int
    read: int
    written: int


def measure_command(*arguments: str | Path) -> Usage:
    """Run ``python -m ARGUMENTS`` to its end and measure it; paths are absolute.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-m", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its counts can be read until it is waited for
    wall_s = time.perf_counter() - begin
    counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python -m {' '.join(map(str, arguments))}: status {process.returncode}")
    cpu_s = used.ru_utime + used.ru_stime
    return Usage(wall_s, cpu_s, used.ru_maxrss * 1024, int(counts["rchar"]), int(counts["wchar"]))
