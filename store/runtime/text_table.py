"""Write CSV and TSV so that a spreadsheet does not read text as a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

_FORMULA = re.compile(r"'*[=+\-@\t\r]", re.DOTALL)


def escape_cell(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula; numbers stay.

    No two texts become the same cell.

    >>> [escape_cell(text) for text in ("=1+1", "-3.5", "sub-01", "'=x")]
    ["'=1+1", '-3.5', 'sub-01', "''=x"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def to_csv(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Rows as CSV, or TSV with a tab as delimiter; text is escaped, None becomes an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerows([escape_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return True
    return False
