"""Commands in forked processes, which can be killed."""

import contextlib
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import torch


def start(work: Callable[[], int], log: Path) -> int:
    """Fork a process that works and writes to a log; give its id. Forking saves it the imports."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    torch.set_num_threads(1)  # a child has not the threads of its parent, and would wait for them
    try:
        with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                status = work()
            except Exception:
                traceback.print_exc()
    finally:
        os._exit(status)


def wait(pid: int) -> int:
    """Exit status of a process, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of every file of a store, parts and leftovers too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
