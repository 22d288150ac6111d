"""Update a subject's file: change only labels, or join new parts with those that stay."""

import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from extract.planning.decision import Decision, Verdict
from extract.planning.paths import part_path, parts_path, published_path
from extract.planning.plan import Action
from extract.planning.rows import StoredRow, update_rows
from extract.planning.subject import Subject, SubjectSource
from store.reader import StoreFile
from store.runtime.errors import StoreError
from store.schema import LeftOut
from store.writer import join_files, relabel_file, write_file


def write_as_it_is(
    source: SubjectSource, subject: Subject, write: Callable[[Subject], Decision]
) -> tuple[Subject, Decision]:
    """Write a subject; look at it and write again, twice at most, if another extraction changed it meanwhile."""
    for is_last in (False, False, True):
        if subject.found and not source.is_as_seen(subject):
            subject = source.look_at(subject.name)
        try:
            decision = write(subject)
        except (StoreError, FileNotFoundError):
            if is_last or source.is_as_seen(subject):
                raise
        else:
            if decision.verdict is not Verdict.WAIT or is_last or source.is_as_seen(subject):
                return subject, decision
    raise AssertionError("the last attempt returns or raises")


def rewrite_subject(subject: Subject, left_out: Sequence[LeftOut]) -> bool:
    """Replace a subject's file by one with the same features and what else is true now, by one replace.

    Returns
    -------
    bool
        False if there is no file, or none of its recordings can be used: then it stays as it is.
    """
    if subject.stored is None:
        return False
    rows = list(update_rows(subject.stored, subject.plan, subject.found))
    if rows:
        relabel_file(
            subject.stored.path,
            recordings=[row.info for row in rows],
            labels=np.concatenate([row.labels for row in rows]),
            dataset=subject.dataset,
            sources={row.info.name: row.source for row in rows if row.source is not None},
            left_out=left_out,
            participant=subject.participant,
        )
    elif all(step.action is Action.PRUNE for step in subject.plan.steps):
        subject.stored.path.unlink(missing_ok=True)
    else:
        return False
    return True


def join_subject(store: Path, subject: Subject, encoded: Sequence[str], left_out: Sequence[LeftOut]) -> None:
    """Publish a subject: the parts that were encoded and what stays of its file, sorted by name."""
    names = list(encoded)
    if subject.stored is not None:
        for row in update_rows(subject.stored, subject.plan, subject.found):
            _copy_to_part(store, subject.name, subject.stored, row)
            names.append(row.info.name)
    join_files(
        published_path(store, subject.name),
        [part_path(store, subject.name, name) for name in sorted(names)],
        dataset=subject.dataset,
        left_out=left_out,
        participant=subject.participant,
    )


def remove_parts(store: Path, *subjects: str) -> None:
    """Remove the parts of subjects; another extraction of one that is published notices that it is."""
    for subject in subjects:
        shutil.rmtree(parts_path(store, subject), ignore_errors=True)


def remove_empty_folders(store: Path) -> None:
    """Remove the folders of parts that hold nothing, and that of a store that does."""
    parts = parts_path(store, "").parent
    for folder in (*parts.glob("sub-*"), parts, store):
        with suppress(OSError):  # holds something, or is not there
            folder.rmdir()


def list_gone_parts(store: Path, subjects: Collection[str]) -> list[str]:
    """Subjects that have parts and are none of these."""
    folders = parts_path(store, "").parent.glob("sub-*")
    return sorted({folder.name.removeprefix("sub-") for folder in folders} - set(subjects))


def _copy_to_part(store: Path, subject: str, stored: StoreFile, row: StoredRow) -> None:
    """Copy one recording of a published file to a part of its own."""
    write_file(
        part_path(store, subject, row.info.name),
        stored.spec,
        [replace(row.info, first_window=0, first_second=0)],
        row.labels,
        stored.blocks(row.number),
        stored.provenance,
        stored.codebooks,
        sources={row.info.name: row.source} if row.source is not None else {},
    )
