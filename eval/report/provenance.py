"""Date, command and code version that made a page."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from braincodec_seizure import __version__
from store.runtime.cli import given_command

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to make a page again."""

    date: str
    command: str
    code: str  # version, and commit where the code lies in a repository


def describe_now() -> Provenance:
    """Date, command and code of this moment."""
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    commit = _read_commit(_ROOT)
    code = f"braincodec-seizure {__version__}"
    return Provenance(date, given_command() or "from Python", f"{code}, commit {commit}" if commit else code)


def _read_commit(root: Path) -> str:
    """Abbreviated commit of a repository, ``-dirty`` if files were changed since; empty if the folder is none."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
