"""Read several stores as one: a person belongs to one data set, whatever the names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from store.interop.dataset_names import same_dataset
from store.reader import (
    Store,
    StoreFile,
    StoreMember,
    merge_persons,
    open_store,
    require_distinct_recordings,
    require_one_person,
)
from store.runtime.commands import command_line
from store.runtime.errors import StoreError, UserError


def open_stores(paths: Sequence[Path], names: Sequence[str] | None = None) -> Store:
    """Open a store, or several of one spec as one.

    Of several, persons are called ``NAME_PERSON``, recordings ``NAME/RECORDING`` and subjects ``NAME/SUBJECT``;
    a store's name is that of its folder. Stores of one data set share its persons: they take the name of the first
    of them, and persons and recordings keep their own names if all stores are of one data set.

    Parameters
    ----------
    names
        Of the stores, if the folders have moved since they were named.

    Raises
    ------
    StoreError
        If one cannot be opened, if they differ in a field of the spec, if two hold the same recording, if a
        person may be one of another store, as a data set is not known, or if two persons share a recording.
    UserError
        If there is no path, or one twice.
    """
    if not paths:
        raise UserError("--store: no folder given; name one store or more")
    if len(paths) == 1:
        return open_store(paths[0])
    resolved = [Path(path).resolve() for path in paths]
    if twice := sorted({str(path) for path in resolved if resolved.count(path) > 1}):
        raise UserError(f"--store: {twice[0]} is given twice; name each store once")
    stores = [open_store(path) for path in paths]
    _require_one_spec(stores)
    _require_known_persons(stores)
    members = _name_members(stores, names or name_folders(resolved))
    pairs = zip(stores, members, strict=True)
    files = tuple(_rename(file, member) for store, member in pairs for file in store.files)
    require_distinct_recordings(files, _leave_one_out)
    require_one_person(files, _merge_or_remove)
    return Store(stores[0].path, files, members)


def name_folders(paths: Sequence[Path]) -> list[str]:
    """Names of folders, with as many of the folders above them as make them distinct.

    >>> name_folders([Path("/a/chb mit"), Path("/a/siena")]), name_folders([Path("/a/store"), Path("/b/store")])
    (['chb-mit', 'siena'], ['a-store', 'b-store'])
    """
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = [re.sub("[^A-Za-z0-9.]+", "-", "-".join(path.parts[-depth:])).strip("-.") for path in paths]
        if len(set(names)) == len(names) and all(names):
            return names
    raise UserError(f"stores of one name ({', '.join(map(str, paths))}); rename a folder")


def original_persons(store: Store) -> dict[str, tuple[str, str]]:
    """Data set and own name of each person of a store."""
    return {file.person: (file.dataset, (file.original or file).person) for file in store.files}


def _rename(file: StoreFile, member: StoreMember) -> StoreFile:
    """The file with its names among those of other stores."""
    person = f"{member.prefix}_{file.person}" if member.prefix else file.person
    subject, before = f"{member.name}/{file.subject}", f"{member.prefix}/" if member.prefix else ""
    rows = tuple(
        replace(info, name=before + info.name, subject=subject, person=person) for info in file.recordings
    )
    return replace(file, subject=subject, person=person, recordings=rows, original=file)


def _name_members(stores: Sequence[Store], names: Sequence[str]) -> tuple[StoreMember, ...]:
    groups = list(_group_by_dataset(stores))
    prefix = {number: names[group[0]] if len(groups) > 1 else "" for group in groups for number in group}
    return tuple(
        StoreMember(name, store.path, prefix[number])
        for number, (store, name) in enumerate(zip(stores, names, strict=True))
    )


def _group_by_dataset(stores: Sequence[Store]) -> Iterator[list[int]]:
    """Numbers of the stores that share a data set, in order."""
    groups: list[list[int]] = []
    for number, store in enumerate(stores):
        joined = [group for group in groups if any(_share_dataset(stores[other], store) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append(sorted([number, *(other for group in joined for other in group)]))
    yield from sorted(groups)


def _share_dataset(first: Store, second: Store) -> bool:
    datasets = [{file.dataset for file in store.files if file.dataset} for store in (first, second)]
    return any(same_dataset(dataset, other) for dataset in datasets[0] for other in datasets[1])


def _require_one_spec(stores: Sequence[Store]) -> None:
    for store in stores[1:]:
        if difference := store.spec.difference(stores[0].spec):
            raise StoreError(
                f"{store.path}: {difference} as in {stores[0].path}; stores that train together share one spec, "
                "extract one of the data sets again with the settings of the other"
            )


def _require_known_persons(stores: Sequence[Store]) -> None:
    for store in stores:
        unknown = {file.person for file in store.files if not file.dataset}
        for other in stores:
            if other is not store and (shared := sorted(unknown & set(other.persons))):
                raise StoreError(
                    f"{store.path}: does not say which data set person {shared[0]} is of, and {other.path} has a "
                    f"person of that name; bring the store up to date with {command_line('extract')}"
                )


def _merge_or_remove(file: StoreFile, other: StoreFile) -> str:
    """Say what to do about features that two persons have: those of two data sets are never one person."""
    if same_dataset(file.dataset, other.dataset):
        return merge_persons(file, other)
    return (
        f"a recording counts once: remove it from {file.dataset} or {other.dataset}, and from the store of that "
        f"data set by {command_line('extract')} --prune"
    )


def _leave_one_out(file: StoreFile, other: StoreFile) -> str:
    return f"a recording of {file.dataset} counts once, leave one of the files out"
