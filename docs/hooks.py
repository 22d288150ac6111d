"""What MkDocs calls while it builds a page."""

import contextlib
import io
import os
import re
from typing import Any

from braincodec_seizure import main

_MARK = re.compile(r"^<!-- help: (.+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of a command where a page has ``<!-- help: COMMAND -->``."""
    return _MARK.sub(lambda match: f"```text\n{help_of(match[1])}\n```", markdown)


def help_of(command: str) -> str:
    """Text of ``braincodec-seizure COMMAND --help``, 100 columns wide, without colours."""
    os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).strip()
