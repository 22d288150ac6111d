"""Run a command of the project in process, in a folder of its own, and judge how it ended."""

import contextlib
import faulthandler
import io
import os
import re
import resource
import stat
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entry = tuple[Any, ...]

MEMORY_BYTES = 2 << 30  # more than this beside what the process has, for inputs of a few kilobytes, is a finding
CPU_S = 15.0
HANG_S = 60.0
DEAD_S = 240.0
LONGEST_LINE = 3500
_TEMPORARY = re.compile(r"\.tmp$|\.part$|\.partial$|~$")
_UNCLEAR = re.compile(r"object at 0x|NoneType|Traceback|<class ")


class Finding(AssertionError):
    """What no command may do.

    Parameters
    ----------
    signature
        Equal for cases that fail alike.
    """

    def __init__(self, signature: str, detail: str = "") -> None:
        super().__init__(f"{signature}\n{detail}".rstrip())
        self.signature = signature


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it said."""
        return self.out + self.err


def run(
    main: Callable[[Sequence[str]], int],
    prog: str,
    arguments: Sequence[object],
    box: Path,
    may_change: Callable[[Path], bool],
) -> Outcome:
    """Run a command; raise what is wrong with its end, whatever its input was.

    Parameters
    ----------
    box
        Folder in which everything lies that the command may know of.
    may_change
        Whether a path, relative to the box, belongs to the output.

    Raises
    ------
    Finding
        If it raised, hung, took too much, ended without one clear line, changed a file that is not its output or
        left a temporary.
    """
    here = Path.cwd()
    (box / "here").mkdir(exist_ok=True)
    before = snapshot(box)
    out, err = io.StringIO(), io.StringIO()
    begin = time.process_time()
    os.chdir(box / "here")
    try:
        with _guarded(box) as hung, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = _status(main, [str(argument) for argument in arguments])
    finally:
        os.chdir(here)
    outcome = Outcome(status, out.getvalue(), err.getvalue())
    said = f"python -m {prog} {' '.join(map(str, arguments))}: status {status}\n{outcome.text}"
    if hung:
        raise Finding(f"{prog}: hangs", said)
    if (used_s := time.process_time() - begin) > CPU_S:
        raise Finding(f"{prog}: takes {used_s:.0f} s", said)
    _judge_end(prog, outcome, said)
    _judge_files(prog, before, snapshot(box), may_change, said)
    return outcome


def snapshot(box: Path) -> dict[Path, Entry]:
    """What lies in a folder: kind, and of files bytes, inode and time; links are not followed."""
    entries: dict[Path, Entry] = {}
    for folder, folders, files in os.walk(box):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            entry: Entry = (stat.S_IFMT(status.st_mode),)
            if stat.S_ISLNK(status.st_mode):
                entry += (os.readlink(path),)
            elif stat.S_ISREG(status.st_mode):
                entry += (status.st_size, status.st_mtime_ns, status.st_ino, zlib.crc32(path.read_bytes()))
            entries[path.relative_to(box)] = entry
    return entries


def _status(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # on stderr, where a user sees them
        try:
            return main(arguments)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 2
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            import traceback

            traceback.print_exc()
            return 70


def _judge_end(prog: str, outcome: Outcome, said: str) -> None:
    if "Traceback (most recent call last)" in outcome.err or outcome.status not in (0, 1, 2):
        raise Finding(f"{prog}: {_place(outcome.err) or f'status {outcome.status}'}", said)
    if "memory does not suffice" in outcome.err:
        raise Finding(f"{prog}: takes too much memory", said)
    if warned := re.search(r"\w*Warning: .*", outcome.err):
        raise Finding(f"{prog}: warns {re.sub(r'[0-9]+', '#', warned[0])[:80]}", said)
    lines = outcome.err.splitlines()
    if outcome.status == 2:
        listed = all(line.startswith("error: ") for line in lines)
        one_line = re.fullmatch(rf"python -m {re.escape(prog)}( [a-z]+)?: error: .*", outcome.err.rstrip("\n"))
        if not lines or not (listed or one_line):
            raise Finding(f"{prog}: status 2 without one clear line", said)
    for line in (*lines, *outcome.out.splitlines()):
        if not line.replace("\t", " ").isprintable():
            raise Finding(f"{prog}: characters that no terminal should get", ascii(said))
        if len(line) > LONGEST_LINE:
            raise Finding(f"{prog}: a line of thousands of characters", said[:LONGEST_LINE])
    if unclear := next((line for line in lines if _UNCLEAR.search(line)), ""):
        raise Finding(f"{prog}: unclear: {re.sub(r'[0-9a-f]{6,}|/[^ ]*', '#', unclear)[:120]}", said)


def _place(err: str) -> str:
    """Where and what a traceback shows: the last line of our code, and the kind of error."""
    frames = re.findall(r'File "[^"]*?/((?:extract|store|heads|eval)/[^"]*)", line (\d+)', err)
    names = re.findall(r"^([\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Failure)\w*)\b", err, re.MULTILINE)
    path, line = frames[-1] if frames else ("?", "0")
    return f"{names[-1] if names else 'traceback'} at {path}:{line}"


def _judge_files(
    prog: str, before: dict[Path, Entry], after: dict[Path, Entry], may_change: Callable[[Path], bool], said: str
) -> None:
    changed = [p for p in sorted(before.keys() | after.keys()) if before.get(p) != after.get(p)]
    for path in changed:
        is_folder = (after.get(path) or before[path])[0] == stat.S_IFDIR
        if not may_change(path) and not (is_folder and may_change(path / "x")):
            what = "makes" if path not in before else "removes" if path not in after else "changes"
            raise Finding(f"{prog}: {what} a file that is not its output", f"{path}\n{said}")
        if path in after and path not in before and not is_folder and _TEMPORARY.search(path.name):
            raise Finding(f"{prog}: leaves a temporary", f"{path}\n{said}")


@contextlib.contextmanager
def _guarded(box: Path) -> Iterator[list[bool]]:
    """Bound memory; free what waits for a pipe; end the process when nothing else helps."""
    hung: list[bool] = []

    def free() -> None:
        for path in box.rglob("*"):
            with contextlib.suppress(OSError):
                if stat.S_ISFIFO(path.lstat().st_mode):
                    hung.append(True)
                    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    timer = threading.Timer(HANG_S, free)
    timer.daemon = True
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    faulthandler.dump_traceback_later(DEAD_S, exit=True, file=sys.__stderr__)
    timer.start()
    try:
        yield hung
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        if pages:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
