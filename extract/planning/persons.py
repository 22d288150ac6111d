"""Update persons of subjects outside this extraction, so that one human is one person in the whole store."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from extract.io.bids import DataSet
from extract.planning.plan import Action
from extract.planning.subject import Subject, SubjectSource
from store.reader import StoreFile
from store.writer import relabel_file


def find_moved(source: SubjectSource, subjects: Sequence[Subject]) -> Iterator[tuple[StoreFile, str]]:
    """Files whose subject is of another person now, with that person, but those whose plan says so and is done.

    They may be of a subject that is gone, that was not selected, or that waits for a recording.
    """
    relabelled = {subject.name for subject in subjects if _is_relabelled(subject)}
    for file in source.list_files(subjects):
        person = _person_now(source.data, file)
        if file.person != person and file.subject not in relabelled:
            yield file, person


def describe_move(file: StoreFile, person: str) -> str:
    """Say in a line of which person a subject is now."""
    return f"sub-{file.subject}: person {file.person} is {person} now"


def move(file: StoreFile, person: str) -> None:
    """Replace a subject's file by one that is of another person, and the same otherwise."""
    relabel_file(
        file.path,
        recordings=[replace(info, person=person) for info in file.recordings],
        labels=file.labels,
        dataset=file.dataset,
        sources={name: replace(source, person=person) for name, source in file.sources.items()},
        left_out=file.left_out,
        participant=file.participant,
    )


def _is_relabelled(subject: Subject) -> bool:
    """Whether its plan rewrites its file before anything is encoded."""
    is_waiting = subject.error or subject.plan.is_blocked or subject.plan.select(Action.ENCODE)
    return bool(subject.found) and subject.plan.is_rewritten and not is_waiting


def _person_now(data: DataSet, file: StoreFile) -> str:
    is_known = file.subject in data.by_subject or file.subject in data.participants.columns
    return data.participants.person(file.subject) if is_known else file.person
