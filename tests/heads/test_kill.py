"""A sweep that is killed or interrupted goes on with the same command, to the same cells."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heads.sweep import main

GRID = [
    *("--lr", "1e-2", "1e-4", "--hidden", "4", "5", "6", "7", "8", "9", "--filters", "4"),
    *("--epochs", "12", "--batch-windows", "16", "--precision", "float32"),
]


def _heed_sigint() -> None:
    """Take SIGINT as a command in the foreground: a job in the background ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_sweep_goes_on(
    make_store: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    path = str(make_store(persons=3))
    cells = tmp_path / "run" / "cells"
    arguments = ["--store", path, "--out", str(tmp_path / "run"), *GRID]
    process = subprocess.Popen(
        [sys.executable, "-m", "heads.sweep", *arguments],
        preexec_fn=_heed_sigint,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in this process: rounding may depend on it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(cells.glob("*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == status
    if number == signal.SIGINT:
        wanted = "interrupted; finished parts are kept, run the same command to resume"
        assert error == f"python -m heads.sweep: {wanted}\n"
    finished = {one: one.stat().st_mtime_ns for one in cells.glob("*.json")}
    assert finished
    assert main(arguments) == 0
    assert main(["--store", path, "--out", str(tmp_path / "unbroken"), *GRID]) == 0
    capsys.readouterr()
    assert {one: one.stat().st_mtime_ns for one in finished} == finished
    groups = {one.name: json.loads(one.read_text()) for one in cells.glob("*.json")}
    assert groups == {
        one.name: json.loads(one.read_text()) for one in (tmp_path / "unbroken/cells").glob("*.json")
    }
    assert not list(cells.glob("*.pt"))
