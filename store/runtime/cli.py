"""How every command of the project reads its settings and ends."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import tyro

from store.runtime.errors import UserError, from_os_error

_BUG = "this is a bug in braincodec-seizure; please report it with the lines above and the command that you gave"
_BUG_STATUS = 70  # EX_SOFTWARE of sysexits.h
_program: ContextVar[str | None] = ContextVar("program", default=None)


@contextmanager
def called_as(program: str) -> Iterator[None]:
    """Name the command in its help and errors as the user called it, not by its module."""
    token = _program.set(program)
    try:
        yield
    finally:
        _program.reset(token)


def run(
    command: Callable[[Any], int | None],
    settings_type: Any,
    argv: Sequence[str] | None,
    *,
    prog: str,
    description: str,
) -> int:
    """Make the settings from the command line, run the command, return the exit status.

    The command's own status is returned (None counts as 0). A `UserError`, and an error of the file system that
    is to be expected, ends in one line on stderr and status 2; Ctrl-C in status 130; anything else is a bug and
    ends in its traceback and status 70. ``--debug`` shows the traceback of a `UserError` too.
    """
    prog = _program.get() or prog
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    settings = tyro.cli(
        settings_type,
        args=[argument for argument in arguments if argument != "--debug"],
        prog=prog,
        description=f"{description}\n\n--debug shows where in the program an error arose.",
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
    )
    try:
        with _PipesMayClose():
            return command(settings) or 0
    except (UserError, OSError, MemoryError) as error:
        known = _explain(error)
        if known is None:
            return _report_bug(prog)
        if debug:
            traceback.print_exc()
        print(f"{prog}: error: {to_one_line(known)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; what is finished is kept, run the same command to go on", file=sys.stderr)
        return 130
    except Exception:
        return _report_bug(prog)


def to_one_line(text: object) -> str:
    r"""Text for a terminal: one line, without characters that move the cursor or change colours.

    >>> to_one_line("person \x1b[31mred\n  was")
    'person \\x1b[31mred was'
    """
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def _explain(error: UserError | OSError | MemoryError) -> UserError | str | None:
    if isinstance(error, OSError):
        return from_os_error(error)
    if isinstance(error, MemoryError):
        return "the memory does not suffice; close other programs, or take less at once"
    return error


def _report_bug(prog: str) -> int:
    traceback.print_exc()
    print(f"{prog}: {_BUG}", file=sys.stderr)
    return _BUG_STATUS


class _PipesMayClose:
    """Let work go on when the reader of its output, such as ``head``, has seen enough and left."""

    def __enter__(self) -> None:
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_ForgivingStream(stream) for stream in self._streams)

    def __exit__(self, *error: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = self._streams


class _ForgivingStream(io.TextIOBase):
    """A text stream that sends what nobody reads any more to nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop what nobody reads."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what nobody reads."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Its file descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How characters are encoded."""
        return self._stream.encoding

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
