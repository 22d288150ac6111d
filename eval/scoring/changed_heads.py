"""Say that a head of one's own is not what it was when it was trained; its weights may fit all the same."""

import sys
from collections.abc import Collection
from pathlib import Path

from heads.run_folder import Run
from heads.run_folder.head_sources import describe_changed_heads
from store.runtime.cli import to_one_line


def warn_of_changed_heads(path: Path, named: Collection[str | None]) -> None:
    """Print a line on stderr if a run was trained with another version of its head than is imported now.

    Parameters
    ----------
    path
        Of the run.
    named
        Heads ``package.module:Name`` that the user named; others are not imported.
    """
    from heads.training.head_sources import describe_sources  # here, since it loads torch

    recorded = {
        name: source for name, source in Run.open(path).head_sources.items() if ":" not in name or name in named
    }
    if changed := describe_changed_heads({"head_sources": recorded}, describe_sources(recorded)):
        text = f"warning: {path}: was trained with {changed}; its weights fit, what they predict may differ"
        print(to_one_line(text), file=sys.stderr)
