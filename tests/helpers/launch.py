"""Run a program, and write what it took to a file: a process of its own, so small that it does not show.

On Linux the peak memory of a process begins with that of the one that started it.
"""

import json
import os
import sys
import time
from pathlib import Path


def main(report: str, *command: str) -> None:
    """Write status, seconds, peak bytes and counts of input and output, workers included, as JSON."""
    begin = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # its counts can be read until it is waited for
    wall_s = time.perf_counter() - begin
    counts = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    _, status, used = os.wait4(process, 0)
    usage = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
        "read": int(counts["rchar"]),
        "written": int(counts["wchar"]),
    }
    Path(report).write_text(json.dumps({"status": os.waitstatus_to_exitcode(status), "usage": usage}))


if __name__ == "__main__":
    main(*sys.argv[1:])
