"""Read ``participants.tsv``: the person of each subject, and the other columns."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from extract.io.annex import explain_absent_content
from extract.io.tables import Row, Table, read_table
from store.runtime.errors import UserError

SAME_PERSON = {"chb21": "chb01"}  # CHB-MIT's own case names: one girl, recorded twice
_NONE = frozenset(("", "n/a", "#n/a", "na", "nan", "none", "null", "unknown", "?", "-", "--"))  # in any case


@dataclass(frozen=True)
class Participants:
    """What ``participants.tsv`` says of each subject, by subject without ``sub-``."""

    path: Path
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # all of a subject's cells
    persons: Mapping[str, str] | None = None  # None without a column for them

    def person(self, subject: str) -> str:
        """The human behind a subject: as the table says, else the subject itself.

        Raises
        ------
        UserError
            If the table says it of other subjects and not of this one.
        """
        if self.persons is None:
            return SAME_PERSON.get(subject, subject)
        if subject not in self.persons:
            raise UserError(
                f"{self.path}: has a column person_id, but no row for sub-{subject}; add it, since a "
                "person must not be split"
            )
        return self.persons[subject]


def read_participants(bids: Path) -> Participants:
    """Read ``participants.tsv`` of a data set; without such a file every subject is a person.

    Cells may be padded or quoted, separated by tabs, commas or semicolons; the column of persons is
    ``person_id`` in any spelling of case, blanks and dashes.

    Raises
    ------
    UserError
        If the table cannot be read, has a subject twice, has persons and none for one of its subjects, or
        persons whose names differ in spelling alone.
    """
    path = bids / "participants.tsv"
    if reason := explain_absent_content(path):
        raise UserError(f"{path}: {reason}")
    if not path.exists():
        return Participants(path)
    table = read_table(path, "\t,;")
    subject_column = _find_column(table, "participantid", path)
    if subject_column is None:
        raise UserError(f"{path}: has no column participant_id; correct its header, or remove the file")
    rows: dict[str, Row] = {}
    for row in table.rows:
        subject = row.cells[subject_column].removeprefix("sub-")
        if subject in rows:
            raise UserError(f"{path}: line {row.line}: sub-{subject} is in line {rows[subject].line} already")
        rows[subject] = row
    return Participants(
        path, {subject: row.cells for subject, row in rows.items()}, _read_persons(path, table, rows)
    )


def _read_persons(path: Path, table: Table, rows: Mapping[str, Row]) -> dict[str, str] | None:
    column = _find_column(table, "personid", path)
    if column is None:
        return None
    for subject, row in rows.items():
        if row.cells[column].lower() in _NONE:
            raise UserError(
                f"{path}: line {row.line}: no {column} for sub-{subject}; give every subject one, or none "
                "(then each subject is a person)"
            )
    persons = {subject: row.cells[column] for subject, row in rows.items()}
    _require_one_spelling(path, persons)
    return persons


def _require_one_spelling(path: Path, persons: Mapping[str, str]) -> None:
    """Refuse persons whose names differ in letter case, blanks or composition of characters alone."""
    spellings: dict[str, str] = {}
    for person in persons.values():
        plain = " ".join(unicodedata.normalize("NFKC", person).casefold().split())
        if (other := spellings.setdefault(plain, person)) != person:
            raise UserError(
                f"{path}: persons {other!a} and {person!a} differ only in spelling; spell a person the "
                "same way everywhere, and two persons differently"
            )


def _find_column(table: Table, name: str, path: Path) -> str | None:
    """The column of that name, whatever its case, blanks and dashes."""
    columns = [column for column in table.columns if re.sub(r"[\s_-]", "", column).lower() == name]
    if len(columns) > 1:
        raise UserError(f"{path}: has {len(columns)} columns {', '.join(columns)}; keep one of them")
    return columns[0] if columns else None
