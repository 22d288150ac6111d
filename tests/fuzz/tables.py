"""How a table of text can be spelled."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Spelling:
    """The same cells, written in one of many ways."""

    separator: str = "\t"
    newline: str = "\n"
    encoding: str = "utf-8"
    quote: str = ""
    pad: str = ""
    header: str = "as is"
    rows_before: tuple[str, ...] = ()
    rows_after: tuple[str, ...] = ()
    reverse: bool = False  # the columns
    extra: bool = False  # a column that nobody knows
    twice: bool = False  # the first column again

    @property
    def is_plain(self) -> bool:
        """Whether any reader of such tables has to understand it."""
        return (
            self.separator == "\t"
            and self.newline in ("\n", "\r\n")
            and self.encoding in ("utf-8", "utf-8-sig")
            and not (self.quote or self.pad or self.rows_before or self.rows_after or self.twice)
            and self.header == "as is"
        )

    def write(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
        """The table's bytes."""
        names = [self._head(name) for name in columns]
        table = [names, *(list(row) for row in rows)]
        if self.extra:
            table = [[*row, "note" if number == 0 else "n/a"] for number, row in enumerate(table)]
        if self.twice:
            table = [[*row, row[0]] for row in table]
        if self.reverse:
            table = [row[::-1] for row in table]
        lines = [self.separator.join(self._cell(cell) for cell in row) for row in table]
        lines = [*self.rows_before, *lines, *self.rows_after, ""]
        return self.newline.join(lines).encode(self.encoding, "replace")

    def _head(self, name: str) -> str:
        return {"upper": name.upper(), "lower": name.lower(), "title": name.title()}.get(self.header, name)

    def _cell(self, cell: str) -> str:
        return f"{self.pad}{self.quote}{cell}{self.quote}{self.pad}"


spellings = st.just(Spelling()) | st.builds(
    Spelling,
    separator=st.sampled_from(["\t"] * 6 + [",", ";", " ", "  ", "|", "\t\t"]),
    newline=st.sampled_from(["\n"] * 4 + ["\r\n"] * 2 + ["\r", "\n\n", "\u2028", "\x0b"]),
    encoding=st.sampled_from(
        ["utf-8"] * 5 + ["utf-8-sig"] * 2 + ["utf-16", "latin-1", "cp1252", "utf-32", "utf-7"]
    ),
    quote=st.sampled_from([""] * 6 + ['"', "'"]),
    pad=st.sampled_from([""] * 5 + [" ", "  ", "\xa0", "\ufeff", "\x00"]),
    header=st.sampled_from(["as is"] * 5 + ["upper", "lower", "title"]),
    rows_before=st.sampled_from([()] * 6 + [("",), ("# a comment",), ("sep=\t",)]),
    rows_after=st.sampled_from([()] * 5 + [("",), ("", ""), ("\t\t",), ("# end",), ("x",), ("\x1a",)]),
    reverse=st.booleans(),
    extra=st.booleans(),
    twice=st.sampled_from([False] * 7 + [True]),
)
