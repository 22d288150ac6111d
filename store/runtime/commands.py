"""Show commands to the user in the form in which the current one was called."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_PYTHON = "python"
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


def name_command(module: str) -> str:
    """Name of a command of ours; by its module, unless the console command is at work.

    >>> name_command("store info")
    'python -m store info'
    >>> with called_as({"store": "braincodec-seizure store"}):
    ...     name_command("store info")
    'braincodec-seizure store info'

    Parameters
    ----------
    module
        What ``python -m`` takes, with a command of it if it has several.
    """
    names = _names.get() or {}
    package, _, part = module.partition(" ")
    return names.get(module) or " ".join(filter(None, [names.get(package, f"{_PYTHON} -m {package}"), part]))


def command_line(module: str, *arguments: str | Path) -> str:
    """What to type to run a command of ours, in this folder and with the Python that runs now.

    >>> with called_as({"eval": "braincodec-seizure eval"}):
    ...     command_line("eval", "runs/first one")
    "braincodec-seizure eval 'runs/first one'"

    Parameters
    ----------
    module
        As `name_command` takes it.
    """
    program, _, rest = name_command(module).partition(" ")
    return " ".join([shlex.quote(_find_program(program)), rest, *(shlex.quote(str(each)) for each in arguments)])


def _find_program(name: str) -> str:
    """How to call this Python or the console command: by its name if the shell finds it, else by its path."""
    path = Path(sys.executable if name == _PYTHON else sys.argv[0]).absolute()
    if not path.is_file() or (name != _PYTHON and path.name != name):  # at work under no name of its own
        return name
    on_path = shutil.which(name)
    if on_path and _is_same_program(Path(on_path), path):
        return name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _is_same_program(first: Path, second: Path) -> bool:
    """Whether two paths are one file in one folder: links to one Python are of different environments."""
    return first.samefile(second) and first.absolute().parent.samefile(second.parent)
