"""Describe how a store has changed since a run was trained on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heads.folds import Fold
from store import FeatureSpec, Store, StoreError, open_stores
from store.interop.join import original_persons
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun, list_names, noun_with_names

_SHOWN = 3  # recordings named in a message


@dataclass(frozen=True)
class StoreChange:
    """How a store differs from what a run recorded of it. False if it does not."""

    differences: tuple[str, ...] = ()  # "sub-01_..._run-00: labels"
    persons: frozenset[str] = field(default_factory=frozenset)  # whose recordings differ, before or now
    everyone: bool = False  # whether it may concern every person

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __str__(self) -> str:
        return list_names(self.differences, _SHOWN)

    def concerns(self, fold: Fold) -> bool:
        """Whether a fold was trained, chosen or tested on what differs."""
        persons = {*fold.test, *fold.validation, *fold.train}
        return bool(self) and (self.everyone or bool(self.persons & persons))


def describe_store(store: Store) -> dict[str, Any]:
    """What a run records of its store, or stores: where it is, what it is, what is known of its encoder."""
    described = {
        "path": str(store.path.resolve()),
        "spec": store.spec.to_dict(),
        "checksums": store.checksums,
        "identities": store.identities,
        "recordings": store.recording_identities(),
        "datasets": sorted({file.dataset for file in store.files}),
        "provenance": store.provenance,
    }
    if not store.members:
        return described
    persons = {
        name: {"dataset": dataset, "person": person} for name, (dataset, person) in original_persons(store).items()
    }
    members = [{"name": member.name, "path": str(member.path.resolve())} for member in store.members]
    return {**described, "members": members, "persons": persons}


def open_recorded(recorded: Mapping[str, Any], paths: Sequence[Path] = ()) -> Store:
    """Open the store, or stores, that `describe_store` described.

    Parameters
    ----------
    paths
        Where they are now, in the order in which they were described; without any, where they were.

    Raises
    ------
    StoreError
        If one cannot be opened.
    UserError
        If there are more or fewer folders than stores.
    """
    members = recorded.get("members") or [{"name": "", "path": recorded["path"]}]
    if paths and len(paths) != len(members):
        raise UserError(
            f"--store: {count_noun(len(paths), 'folder')}, the run was trained on {len(members)} "
            f"({', '.join(member['path'] for member in members)}); name them all, in this order"
        )
    recorded_paths = [Path(member["path"]) for member in members]
    if not paths and (missing := [path for path in recorded_paths if not path.exists()]):
        raise StoreError(
            f"{missing[0]}: no such store, but the run was trained on it; if it has moved, give --store "
            f"{'with all of its stores, in order' if len(members) > 1 else 'with its new path'}"
        )
    return open_stores(paths or recorded_paths, [member["name"] for member in members])


def list_known_as(recorded: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """Data sets, and name there, of a person of a run; an empty data set is not known.

    >>> list_known_as({"persons": {"siena_01": {"dataset": "Siena", "person": "01"}}}, "siena_01")
    [('Siena', '01')]
    >>> list_known_as({"datasets": ["CHB-MIT"]}, "01")
    [('CHB-MIT', '01')]
    """
    if name in recorded.get("persons", {}):
        row = recorded["persons"][name]
        return [(row["dataset"], row["person"])]
    return [(dataset, name) for dataset in recorded.get("datasets") or [""]]


def find_change(recorded: Mapping[str, Any], store: Store) -> StoreChange:
    """Compare a store with what `describe_store`, of this or an earlier version, recorded of one."""
    if "spec" in recorded and (difference := store.spec.difference(FeatureSpec.from_dict(recorded["spec"]))):
        return StoreChange((difference,), everyone=True)
    if "identities" in recorded and recorded["identities"] == store.identities:
        return StoreChange()
    if "recordings" in recorded:
        return _compare_recordings(recorded["recordings"], store.recording_identities())
    return _compare_checksums(recorded["checksums"], store)


def find_later_change(store: Store, recorded: Mapping[str, Any]) -> StoreChange:
    """Compare a store that is open with what `describe_store` recorded of it since it was opened."""
    spec = FeatureSpec.from_dict(recorded["spec"])
    if difference := spec.difference(store.spec):
        return StoreChange((difference,), everyone=True)
    if recorded.get("identities") == store.identities:
        return StoreChange()
    return _compare_recordings(store.recording_identities(), recorded.get("recordings", {}))


def _compare_recordings(before: Mapping[str, Any], now: Mapping[str, Any]) -> StoreChange:
    differences, persons = [], set()
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        persons |= {row[name]["person"] for row in (before, now) if name in row}
        if name not in now:
            differences.append(f"{name}: gone")
        elif name not in before:
            differences.append(f"{name}: new")
        else:
            fields = [field for field in now[name] if before[name].get(field) != now[name][field]]
            differences.append(f"{name}: {' and '.join(fields)}")
    return StoreChange(tuple(differences), frozenset(persons))


def _compare_checksums(before: Mapping[str, str], store: Store) -> StoreChange:
    """Compare subjects as a whole, which is all that a run of the first version recorded."""
    differences, persons, everyone = [], set(), False
    files = {file.subject: file for file in store.files}
    for subject in sorted(before.keys() | files.keys()):
        file = files.get(subject)
        if file is None:
            differences.append(f"sub-{subject}: gone")
            everyone = True  # its person is not known
        elif subject not in before:
            differences.append(f"sub-{subject}: new")
            persons.add(file.person)
        elif before[subject] not in (file.checksum, *file.former_checksums):
            differences.append(f"sub-{subject}: content")
            everyone = True  # its person may have been another
    return StoreChange(tuple(differences), frozenset(persons), everyone)


def name_folds(folds: Iterable[Fold]) -> str:
    """Names of folds for a message."""
    return noun_with_names("fold", list(dict.fromkeys(fold.name for fold in folds)))
