"""The Makefile: which Python it takes."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this system")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what the Makefile needs to install, without the project."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def write_python(path: Path, version: str) -> Path:
    """A Python that says it is of another version, and notes what else it is asked to run."""
    pretend = f"sys.version_info, sys.version = {tuple(map(int, version.split('.')))}, '{version} (main)'"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || {{ echo "$@" >> {path}.log; exit; }}\n'
        f'exec {sys.executable} -c "import sys; {pretend}; $2" "$3"'
    )
    path.chmod(0o755)
    return path


def make(folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "demo", f"PYTHON={python}"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_an_older_python_makes_no_environment(folder: Path) -> None:
    finished = make(folder, write_python(folder / "python3.10", "3.10.12"))
    assert finished.returncode != 0
    assert finished.stdout == ""
    message, _ = finished.stderr.splitlines()  # the second is make's own
    assert message.startswith(f"{folder}/python3.10 is Python 3.10.12; 3.11 or later is needed: ")
    assert message.endswith("add PYTHON=python3.11")
    assert not (folder / ".venv").exists()


def test_an_environment_of_an_older_python_is_not_used(folder: Path) -> None:
    old = write_python(folder / ".venv" / "bin" / "python", "3.9.2")
    finished = make(folder, write_python(folder / "python3.11", "3.11.0"))
    assert finished.stderr.startswith(
        ".venv/bin/python is Python 3.9.2; 3.11 or later is needed: remove .venv if "
    )
    assert not old.with_name("python.log").exists()


def test_a_python_that_is_new_enough_makes_one(folder: Path) -> None:
    write_python(folder / ".venv" / "bin" / "python", "3.13.1")
    python = write_python(folder / "python3.11", "3.11.0")
    make(folder, python)
    assert Path(f"{python}.log").read_text() == "-m venv .venv\n"
    assert (folder / ".venv" / "installed").exists()


def test_the_version_is_that_of_the_package() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"{required.removeprefix('>=')} or later is needed" in (ROOT / "Makefile").read_text()
