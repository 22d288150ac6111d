"""The rehearsal of all commands runs to its end, and a broken one goes on where it was."""

import importlib
from pathlib import Path

import pytest

from extract.io.bids import find_recordings
from extract.io.raw import open_signal
from tests.benchmarks.rehearsal import (
    HEADER,
    TEMPLATE_S,
    RehearsalCommand,
    Shape,
    make_bids,
    rehearse_all,
    steps,
)
from tests.helpers.stores import write_subject
from tests.helpers.usage import Usage, measure_command


class Runner:
    """Runs commands in this process, where importing them costs nothing; the times are made up."""

    def __init__(self, stop_at: str = "") -> None:
        self.commands: list[str] = []
        self.stop_at = stop_at

    def __call__(self, module: str, *arguments: str | Path) -> Usage:
        if module == self.stop_at:
            raise SystemExit(f"{module}: stopped")
        self.commands.append(module)
        name = f"{module}.__main__" if module in ("extract", "store", "eval") else module
        assert importlib.import_module(name).main([str(argument) for argument in arguments]) == 0
        return Usage(1.0, 2.0, 10**9, 0, 0)


def test_it_runs_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runner = Runner()
    command = RehearsalCommand(scale=(0.0007,), persons=3, folder=tmp_path)
    rehearse_all(command, runner)
    names = [step.name for step in steps(tmp_path / "scale-0.0007", store_only=False)]
    assert len(runner.commands) == len(names) == 18
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[5:]] == [f"| {name}" for name in names]
    assert lines[1] == f"{Shape.of(0.0007, 3)}:"
    assert lines[3] == HEADER
    assert HEADER in capsys.readouterr().out


def test_a_stopped_rehearsal_goes_on(tmp_path: Path) -> None:
    command = RehearsalCommand(
        scale=(0.0025,), persons=3, store_only=True, only=("store info", "probe"), folder=tmp_path
    )
    with pytest.raises(SystemExit, match=r"heads\.probe: stopped"):
        rehearse_all(command, Runner("heads.probe"))
    runner = Runner()
    rehearse_all(command, runner)
    assert runner.commands == ["heads.probe"]


def test_recordings_last_as_long_as_their_events(tmp_path: Path) -> None:
    """Also where the EEG that they repeat does not divide their length."""
    recording_s = Shape.of(0.0036).recording_s
    assert recording_s % TEMPLATE_S
    make_bids(tmp_path, persons=1, recordings=1, recording_s=recording_s)
    (recording,) = find_recordings(tmp_path, None)
    assert open_signal(recording.path).duration_s == recording_s
    (events,) = tmp_path.rglob("*_events.tsv")
    last = [
        float(line.split("\t")[0]) + float(line.split("\t")[1]) for line in events.read_text().splitlines()[1:]
    ]
    assert max(last) <= recording_s


def test_shape_of_the_whole() -> None:
    shape = Shape.of(1)
    assert (shape.persons, shape.recordings, round(shape.hours)) == (23, 42, 980)
    assert Shape.of(0.5).hours == pytest.approx(shape.hours / 2, rel=0.01)


def test_usage_of_a_command(tmp_path: Path) -> None:
    path = write_subject(tmp_path, "01", [400], seed=0)
    usage = measure_command("store", "verify", tmp_path)
    assert 0 < usage.cpu_s < 60
    assert usage.wall_s > 0
    assert usage.peak > 10**7
    assert usage.read > path.stat().st_size


def test_the_peak_is_of_the_command_and_not_of_the_process_that_measures_it(tmp_path: Path) -> None:
    ours = b"x" * 400_000_000
    small = measure_command("timeit", "-n", "1", "-r", "1", "pass").peak
    large = measure_command("timeit", "-n", "1", "-r", "1", "bytearray(b'x') * 200_000_000").peak
    assert small < 60_000_000 < 200_000_000 < large < len(ours)


def test_a_command_reads_what_it_is_given() -> None:
    parts = [b"x" * 100_000, b"y" * 100_000]
    check = "import sys; assert sys.stdin.buffer.read() == b'x' * 100_000 + b'y' * 100_000"
    measure_command("timeit", "-n", "1", "-r", "1", check, stdin=parts)
    with pytest.raises(SystemExit, match="status 1"):
        measure_command("timeit", "-n", "1", "-r", "1", check, stdin=parts[:1])


def test_a_command_that_fails_stops_the_rehearsal(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"store info .*: status 2"):
        measure_command("store", "info", tmp_path)
    with pytest.raises(SystemExit, match=r"store info .*: status 2"):
        measure_command("store", "info", tmp_path, stdin=[b"x" * 1_000_000])
