"""Standard test: score trained heads on a store of other data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from eval.scoring.choice import POSTPROCESSING, read_choice
from eval.scoring.results import Results, score_recordings
from eval.scoring.scored_heads import SCORED, hash_scored
from eval.scoring.tested import TESTED, is_of_head_in_use, read_tested
from heads.dataset import StoreDataset
from heads.inference import predict_persons
from heads.models.saved import load_head
from heads.run_folder import FoldResult, Run, describe_run
from heads.run_folder.store_change import find_change, list_known_as
from store import Store
from store import open as open_store
from store.gate import read_json
from store.interop.dataset_names import same_dataset
from store.runtime.atomic import write_text
from store.runtime.errors import UserError
from store.runtime.outputs import guard_folder, list_others
from store.runtime.plurals import list_names


@dataclass(frozen=True)
class StandardTest:
    """Heads of a run to score on another store."""

    run: Run
    store: Store
    out: Path
    folds: tuple[FoldResult, ...]
    named_heads: tuple[str, ...] = ()  # on the command line, whose code may run

    @property
    def heads(self) -> dict[str, FoldResult]:
        """The heads by name."""
        return {self.run.head_name(result): result for result in self.folds}

    @cached_property
    def training_persons(self) -> tuple[str, ...]:
        """Persons of the store that the heads trained or chose on, by name in one data set or by features."""
        trained = [known for name in self._trained for known in list_known_as(self.run.config["store"], name)]
        tested = {
            file.person
            for file in self.store.files
            if any(file.person == person and same_dataset(file.dataset, dataset) for dataset, person in trained)
        }
        return tuple(sorted(tested | self._known_by_features))

    @cached_property
    def _trained(self) -> set[str]:
        """Persons of the run that the heads trained or chose on."""
        return {person for result in self.folds for person in (*result.fold.train, *result.fold.validation)}

    @cached_property
    def _known_by_features(self) -> set[str]:
        """Persons of the store with a recording that a person of the training has too, whatever their names."""
        rows = self.run.config["store"].get("recordings", {}).values()
        trained = {row["features"] for row in rows if row["person"] in self._trained}
        identities = self.store.recording_identities()
        return {r.person for r in self.store.recordings if r.windows and identities[r.name]["features"] in trained}

    @property
    def compares_names_alone(self) -> bool:
        """Whether a training person is known by its name alone, as a data set is not known."""
        recorded = self.run.config["store"].get("datasets") or [""]
        is_known = all((*recorded, *(file.dataset for file in self.store.files)))
        return not is_known and not set(self.training_persons) <= self._known_by_features

    @property
    def config(self) -> dict[str, Any]:
        """Content of ``config.json``: the run's settings, the tested store, and which heads saw which persons."""
        heads = {
            name: {
                "train": sorted({*result.fold.train, *result.fold.validation}),
                "test": list(self.store.persons),
            }
            for name, result in self.heads.items()
        }
        return {
            **describe_run(self.run.config["settings"], self.store),
            TESTED: {
                "run": str(self.run.path.resolve()),
                "heads": heads,
                "training_persons": list(self.training_persons),
            },
        }

    @property
    def is_scored(self) -> bool:
        """Whether the folder of the scores holds those of heads of the same persons on the store as it is."""
        stored = self._read_stored() or {}
        heads = (read_tested(stored) or {}).get("heads")
        same_store = stored.get("store", {}).get("identities") == self.store.identities
        return bool(heads == self.config[TESTED]["heads"] and same_store)

    def check_folder(self) -> list[str]:
        """Say how this test differs from the one whose scores the folder holds.

        Raises
        ------
        UserError
            If it holds something else: a run, or scores of another run, on another store, or of the head in use
            instead of the heads of all folds.
        """
        guard_folder(self.out, inputs=[self.store.path], allowed_mark="config.json")
        stored = self._read_stored()
        if stored is None:
            if others := list_others(self.out):
                raise UserError(
                    f"{self.out}: holds {others[0]} and no scores; choose a new folder for scores on other data"
                )
            return []
        tested = read_tested(stored)
        if tested is None:
            raise UserError(f"{self.out}: holds a run; choose another folder for scores on other data")
        if not self._repeats(stored, tested):
            heads = "the head in use" if is_of_head_in_use(tested) else "the heads of all folds"
            raise UserError(
                f"{self.out}: holds scores of {heads} of {tested.get('run')} on {stored['store'].get('path')}; "
                "choose another folder"
            )
        changes = list(self._list_changes(stored["store"], tested["heads"]))
        is_other = self._read_scored() not in (None, hash_scored(self.config, self.folds))
        return changes or ["heads, post-processing or scoring changed"] * is_other

    def mark_folder(self) -> None:
        """Mark the folder of the scores as holding this test."""
        write_text(self.out / "config.json", json.dumps(self.config, indent=2, sort_keys=True) + "\n")

    def _read_stored(self) -> dict[str, Any] | None:
        """Content of ``config.json`` in the folder of the scores; None if there is none."""
        return Run.open(self.out).config if (self.out / "config.json").is_file() else None

    def _repeats(self, stored: Mapping[str, Any], tested: Mapping[str, Any]) -> bool:
        """Whether scores are of this run and store by their paths, or of the same heads and features."""
        if is_of_head_in_use(tested) != is_of_head_in_use(self.config[TESTED]):
            return False
        same_run = tested.get("run") == self.config[TESTED]["run"]
        same_path = stored["store"].get("path") == self.config["store"]["path"]
        same_content = stored["store"].get("identities") == self.store.identities
        return (same_run and (same_path or same_content)) or (
            self._read_scored() == hash_scored(self.config, self.folds)
        )

    def _read_scored(self) -> str | None:
        """What the scores in the folder were made from; None if it has none."""
        metrics = self.out / "metrics.json"
        return read_json(metrics).get(SCORED) if metrics.is_file() else None

    def _list_changes(self, store: Mapping[str, Any], heads: Mapping[str, Any]) -> Iterator[str]:
        """How the test differs from one of a store and heads as ``config.json`` describes them."""
        now = self.config[TESTED]["heads"]
        if gone_or_new := sorted(heads.keys() ^ now.keys()):
            yield f"heads gone or new: {list_names(gone_or_new)}"
        if retrained := [name for name in now if name in heads and heads[name]["train"] != now[name]["train"]]:
            yield f"heads trained on other persons: {list_names(retrained)}"
        if change := find_change(store, self.store):
            yield f"store changed: {change}"

    def score(self, device: torch.device) -> Iterator[Results]:
        """Score each head on all persons of the store; several heads write to a folder each, of their name."""
        dataset = StoreDataset(self.store)
        for name, result in self.heads.items():
            path = self.out / "heads" / name if len(self.heads) > 1 else self.out
            choice = read_choice(result.path / POSTPROCESSING)
            posts = dict.fromkeys(self.store.persons, choice.post)
            choices = {result.fold.name: choice}
            head, _, _ = load_head(result.head_path, self.named_heads)
            probabilities = predict_persons(head, self.store.persons, dataset, device)
            yield score_recordings(path, self.config, self.store, [result], choices, posts, probabilities)


def prepare_test(
    run_path: Path, store_path: Path, out: Path, selection: str, named_heads: Sequence[str] = ()
) -> StandardTest:
    """Open run and store, and compare what the heads take with what the store holds.

    Parameters
    ----------
    out
        Folder of the scores.
    selection
        "final" for the final head, or that of a given split, "all" for the head of every fold.
    named_heads
        Heads ``package.module:Name`` that the user named, whose code may run.

    Raises
    ------
    UserError
        If the heads are not there, have no post-processing, take other features than the store's, or are neither
        of this project nor named.
    """
    run, store = Run.open(run_path), open_store(store_path)
    folds = tuple(result for result in run.folds if is_final(result) == (selection == "final"))
    if selection == "final" and not folds:
        folds = tuple(result for result in run.folds if result.fold.is_given)
    if not folds:
        raise UserError(
            f"{run.path}: no finished {'final ' * (selection == 'final')}fold; {run.remedy_for(selection)}"
        )
    for result in folds:
        _, spec, _ = load_head(result.head_path, named_heads)
        if difference := store.spec.difference(spec):
            raise UserError(
                f"{store.path}: {difference} as for {result.head_path}; extract the data set with the encoder and "
                "the settings of the run's store"
            )
        read_choice(result.path / POSTPROCESSING)
    return StandardTest(run, store, out, folds, tuple(named_heads))


def is_final(result: FoldResult) -> bool:
    """Whether a fold trains on everyone, for use."""
    return not result.fold.test
