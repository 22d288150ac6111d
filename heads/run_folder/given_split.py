"""A given split: read training, validation and test persons from a table or from participants.tsv."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from heads.folds import PARTS, Fold, Inner, LabelCounts, make_folds, make_given_fold
from store import Store
from store.reader import StoreFile
from store.runtime.commands import command_line
from store.runtime.errors import UserError, os_errors
from store.runtime.plurals import count_noun, list_names, noun_with_names

PARTICIPANTS = "participants:"  # begins a column of participants.tsv
_MOST_BYTES = 1 << 26


def read_split(given: str, store: Store) -> dict[str, str]:
    """Part of each person: "train", "validation" or "test"; a table may name persons that the store lacks.

    Parameters
    ----------
    given
        Path of a table with tabs, columns split and person (or participant_id, the subjects), or
        "participants:COLUMN": that column of participants.tsv, which the store keeps.

    Raises
    ------
    UserError
        If there is no such table or column, a value is no part, or a person is in two parts.
    """
    column = given.removeprefix(PARTICIPANTS)
    rows = _read_table(Path(given), store) if column == given else _read_participants(column, store.files)
    parts: dict[str, tuple[str, str]] = {}
    for person, row, value in rows:
        part = PARTS.get(value.strip().casefold())
        if part is None:
            raise UserError(
                f"--split {given}: {row} is {value!r}; allowed are train, validation (val, dev) and test (eval)"
            )
        before, first = parts.setdefault(person, (part, row))
        if before != part:
            raise UserError(
                f"--split {given}: person {person} is in {before} ({first}) and in {part} ({row}); a person is in "
                "one part"
            )
    return {person: part for person, (part, _) in parts.items()}


def plan_folds(
    store: Store, counts: Mapping[str, LabelCounts], selection: str, inner: Inner, split: str | None = None
) -> tuple[Fold, ...]:
    """Folds over the persons of a store, as `heads.folds.make_folds`, or the one of a given split.

    Persons of a given split that the store lacks are named on the output.

    Raises
    ------
    UserError
        If a fold cannot be made, or the split cannot be read.
    """
    if split is None:
        return make_folds(counts, selection, inner)
    parts = read_split(split, store)
    fold = make_given_fold(counts, parts, f"--split {split}")
    if unknown := sorted(parts.keys() - counts.keys()):
        print(f"--split {split}: {noun_with_names('person', unknown)} not in the store, left out")
    return (fold,)


def require_groups(folds: Iterable[Fold], inner: Inner | None) -> None:
    """Refuse a number of inner groups that was asked for and is more than a fold has persons to choose.

    Raises
    ------
    UserError
        Naming the fold.
    """
    for fold in folds:
        if isinstance(inner, int) and (most := len(fold.validation)) < inner:
            raise UserError(
                f"--inner {inner}: fold {fold.name} has {count_noun(most, 'person')} to choose; allowed: 2 to "
                f"{most} groups, pairs, one"
            )


def record_choice(inner: Inner, split: str | None) -> dict[str, int | str]:
    """What a run records of who chooses; of a split a column as it is, a table by its whole path."""
    if split is None:
        return {"inner": inner}
    return {"inner": inner, "split": split if split.startswith(PARTICIPANTS) else str(Path(split).resolve())}


def _read_participants(column: str, files: Iterable[StoreFile]) -> Iterator[tuple[str, str, str]]:
    """Person, subject and value of each subject."""
    for file in files:
        if column not in file.participant:
            known = ", ".join(file.participant) or "none"
            raise UserError(
                f"--split {PARTICIPANTS}{column}: {file.path} has no such column of participants.tsv; columns "
                f"there: {known}; add it to the data set and run {command_line('extract')} again"
            )
        yield file.person, f"sub-{file.subject}", file.participant[column]


def _read_table(path: Path, store: Store) -> Iterator[tuple[str, str, str]]:
    """Person, line and value of each row; a person or subject that the store does not hold by its name there."""
    column, rows = _parse_table(path)
    if column == "person":
        for number, name, value in rows:
            bare = name.removeprefix("sub-")
            yield bare if name not in store.persons and bare in store.persons else name, f"line {number}", value
        return
    subjects = _persons_of_subjects(store)
    for number, name, value in rows:
        persons = subjects.get(name.removeprefix("sub-"), [name])
        if len(persons) > 1:
            raise UserError(
                f"--split {path}: {name} is a subject of several stores ({list_names(persons)}); use a column "
                "person"
            )
        yield from ((person, f"line {number}", value) for person in persons)


def _parse_table(path: Path) -> tuple[str, list[tuple[int, str, str]]]:
    """The column that names who is split, and of each row its line, that name and the part."""
    with os_errors(path):
        if not path.is_file():
            raise UserError(f"--split {path}: no such file; give a table, or participants:COLUMN")
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"--split {path}: {path.stat().st_size} bytes; a table of persons is smaller")
        content = path.read_bytes()
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter="\t", strict=True)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--split {path}: cannot be read as a table ({error}); save it as text with tabs"
        ) from error
    named = [name for name in ("person", "participant_id") if name in columns]
    if not named or "split" not in columns:
        raise UserError(
            f"--split {path}: columns are {', '.join(columns) or 'missing'}; wanted split and person or "
            "participant_id, with tabs between"
        )
    return named[0], [
        (number, row[named[0]] or "", row["split"] or "") for number, row in enumerate(rows, start=2)
    ]


def _persons_of_subjects(store: Store) -> Mapping[str, list[str]]:
    """Persons by the name that a subject has in its own data set."""
    subjects: dict[str, list[str]] = {}
    for file in store.files:
        persons = subjects.setdefault((file.original or file).subject, [])
        if file.person not in persons:
            persons.append(file.person)
    return subjects
