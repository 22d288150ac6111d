"""Choose the post-processing of folds on predictions for validation persons, and save the choice."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from eval.scoring.choice import METHOD, POSTPROCESSING, TRIED, PostProcessingChoice
from eval.scoring.choosing import choose_postprocessing
from eval.scoring.scores import ScoredRecording
from heads.run_folder import FoldResult, Run
from store import RecordingInfo, Store
from store.gate import read_json
from store.runtime.errors import UserError


class FoldChooser:
    """Chooses the post-processing of folds of one run."""

    def __init__(self, store: Store, folds: Sequence[FoldResult]) -> None:
        self._store = store
        self._folds = {result.fold.name: result for result in folds}
        self._labelled: dict[str, list[RecordingInfo]] = {}
        for info in store.recordings:
            if info.labelled:
                self._labelled.setdefault(info.person, []).append(info)
        self._label_hashes: dict[str, str] = {}

    def choose(self, name: str) -> PostProcessingChoice:
        """The choice of a fold, as it was kept if nothing has changed since.

        Raises
        ------
        UserError
            If predictions are missing or do not fit the store.
        """
        result = self._folds[name]
        validation = set(result.fold.validation)
        by_person = {person: infos for person, infos in self._labelled.items() if person in validation}
        inputs = self._hash_inputs(result, by_person)
        if kept := _read_kept(result.path / POSTPROCESSING, inputs):
            return kept
        choice = choose_postprocessing(self._read_recordings(result, by_person), result.threshold)
        return replace(choice, made_from=_sign(choice, inputs))

    def _read_recordings(
        self, result: FoldResult, by_person: dict[str, list[RecordingInfo]]
    ) -> dict[str, list[ScoredRecording]]:
        predicted = result.validation_probabilities()
        persons = {}
        for person, infos in by_person.items():
            for info in infos:
                if (seconds := len(predicted.get(info.name, ()))) != info.seconds:
                    raise UserError(
                        f"{result.validation_path}: {seconds} seconds of {info.name}, expected {info.seconds}; "
                        "train the fold again"
                    )
            persons[person] = [
                ScoredRecording(info.events, (), info.duration_s, self._store.labels(info), predicted[info.name])
                for info in infos
            ]
        return persons

    def _hash_inputs(self, result: FoldResult, by_person: dict[str, list[RecordingInfo]]) -> str:
        """Hash of all that the choice of a fold depends on; empty without predictions."""
        if not result.validation_path.is_file():
            return ""
        labels = {person: self._hash_labels(person, infos) for person, infos in by_person.items()}
        digest = hashlib.sha256(json.dumps([METHOD, TRIED, result.threshold, labels]).encode())
        digest.update(result.validation_path.read_bytes())
        return digest.hexdigest()

    def _hash_labels(self, person: str, infos: Sequence[RecordingInfo]) -> str:
        if person not in self._label_hashes:
            file_of = self._store.file_of
            rows = [
                [info.name, info.duration_s, info.seconds, file_of(info.subject).label_hash(info)]
                for info in infos
            ]
            self._label_hashes[person] = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        return self._label_hashes[person]


def choose_in_worker(
    call: str, run_path: Path, seed: int | None, store_paths: tuple[Path, ...], name: str
) -> PostProcessingChoice:
    """The choice of a fold in a worker, which opens run and store once for all of its folds of a call."""
    return _open_in_worker(call, run_path, seed, store_paths).choose(name)


@lru_cache(maxsize=1)
def _open_in_worker(call: str, run_path: Path, seed: int | None, store_paths: tuple[Path, ...]) -> FoldChooser:
    del call  # a run and a store may change before the next
    run = replace(Run.open(run_path), seed=seed)
    return FoldChooser(run.open_store(store_paths), run.folds)


def _read_kept(path: Path, inputs: str) -> PostProcessingChoice | None:
    """The choice in a file, if it was made from these inputs and is as it was written."""
    with suppress(UserError):
        choice = PostProcessingChoice.from_json(read_json(path))
        if inputs and choice.made_from == _sign(choice, inputs):
            return choice
    return None


def _sign(choice: PostProcessingChoice, inputs: str) -> str:
    """Hash of a choice and of what it was made from."""
    values = json.dumps(replace(choice, made_from="").to_json())
    return hashlib.sha256(f"{inputs}{values}".encode()).hexdigest()
