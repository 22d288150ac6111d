"""How commands end: what a person caused is one line, a bug shows itself, a reader who left stops nothing."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from store.runtime import cli
from store.runtime.errors import DiskFullError, StoreError, UserError, from_os_error
from tests.helpers.paths import ROOT

LONG_WORK = """
import sys
from dataclasses import dataclass
from pathlib import Path
from tqdm import tqdm
from store.runtime.cli import run
from store.runtime.errors import UserError

@dataclass(frozen=True)
class Command:
    done: Path
    fail: bool = False

def work(command):
    for number in tqdm(range(8_000)):
        print("line", number)
        if number % 100 == 0: print("word", number, file=sys.stderr)
    command.done.write_text("all of it")
    if command.fail: raise UserError("a reason")
    return 1

sys.exit(run(work, Command, None, module="work", description=""))
"""


@dataclass(frozen=True)
class Command:
    """Nothing to set."""


def end(command: Callable[[], int | None], *arguments: str) -> int:
    return cli.run(lambda settings: command(), Command, arguments, module="work", description="")


def fail(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_a_line_of_any_length_keeps_its_ends() -> None:
    line = cli.to_one_line("file.h5: " + "x" * 10**6 + "; remove it")
    assert len(line) < 3100
    assert line.startswith("file.h5: xx")
    assert line.endswith("xx; remove it")


@pytest.mark.parametrize("error", [UserError, StoreError, DiskFullError])
def test_what_a_person_caused_is_one_line(error: type[UserError], capsys: pytest.CaptureFixture) -> None:
    assert end(fail(error("bad \x1b[31m\nname; give another"))) == 2
    assert capsys.readouterr() == ("", "python -m work: error: bad \\x1b[31m name; give another\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(errno.ENOENT, "", "a.edf"), "a.edf: no such file or folder; check the path"),
        (OSError(errno.ENOSPC, "", "a.h5"), "a.h5: disk full; make room and run the same command again"),
        (OSError(errno.EIO, "", "a.h5"), "a.h5: the disk or the network cannot read or write it"),
        (MemoryError(), "out of memory; close other programs, or process less at once"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (RuntimeError("can't start new thread"), "no memory for another thread, or the limit of threads is"),
    ],
)
def test_what_the_machine_lacks_is_one_line(error: Exception, message: str, capsys: pytest.CaptureFixture) -> None:
    assert end(fail(error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m work: error: {message}")


@pytest.mark.parametrize("code", sorted(errno.errorcode))
def test_every_error_of_the_file_system_has_a_remedy(code: int) -> None:
    known = from_os_error(OSError(code, "", "a.edf"))
    assert known is None or re.fullmatch(r"a\.edf: [^;]+; .+", str(known))


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("y"), OSError(errno.ENOENT, "no file known"), OSError()]
)
def test_anything_else_is_a_bug(error: Exception, capsys: pytest.CaptureFixture) -> None:
    assert end(fail(error)) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith(
        "python -m work: this is a bug in braincodec-seizure; please report it with the lines above"
    )


def test_debug_shows_where_an_error_arose(capsys: pytest.CaptureFixture) -> None:
    assert end(fail(UserError("a reason")), "--debug") == 2
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "python -m work: error: a reason")


def test_interrupted(capsys: pytest.CaptureFixture) -> None:
    assert end(fail(KeyboardInterrupt())) == 130
    message = "interrupted; finished parts are kept, run the same command to resume"
    assert capsys.readouterr().err == f"python -m work: {message}\n"


def test_the_status_is_the_commands_own() -> None:
    assert [end(lambda status=status: status) for status in (None, 0, 1)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("stream", "option", "status"), [("stdout", (), 1), ("both", (), 1), ("both", ("--fail",), 2)]
)
def test_a_reader_who_leaves_stops_nothing(
    tmp_path: Path, stream: str, option: tuple[str, ...], status: int
) -> None:
    command = [sys.executable, "-c", LONG_WORK, "--done", str(tmp_path / "done"), *option]
    stderr = subprocess.STDOUT if stream == "both" else subprocess.PIPE
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        messages = b"" if process.stderr is None else process.stderr.read()
    assert process.returncode == status
    assert (tmp_path / "done").read_text() == "all of it"
    assert b"rror" not in messages


def test_without_standard_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONG_WORK, "--done", str(tmp_path / "done")]
    finished = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command], cwd=ROOT, check=False)
    assert finished.returncode == 1
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_output_that_a_full_disk_cut_off_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONG_WORK, "--done", str(tmp_path / "done")]
    with open("/dev/full", "w") as full:
        finished = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 2
    assert "work: error: <stdout>: output is lost (No space left on device); send it else" in finished.stderr


def test_names_that_the_terminal_cannot_show_are_escaped() -> None:
    code = "import sys; from store.runtime.cli import run; from tests.store.runtime.test_cli import Command\n"
    code += "run(lambda c: print('Jos\\u00e9 \\udc80'), Command, [], module='work', description='')"
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=variables, check=False
    )
    assert (finished.stdout, finished.stderr) == ("Jos\\xe9 \\udc80\n", "")
