"""The processes that tests kill."""

import time
from pathlib import Path

from tqdm import tqdm

from tests.helpers.processes import start, wait


def _hold_the_lock(taken: Path) -> int:
    tqdm.get_lock().acquire()
    taken.touch()
    time.sleep(600)
    return 1


def _show_progress() -> int:
    return sum(tqdm([0, 0, 0]))


def test_one_that_is_killed_while_it_shows_progress_stops_no_other(tmp_path: Path) -> None:
    """tqdm's lock is shared with the processes that are forked from one that has it, and dies locked."""
    assert _show_progress() == 0
    killed = start(tmp_path / "log", _hold_the_lock, tmp_path / "taken")
    while not (tmp_path / "taken").exists():
        assert killed.is_alive(), (tmp_path / "log").read_text()
        time.sleep(0.01)
    killed.kill()
    assert wait(killed) == -9
    assert _show_progress() == 0
    assert wait(start(tmp_path / "log", _show_progress)) == 0, (tmp_path / "log").read_text()


def test_what_fails_is_in_the_log(tmp_path: Path) -> None:
    assert wait(start(tmp_path / "log", divmod, 1, 0)) == 70
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()
