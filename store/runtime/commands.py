"""Show commands to the user in the form in which the current one was called."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_names: ContextVar[Mapping[str, str] | None] = ContextVar("names", default=None)


@contextmanager
def called_as(names: Mapping[str, str]) -> Iterator[None]:
    """Name commands in help, hints and errors otherwise than by their module, ``{module: name}``."""
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def keep_names(function: Callable[[Task], Result]) -> Callable[[Task], Result]:
    """The function, naming commands as they are named here, also in another process."""
    names = _names.get()
    return function if names is None else partial(_call_as, names, function)


def _call_as(names: Mapping[str, str], function: Callable[[Task], Result], task: Task) -> Result:
    with called_as(names):
        return function(task)


def command_line(module: str, *arguments: str | Path) -> str:
    """What to type to run a command of ours; by its module, unless the console command is at work.

    >>> command_line("eval", "runs/first one")
    "python -m eval 'runs/first one'"
    >>> with called_as({"eval": "braincodec-seizure eval"}):
    ...     command_line("eval", "--help")
    'braincodec-seizure eval --help'

    Parameters
    ----------
    module
        What ``python -m`` takes, with a command of it if it has several.
    """
    names = _names.get() or {}
    package, _, part = module.partition(" ")
    name = names.get(module) or " ".join(filter(None, [names.get(package, f"python -m {package}"), part]))
    return " ".join([name, *(shlex.quote(str(argument)) for argument in arguments)])
