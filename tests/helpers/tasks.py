"""What workers of the tests do; a module of its own, so that they can import it."""

import os
import signal
import time
from importlib import import_module
from pathlib import Path

from store.runtime.commands import command_line


def square(number: int) -> int:
    return number**2


def wait_for(marker: Path) -> None:
    """Work until a file is there."""
    while not marker.exists():
        time.sleep(0.01)


class Threads:
    """A function that has loaded torch where it arrives, as those that compute."""

    def __setstate__(self, state: object) -> None:
        import_module("torch")

    def __getstate__(self) -> str:
        return "loads torch"

    def __call__(self, number: int) -> int:
        """Threads that it computes with."""
        import torch

        return torch.get_num_threads()


def die_once(marker: Path) -> str:
    """Lose the worker, but not when done again."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def name_command(module: str) -> str:
    """A hint, as a task gives one."""
    return command_line(module)


def full_disk(number: int) -> None:
    raise OSError(28, "disk full; make room", "store")
