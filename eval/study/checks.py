"""Checks before anything is encoded: folders with other content, data sets without folds or tests."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.study.options import StudyCommand
from extract.io.bids import DataSet, find_data_set
from extract.io.windows import label_seconds
from extract.planning.plan import Found
from extract.planning.subject import shorten_problem
from extract.planning.survey import survey
from heads.folds import DEFAULT_INNER, Inner, LabelCounts, make_folds
from heads.run_folder import require_groups
from store.gate import read_json
from store.interop.dataset_names import same_dataset
from store.runtime.atomic import write_text
from store.runtime.commands import command_line
from store.runtime.errors import UserError
from store.runtime.outputs import guard_folder, list_others
from store.runtime.plurals import count_noun, noun_with_names

MARK = "study.json"
_FEWEST_PERSONS = 3  # to train, to choose and to test


def check_folder(command: StudyCommand) -> Inner | None:
    """Refuse a folder that is not this study's, and write nothing; who chooses for a fold, if that was ever given.

    Raises
    ------
    UserError
        If it holds another study or something else, or is within a data set.
    """
    inputs = [command.bids, *([command.test_bids] if command.test_bids is not None else [])]
    guard_folder(command.out, inputs=inputs, allowed_mark=MARK, apart=inputs)
    stored = read_mark(command)
    if not stored and (others := list_others(command.out)):
        raise UserError(f"{command.out}: holds {others[0]} and no study; give a new folder")
    if stored and stored.get("bids") != _describe_bids(command):
        raise UserError(f"{command.out}: holds a study of {stored.get('bids')}; give a new folder")
    recorded: Inner | None = stored.get("inner", command.inner)
    in_force = DEFAULT_INNER if recorded is None else recorded
    if command.inner not in (None, in_force):
        raise UserError(f"{command.out}: holds a study with --inner {in_force}; repeat that, or give a new folder")
    return recorded


def read_mark(command: StudyCommand) -> dict[str, Any]:
    """What marks the folder of a study; empty if nothing does."""
    path = command.out / MARK
    return read_json(path) if path.is_file() else {}


def write_mark(command: StudyCommand, **more: Any) -> None:
    """Mark the folder as holding a study of the data set."""
    mark = read_mark(command)
    if mark != (content := {**mark, "bids": _describe_bids(command), **more}):
        write_text(command.out / MARK, json.dumps(content) + "\n")


def _describe_bids(command: StudyCommand) -> str:
    return str(command.bids.resolve())


def check_data(command: StudyCommand, inner: Inner | None) -> None:
    """Refuse data sets of which folds or tests cannot be made, as far as names, headers and events tell.

    Raises
    ------
    UserError
        If recordings cannot be used, persons or seizures do not suffice, or a tested person is a training person.
    """
    data = _find(command, command.bids)
    tested = None if command.test_bids is None else _find(command, command.test_bids)
    if tested is not None and same_dataset(data.name, tested.name):
        require_other_persons(command, sorted(_persons(data) & _persons(tested)))
    usable = _select_usable(command, data, unlabelled=False)
    if tested is not None:
        _select_usable(command, tested, command.unlabelled)
    persons = sorted({item.recording.person for item in usable})
    if len(persons) < _FEWEST_PERSONS:
        raise UserError(
            f"{command.bids}: {count_noun(len(persons), 'person')} ({', '.join(persons)}); a study "
            f"trains, chooses and tests on {_FEWEST_PERSONS} or more; give a larger data set"
        )
    if all(item.duration_s for item in usable):  # else only reading tells how long they are
        in_force = DEFAULT_INNER if inner is None else inner
        try:
            for fold in ("all", "final") if tested is not None else ("all",):
                require_groups(make_folds(_count_labels(usable), fold, in_force), inner)
        except UserError as error:
            raise UserError(f"{command.bids}: {error}") from error


def require_other_persons(command: StudyCommand, shared: Sequence[str]) -> None:
    """Refuse persons of the training data among those of ``--test-bids``.

    Raises
    ------
    UserError
        Naming them.
    """
    if shared:
        raise UserError(
            f"{command.test_bids}: holds {noun_with_names('training person', shared)} too; give a data set of "
            "other persons"
        )


def require_usable(command: StudyCommand, bids: object, failures: Sequence[str]) -> None:
    """Refuse recordings that cannot be used.

    Raises
    ------
    UserError
        With their number and the first reason.
    """
    if failures and not command.skip_unusable:
        raise UserError(
            f"{bids}: {count_noun(len(failures), 'recording')} cannot be used, the first: "
            f"{failures[0]}; fix them, or leave them out with --skip-unusable"
        )


def _find(command: StudyCommand, bids: Any) -> DataSet:
    data = find_data_set(bids)
    if not data.recordings:
        raise UserError(f"{bids}: no recording of a person; {command_line('extract')} --check says why")
    return data


def _persons(data: DataSet) -> set[str]:
    return {recording.person for recording in data.recordings}


def _select_usable(command: StudyCommand, data: DataSet, unlabelled: bool) -> list[Found]:
    """Recordings that can be used, as far as their headers and events files tell."""
    recordings = [recording for subject in data.by_subject.values() for recording in subject]
    surveyed = [survey(recording, None, "error", unlabelled) for recording in recordings]
    failures = [f"{item.recording.name}: {shorten_problem(item, data)}" for item in surveyed if item.problem]
    require_usable(command, data.path, failures)
    return [item for item in surveyed if not item.problem]


def _count_labels(usable: Sequence[Found]) -> dict[str, LabelCounts]:
    """Seconds of each person by label."""
    seconds = {item.recording.person: np.zeros(2, int) for item in usable}
    for item in usable:
        events = item.annotations.events if item.annotations is not None else ()
        seconds[item.recording.person] += np.bincount(label_seconds(events, item.duration_s), minlength=2)
    return {person: LabelCounts(int(ictal), int(background)) for person, (background, ictal) in seconds.items()}
