"""Progress of long work: a bar on a terminal, lines in a log file."""

import io
import sys
from typing import Any

from tqdm import tqdm

_EVERY_S = 60.0


def progress_bar(every_s: float = _EVERY_S, **options: Any) -> "tqdm[Any]":
    """A tqdm bar on a terminal; where standard error is a file, a line each minute, none in the first."""
    if sys.stderr.isatty():
        return tqdm(**options)
    return _Lines(**options, delay=every_s, mininterval=every_s, maxinterval=2 * every_s, ncols=100, ascii=True)


class _Lines(tqdm):  # type: ignore[type-arg]  # generic only in its stubs
    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self.fp.write(f"{msg or self}\n")
        self.fp.flush()

    def close(self) -> None:
        self.fp = io.StringIO()  # for what a bar leaves on a terminal
        super().close()
