"""Hints name commands so that they work as typed, whether or not the environment is activated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store.runtime.commands import called_as, command_line

HINT = "from store.runtime.commands import command_line; print(command_line('store', 'info', 's'))"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs as an environment has it, not on PATH, two folders below the current one."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "braincodec-seizure").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setattr(sys, "argv", [".venv/bin/braincodec-seizure", "extract"])
    return programs


def hints() -> list[str]:
    """The hint of a command called by its module, and by the console command."""
    with called_as({"store": "braincodec-seizure store"}):
        by_console = command_line("store", "info")
    return [command_line("store", "info"), by_console]


def test_a_program_that_the_shell_does_not_find_is_called_by_its_path(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hints() == [".venv/bin/python -m store info", ".venv/bin/braincodec-seizure store info"]
    monkeypatch.setattr(sys, "argv", [str(environment / "braincodec-seizure")])
    assert hints()[1] == ".venv/bin/braincodec-seizure store info"
    elsewhere = environment.parents[1] / "a folder"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert hints() == [
        f"{environment}/python -m store info",
        f"{environment}/braincodec-seizure store info",
    ]


def test_a_program_that_the_shell_finds_is_called_by_its_name(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}{os.environ['PATH']}")
    (environment / "python3").symlink_to("python")
    monkeypatch.setattr(sys, "executable", str(environment / "python3"))
    assert hints() == ["python -m store info", "braincodec-seizure store info"]


def test_a_hint_works_as_typed() -> None:
    """In a shell that finds no Python at all."""
    bare = {"PATH": "/nowhere", "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run([sys.executable, "-c", HINT], env=bare, capture_output=True, text=True, check=True)
    call = finished.stdout.removesuffix(" info s\n")
    shown = subprocess.run(
        ["/bin/sh", "-c", f"{call} --help"], env=bare, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("usage: python -m store COMMAND")
