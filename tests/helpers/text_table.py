"""Read back what `store.runtime.text_table` writes."""

import csv
import io
import re

_ESCAPED = re.compile(r"'+[=+\-@\t\r]", re.DOTALL)


def unescape_cell(text: str) -> str:
    """Inverse of `store.runtime.text_table.escape_cell`."""
    return text[1:] if _ESCAPED.match(text) else text


def from_csv(text: str, delimiter: str = ",") -> list[list[str]]:
    """Cells of what `store.runtime.text_table.to_csv` wrote, all as text."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [[unescape_cell(cell) for cell in row] for row in rows]
