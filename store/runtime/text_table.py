"""Cells of CSV and TSV files, so that a spreadsheet takes no text for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

_FORMULA = re.compile(r"'*[=+\-@\t\r]", re.DOTALL)
_ESCAPED = re.compile(r"'+[=+\-@\t\r]", re.DOTALL)


def escape_cell(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula; numbers stay.

    >>> [escape_cell(text) for text in ("=1+1", "-3.5", "sub-01", "'=x")]
    ["'=1+1", '-3.5', 'sub-01', "''=x"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def unescape_cell(text: str) -> str:
    """Inverse of `escape_cell`.

    >>> [unescape_cell(escape_cell(text)) for text in ("=1+1", "-3.5", "'=x", "'x")]
    ['=1+1', '-3.5', "'=x", "'x"]
    """
    return text[1:] if _ESCAPED.match(text) else text


def to_csv(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Rows as CSV, or TSV with a tab as delimiter; text is escaped, None becomes an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([escape_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()


def from_csv(text: str, delimiter: str = ",") -> list[list[str]]:
    """Cells of what `to_csv` wrote, all as text."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [[unescape_cell(cell) for cell in row] for row in rows]


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return True
    return False
