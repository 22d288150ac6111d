"""Commands in processes of their own, which can be killed.

A server forks them that has loaded the commands and does nothing else. A fork of this process would have its
locks as they are, held by threads that it has not. It would also share that of tqdm, which stays locked when one
that holds it is killed.
"""

import contextlib
import multiprocessing
import sys
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("extract.__main__", "extract.codec", "extract.pretrain.__main__", "heads.probe", "heads.sweep"),
        *("heads.train", "eval.__main__", "eval.detect", "store.__main__", "scipy.signal", "safetensors.torch"),
    ]
)
_ENDS_WITHIN_S = 240


def start(log: Path, work: Callable[..., int], *arguments: Any) -> BaseProcess:
    """Start a process that works, writes to a log and exits with the status that the work gives."""
    process = PROCESSES.Process(target=_work, args=(log, work, *arguments))
    process.start()
    return process


def _work(log: Path, work: Callable[..., int], *arguments: Any) -> None:
    torch.set_num_threads(1)
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            status = work(*arguments)
        except Exception:
            traceback.print_exc()
            status = 70
    sys.exit(status)


def wait(process: BaseProcess) -> int:
    """Exit status of a process, negative for a signal."""
    process.join(_ENDS_WITHIN_S)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"process {process.pid} does not end")
    return process.exitcode


def content(folder: Path) -> dict[str, bytes]:
    """Bytes of every file of a store, parts and leftovers too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
