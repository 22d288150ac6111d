"""Go on with a run whose store or head has changed: nothing that was trained otherwise stays among its folds."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from heads.folds import Fold
from heads.run_folder.head_sources import HeadSources, describe_changed_heads
from heads.run_folder.lock import lock_folder
from heads.run_folder.run import Run
from heads.run_folder.store_change import (
    StoreChange,
    describe_store,
    find_change,
    find_later_change,
    name_folds,
)
from store import Store
from store.gate import read_json
from store.runtime.atomic import write_text
from store.runtime.errors import UserError, os_errors
from store.runtime.names import to_path_name
from store.runtime.plurals import noun_with_names


class StaleError(UserError):
    """What was trained is not what a run would train now, since another process goes on with it."""


def follow_store(
    run: Run,
    store: Store,
    planned: Sequence[Fold],
    head_sources: HeadSources | None = None,
    *,
    retrain: bool = False,
) -> Run:
    """Go on with a store; what was trained on other content, or by another head, is an error, or is moved aside.

    Of processes that share the folder, one after the other does so.

    Parameters
    ----------
    planned
        Folds as the store makes them now.
    head_sources
        Of the heads that are not this project's, as they are now.
    retrain
        Whether what was trained otherwise moves to a folder ``folds-before-...``.

    Raises
    ------
    UserError
        If there are such folds or half-trained heads, without ``retrain``.
    """
    with lock_folder(run.path):
        return _follow_locked(Run.open(run.path), store, planned, head_sources or {}, retrain)


def require_current(run: Run, folds: Sequence[Fold], store: Store, head_sources: HeadSources) -> None:
    """Refuse folds that were trained on other content, or by another head, than the run records now.

    What they are written by goes on under the same `lock_folder`, so that the record stays as it is meanwhile.

    Parameters
    ----------
    store
        As it was opened to train on it.
    head_sources
        Of the heads that are not this project's, as they trained.

    Raises
    ------
    StaleError
        If another process went on with the run after the store, or a head, had changed.
    """
    config = Run.open(run.path).config
    change = find_later_change(store, config["store"])
    is_new = not change.persons <= {*store.persons}  # a person that no fold of this store knows
    other_head = describe_changed_heads(config, head_sources)
    stale = [fold for fold in folds if other_head or is_new or change.concerns(fold)]
    if stale:
        raise StaleError(
            f"{name_folds(stale)} not kept, since {run.path / 'config.json'} records "
            f"{other_head or f'another store ({change})'} by now; give the same command again"
        )


def _follow_locked(
    run: Run, store: Store, planned: Sequence[Fold], head_sources: HeadSources, retrain: bool
) -> Run:
    other_head = describe_changed_heads(run.config, head_sources)
    change = find_change(run.config["store"], store)
    folds = {fold.name: fold for fold in planned}
    old = [fold for fold in (result.fold for result in run.folds) if other_head or _is_old(fold, folds, change)]
    unfinished = list(_list_unfinished(run)) if change or other_head else []
    if (old or unfinished) and not retrain:
        what = " and ".join([name_folds(old)] * bool(old) + ["partly trained heads"] * bool(unfinished))
        differ = f"on a store or persons that differ from {store.location}"
        on_other = f"{differ} ({change or _describe_moved(old, folds)})"
        verb = "was" if len(old) == 1 and not unfinished else "were"
        why = f"with {other_head}" if other_head else on_other
        raise UserError(
            f"{run.path}: {what} {verb} trained {why}; choose another --out, or --retrain, which moves them aside"
        )
    if old or unfinished:
        _move_aside(run, old, unfinished)
    if not change and not other_head and "identities" in run.config["store"]:
        return run
    config = {**read_json(run.path / "config.json"), "store": describe_store(store)}
    if other_head:
        config["head_sources"] = head_sources
    write_text(run.path / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")
    return Run.open(run.path)


def _is_old(fold: Fold, planned: Mapping[str, Fold], change: StoreChange) -> bool:
    """Whether a finished fold would be trained otherwise now."""
    if fold.name in planned:
        return planned[fold.name] != fold or change.concerns(fold)
    return bool(change)


def _describe_moved(old: Sequence[Fold], planned: Mapping[str, Fold]) -> str:
    """Persons whose part in a given split is another now; else only that folds are made differently."""
    pairs = [(fold, planned[fold.name]) for fold in old if fold.is_given and fold.name in planned]
    moved = sorted(
        {
            person
            for before, now in pairs
            for part in ("train", "validation", "test")
            for person in {*getattr(before, part)} ^ {*getattr(now, part)}
        }
    )
    return f"{noun_with_names('person', moved)} in another part" if moved else "folds are made differently"


def _list_unfinished(run: Run) -> Iterator[Path]:
    """Files of heads that were trained in part, and rows of a sweep."""
    if "identities" in run.config["store"]:
        yield from run.checkpoints.paths()
    else:  # the first version listed none
        yield from sorted(run.path.glob("training-*.pt"))
    yield from sorted(run.path.glob("cells/*.*"))


def _move_aside(run: Run, folds: Sequence[Fold], unfinished: Sequence[Path]) -> None:
    """Move folds, their predictions and unfinished files to a folder of their own."""
    aside = run.path / f"folds-before-{time.strftime('%Y%m%d-%H%M%S')}"
    tested = {person for fold in folds for person in fold.test}
    recordings = run.config["store"].get("recordings", {})
    names = [name.split("/") for name, row in recordings.items() if row["person"] in tested]
    patterns = ["/**/".join(map(to_path_name, name)) for name in names]
    places = [seed_run.scores_path / "predictions" for seed_run in run.by_seed]
    predictions = [path for place in places for pattern in patterns for path in place.glob(f"**/{pattern}_*")]
    names_of_folds = sorted({fold.name for fold in folds})
    for path in (*unfinished, *predictions, *map(run.fold_path, names_of_folds)):
        target = aside / path.relative_to(run.path)
        with os_errors(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        with os_errors(path), suppress(FileNotFoundError):  # moved by another process, without locks
            path.rename(target)
