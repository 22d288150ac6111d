"""Read the settings of a command, run it, and report errors and exit status."""

import io
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TextIO

from store.runtime.commands import command_line, name_command
from store.runtime.errors import UserError, from_os_error
from store.runtime.options import read_options

_BUG = "this is a bug in braincodec-seizure; please report it with the lines above and the command that you gave"
_OUT_OF_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator: can't allocate memory")  # torch's, which is not loaded
_LONGEST_LINE = 3000  # characters; nobody reads more of an error
_BUG_STATUS = 70  # EX_SOFTWARE of sysexits.h
_given: ContextVar[str] = ContextVar("given", default="")


def given_command() -> str:
    """The command at work, as it was given; empty outside of one."""
    return _given.get()


def run(
    command: Callable[[Any], int | None],
    settings_type: Any,
    argv: Sequence[str] | None,
    *,
    module: str,
    description: str,
    examples: Sequence[str] = (),
    elsewhere: Mapping[str, str] | None = None,
) -> int:
    """Make the settings from the command line, run the command, return the exit status.

    The command's own status is returned (None counts as 0). A `UserError`, and an error of the file system that
    is to be expected, ends in one line on stderr and status 2; Ctrl-C in status 130; anything else is a bug and
    ends in its traceback and status 70. ``--debug`` shows the traceback of a `UserError` too.

    Parameters
    ----------
    module
        What ``python -m`` takes.
    examples
        Arguments of calls that the help shows.
    elsewhere
        Options of similar commands that this one lacks, and what to say of each.
    """
    prog = name_command(module)
    _given.set(shlex.join([*prog.split(), *_arguments(argv)]))
    with _ForgivingStreams():
        try:
            shown = _describe_command(description, command_line(module), examples)
            return command(read_options(settings_type, _options(argv), prog, shown, elsewhere)) or 0
        except KeyboardInterrupt:
            print(f"{prog}: interrupted; finished parts are kept, run the same command to resume", file=sys.stderr)
            return 130
        except Exception as error:
            explanation = _explain(error)
            if explanation is None or "--debug" in _arguments(argv):
                traceback.print_exc()
            if explanation is None:
                print(f"{prog}: {_BUG}", file=sys.stderr)
                return _BUG_STATUS
            print(f"{prog}: error: {to_one_line(explanation)}", file=sys.stderr)
            return 2


def _arguments(argv: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if argv is None else argv)


def _options(argv: Sequence[str] | None) -> list[str]:
    return [argument for argument in _arguments(argv) if argument != "--debug"]


def _describe_command(description: str, call: str, examples: Sequence[str]) -> str:
    calls = [f"Example: {call} {example}" for example in examples]
    debug = "With --debug, an error also shows its traceback."
    return "\n\n".join([description, *calls, debug])


def to_one_line(text: object) -> str:
    r"""Text for a terminal: one line, without characters that move the cursor, the middle left out if it is long.

    >>> to_one_line("person \x1b[31mred\n  was")
    'person \\x1b[31mred was'
    """
    words = " ".join(str(text).split())
    if len(words) > _LONGEST_LINE:
        words = f"{words[: _LONGEST_LINE // 2]} ... {words[-_LONGEST_LINE // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def _explain(error: Exception) -> UserError | str | None:
    """The message for an error that a person can cause; None for a bug."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error)
    if isinstance(error, MemoryError) or any(text in repr(error) for text in _OUT_OF_MEMORY):
        return "out of memory; close other programs, or process less at once"
    if "can't start new thread" in str(error):
        return (
            "no memory for another thread, or the limit of threads is reached (ulimit -u); "
            "close other programs, or process less at once"
        )
    return None


def _open_nowhere() -> io.TextIOWrapper:
    """A stream that drops what is written to it."""
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.devnull, "w")))


class _ForgivingStreams:
    """Keep working when the reader of the output, such as ``head``, has closed it."""

    def __enter__(self) -> None:
        self._before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_ForgivingStream(stream or _open_nowhere()) for stream in self._before)

    def __exit__(self, *error: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(UserError):
                stream.flush()
        sys.stdout, sys.stderr = self._before


class _ForgivingStream(io.TextIOBase):
    """A text stream that drops output after its reader has left, and escapes what its encoding lacks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop what nobody reads."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what nobody reads."""
        try:
            self._stream.flush()
        except OSError as error:
            self._drop(error)

    def close(self) -> None:
        """Leave the stream open: it belongs to the process."""

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Its file descriptor."""
        return self._stream.fileno()

    @property
    def buffer(self) -> Any:
        """The stream of bytes below it."""
        return self._stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of a file it is an attribute
        """How characters are encoded."""
        return self._stream.encoding

    def _drop(self, error: OSError) -> None:
        """Send what follows to nowhere; output that a full disk cut off is still an error."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise UserError(
                f"{self._stream.name}: output is lost ({error.strerror}); send it elsewhere"
            ) from error
