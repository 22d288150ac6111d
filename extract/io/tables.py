"""Read BIDS tables, with the line number of each row."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from store.runtime.errors import UserError, os_errors

_MOST_BYTES = 1 << 26  # of a table that describes recordings or persons


@dataclass(frozen=True)
class Row:
    """One line of a table below its header."""

    line: int  # in the file, the header is 1
    cells: dict[str, str]  # by column; empty where the line is short


@dataclass(frozen=True)
class Table:
    """Columns and rows, all cells without surrounding blanks and quotes."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, delimiters: str = "\t") -> Table:
    r"""Read a table of UTF-8 text whose first line names its columns.

    Parameters
    ----------
    path : Path
    delimiters
        What may separate cells; the first of them that the header holds does.

    Raises
    ------
    UserError
        If the file cannot be read, is not a regular UTF-8 file, the header holds characters that are no text, or a
        line has more cells than the header.
    """
    return parse_table(read_content(path), path, delimiters)


def read_content(path: Path) -> bytes:
    """Read a file that describes recordings or persons.

    Raises
    ------
    UserError
        If it cannot be read, is not a regular file, or is larger than any such file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: a pipe or device instead of a table; put the file there")
    with os_errors(path):
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(
                f"{path}: larger than {_MOST_BYTES >> 20} MiB, too large for a table that describes recordings"
            )
        return path.read_bytes()


def parse_table(content: bytes, path: Path, delimiters: str = "\t") -> Table:
    """Read a table from bytes that were read from ``path``; see `read_table`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a table of UTF-8 text ({error}); save it as such") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    delimiter = next((mark for mark in delimiters if mark in lines[0]), delimiters[0])
    columns = _split(lines[0], delimiter, path, 1)
    if odd := [column for column in columns if not column.isprintable()]:
        raise UserError(
            f"{path}: the header holds a character that is no text, in {odd[0][:80]!a}; save it with ordinary "
            "line ends"
        )
    rows = [
        Row(number, _to_cells(columns, _split(line, delimiter, path, number), path, number))
        for number, line in enumerate(lines[1:], start=2)
        if line.strip()
    ]
    return Table(tuple(columns), tuple(rows))


def _split(line: str, delimiter: str, path: Path, number: int) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise UserError(f"{path}: line {number}: not a line of a table ({error}); correct its quotes") from error
    return [cell.strip() for cell in cells]


def _to_cells(columns: Sequence[str], cells: Sequence[str], path: Path, number: int) -> dict[str, str]:
    if any(cells[len(columns) :]):
        raise UserError(f"{path}: line {number} has {len(cells)} cells, the header has {len(columns)}; correct it")
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return dict(zip(columns, padded, strict=False))
