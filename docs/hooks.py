"""What MkDocs calls while it builds a page."""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from braincodec_seizure import main

_ROOT = Path(__file__).resolve().parents[1]
_MARK = re.compile(r"^<!-- help: (.+) -->$", re.MULTILINE)
_INCLUDE = re.compile(r"^<!-- include: (\S+) -->\n.*\Z", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of a command where a page has ``<!-- help: COMMAND -->``.

    From ``<!-- include: FILE -->`` on, the file stands in place of the page: what follows the mark is for
    readers of the source, as on GitHub.
    """
    markdown = _INCLUDE.sub(lambda match: (_ROOT / match[1]).read_text(encoding="utf-8"), markdown)
    return _MARK.sub(lambda match: f"```text\n{help_of(match[1])}\n```", markdown)


def help_of(command: str) -> str:
    """Text of ``braincodec-seizure COMMAND --help``, 100 columns wide, without colours."""
    os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).strip()
