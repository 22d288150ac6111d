"""Reasons to trust the scores less than the figures suggest."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from eval.scoring.averages import list_choices
from eval.scoring.background import find_always_alarmed
from eval.scoring.results import Results, find_persons_seen
from eval.scoring.seizures import find_unlabelled_events
from eval.scoring.tested import find_training_persons
from store.runtime.plurals import count_noun, list_names, noun_with_names
from store.schema import LeftOut

_BACKGROUND_S = 3600
_FEWEST_PERSONS = 5
_NEEDING_SEIZURES = {"AUROC": "auroc", "AUPRC": "auprc", "sensitivity": "event.sensitivity"}
_NAMED = 3  # recordings; the report names all


def find_warnings(results: Results) -> list[str]:
    """Sentences on what weakens the scores, the most serious first."""
    checks = [
        _check_split(results),
        _check_known_persons(results.config, results.posts),
        _check_data(results),
    ]
    if len(results.persons):
        checks += [_check_persons(results.persons), _check_choices(results)]
    return list(itertools.chain.from_iterable(checks))


def find_score_warnings(config: Mapping[str, Any], persons: pd.DataFrame, tested: Collection[str]) -> list[str]:
    """Those of `find_warnings` that follow from scores of persons and the ``config.json`` beside them.

    Parameters
    ----------
    persons
        Scores of tested persons with labelled recordings.
    tested
        All tested persons.
    """
    checks = [_check_known_persons(config, tested)]
    if len(persons):
        checks.append(_check_persons(persons))
    return list(itertools.chain.from_iterable(checks))


def merge_warnings(warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """Warnings of several runs, each once: what does not concern all of them is preceded by their names.

    >>> merge_warnings({"a": ["few persons", "always on"], "b": ["few persons"]})
    ['few persons', 'a: always on']
    """
    by_text: dict[str, list[str]] = {}
    for name, texts in warnings.items():
        for text in texts:
            by_text.setdefault(text, []).append(name)
    return [
        text if len(names) == len(warnings) else f"{list_names(names)}: {text}" for text, names in by_text.items()
    ]


def list_left_out(results: Results) -> list[LeftOut]:
    """Recordings of the data set that the store was made without."""
    return [left_out for file in results.store.files for left_out in file.left_out]


def _check_split(results: Results) -> Iterator[str]:
    """Folds that knew the persons they test."""
    folds = [result.fold for result in results.folds]
    if leaks := sorted(fold.name for fold in folds if set(fold.test) & {*fold.train, *fold.validation}):
        yield (
            f"folds that chose or trained on the persons they test: {list_names(leaks)}; do not use their scores"
        )


def _check_known_persons(config: Mapping[str, Any], tested: Collection[str]) -> Iterator[str]:
    """Tested persons that head or encoder knew before."""
    if training_persons := find_training_persons(config):
        yield (
            f"persons of the training data are scored: {list_names(training_persons)}; their scores are "
            "not a test of new persons"
        )
    if overlap := sorted({*find_persons_seen(config["store"])} & {*tested}):
        yield (
            f"the encoder saw persons of these names in pretraining: {list_names(overlap)}; if they are the "
            "tested ones (the same data set), their scores are not a test of new persons"
        )


def _check_data(results: Results) -> Iterator[str]:
    """Recordings and events that count less than expected."""
    if left_out := list_left_out(results):
        names = _name_some([f"{recording.name} ({recording.reason})" for recording in left_out])
        yield f"{count_noun(len(left_out), 'recording')} of the data set not in the store: {names}"
    events = find_unlabelled_events(results.recordings).to_dict(orient="records")
    if events:
        names = _name_some([f"{event['recording']} at {event['onset_s']:g} s" for event in events])
        yield (
            f"{count_noun(len(events), 'seizure')} covering more than half of no second, so none is "
            f"labelled; event scores count them: {names}"
        )


def _check_persons(persons: pd.DataFrame) -> Iterator[str]:
    """Too little background or persons, undefined scores; detectors that are always on."""
    background_s = persons["seconds"] - persons["ictal_seconds"]
    if little := int((background_s < _BACKGROUND_S).sum()):
        yield (
            f"{little} of {count_noun(len(persons), 'person')} {'has' if little == 1 else 'have'} less than 1 h "
            f"of background ({background_s.sum() / 3600:.1f} h in all): false-alarm rates, precision and event F1 "
            "mean little"
        )
    for scores, names in _group_by_undefined(persons).items():
        reason = "no seizure" if "sensitivity" in scores else "all seconds of one label"
        who = noun_with_names("person", names)
        yield f"{', '.join(scores)} undefined for {who} ({reason}): left out of the means"
    if len(persons) < _FEWEST_PERSONS:
        tested = count_noun(len(persons), "tested person")
        yield f"only {tested}: means and intervals say little about new persons"
    if alarmed := find_always_alarmed(persons):
        yield (
            f"detections cover more than half of the background of {noun_with_names('person', alarmed)}; their "
            "event scores look too good, because neighbouring events are merged"
        )


def _group_by_undefined(persons: pd.DataFrame) -> dict[tuple[str, ...], list[str]]:
    """Scores that are undefined together, and the persons for whom they are."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for person, row in persons.sort_index().iterrows():
        if scores := tuple(name for name, column in _NEEDING_SEIZURES.items() if np.isnan(row[column])):
            groups.setdefault(scores, []).append(str(person))
    return groups


def _check_choices(results: Results) -> Iterator[str]:
    if edges := [name for name, (_, choice) in list_choices(results).items() if choice.at_edge]:
        yield (
            f"the threshold lies at the edge of what was tried in {noun_with_names('fold', edges)}: "
            "the validation persons do not determine it"
        )


def _name_some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f"; and {rest} more, in the report" if rest > 0 else "")
