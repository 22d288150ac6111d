"""Progress in a log file: a line now and then, nothing of short work."""

import time

import pytest

from store.runtime.progress import progress_bar


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(every_s=0.05, total=8, desc="12 heads", unit=" windows") as bar:
        for _ in range(8):
            time.sleep(0.03)
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6
    assert all(line.startswith("12 heads: ") and "/8 [" in line for line in lines)


def test_short_work_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(total=3) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
