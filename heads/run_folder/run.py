"""A run folder: make it, resume it, read it."""

import io
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincodec_seizure import __version__
from heads.folds import GIVEN
from heads.run_folder.checkpoints import Checkpoints
from heads.run_folder.config import complete_settings, read_config
from heads.run_folder.fold_result import FoldResult, read_array, read_fold
from heads.run_folder.head_sources import HeadSources
from heads.run_folder.lock import lock_folder
from heads.run_folder.repeat import describe_difference, describe_head, fold_command, kind_of
from heads.run_folder.store_change import describe_store, find_change, name_folds, open_recorded
from heads.run_folder.sweep_choice import read_most_chosen
from store import RecordingInfo, Store, StoreError
from store.runtime.atomic import write_bytes, write_text
from store.runtime.commands import command_line, name_command
from store.runtime.errors import UserError, os_errors
from store.runtime.names import to_path_name
from store.runtime.outputs import guard_folder, list_others


@dataclass(frozen=True)
class Run:
    """One run folder, opened."""

    path: Path
    config: dict[str, Any]
    seed: int | None = None  # of a run of several seeds, whose heads and predictions; None is all of them

    def __repr__(self) -> str:
        of_seed = "" if self.seed is None else f", seed {self.seed}"
        return f"<Run {self.path}: {describe_head(self.config['settings'])}{of_seed}>"

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], *, force: bool = False) -> "Run":
        """Make the folder, or resume a run with the same settings there.

        Of two processes that make it at the same time with unlike settings, one gets the error.

        Parameters
        ----------
        force
            Whether the run may be made in a folder that holds something else.

        Raises
        ------
        UserError
            If the folder holds a run with other settings, or something else.
        """
        content = json.loads(json.dumps(config))
        config_path = path / "config.json"
        if not os.path.lexists(config_path):
            _guard_folder(path, content, force)
            _write_once(config_path, json.dumps(content, indent=2, sort_keys=True) + "\n")
        run = cls.open(path)
        stored, given = run.config["settings"], complete_settings(content["settings"])
        if (kind := kind_of(stored)) != (given_kind := kind_of(given)):
            raise UserError(f"{path}: is a run of {kind}, not of {given_kind}; choose another --out")
        if differing := describe_difference(stored, given):
            raise UserError(
                f"{path}: holds a run with other settings ({differing}); repeat those, or choose another --out"
            )
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run.

        Raises
        ------
        UserError
            If there is no run, or its configuration is damaged.
        """
        config_path = path / "config.json"
        if not config_path.is_file():
            elsewhere = "a file, not a run folder" if path.exists() else "no such folder"
            problem = "no run here (config.json is missing)" if path.is_dir() else elsewhere
            raise UserError(f"{path}: {problem}; {command_line('heads.train')} makes one")
        return cls(path, read_config(config_path))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that have heads of their own; none in a run of one seed, or of a sweep, which keeps one a fold."""
        settings = self.config["settings"]
        seed = settings.get("seed")
        return tuple(seed) if isinstance(seed, list) and "random" not in settings else ()

    @property
    def head_sources(self) -> HeadSources:
        """Source of its heads that are not this project's; none of a run that recorded none."""
        sources: HeadSources = self.config.get("head_sources", {})
        return sources

    def of_seed(self, seed: int) -> "Run":
        """The run as one of its seeds has it; the run itself if it has one seed."""
        return replace(self, seed=seed) if self.seeds else self

    @property
    def by_seed(self) -> tuple["Run", ...]:
        """The run as each of its seeds has it."""
        return tuple(self.of_seed(seed) for seed in self.seeds) or (self,)

    @property
    def scores_path(self) -> Path:
        """Folder of the scores, with the predictions."""
        return self.path if self.seed is None else self.path / f"seed-{self.seed}"

    @property
    def folds(self) -> tuple[FoldResult, ...]:
        """Finished folds, sorted by name; of each seed."""
        one_seed = self.seed is None and not self.seeds
        pattern = "*/fold.json" if one_seed else f"*/seed-{'*' if self.seed is None else self.seed}/fold.json"
        paths = sorted((self.path / "folds").glob(pattern))
        return tuple(read_fold(path, (path.parent if one_seed else path.parent.parent).name) for path in paths)

    def command_for(self, fold: str, stores: Sequence[Path] = ()) -> str:
        """What to type to have the fold "final", or "all", in this run; see `fold_command`.

        Raises
        ------
        UserError
            If the final head is of a sweep whose table, which says what the folds chose, is not there.
        """
        sweep_choice = None
        if fold == "final" and self._is_sweep:
            again = fold_command(self.path, self.config, "all", stores)
            sweep_choice = read_most_chosen(self.path, again)
        return fold_command(self.path, self.config, fold, stores, sweep_choice)

    def remedy_for(self, fold: str, stores: Sequence[Path] = ()) -> str:
        """Say what makes the fold "final", or "all", of this run, to end a message.

        Raises
        ------
        UserError
            As `command_for`.
        """
        command = self.command_for(fold, stores)
        if fold == "final" and self._is_sweep:
            return f"{command} makes one in a run of its own, with the setting that most folds chose"
        return f"{command} makes {'one' if fold == 'final' else 'them'}"

    @property
    def _is_sweep(self) -> bool:
        return kind_of(self.config["settings"]) == "sweep"

    def fold_path(self, name: str) -> Path:
        """Folder of a fold."""
        path = self.path / "folds" / name
        return path if self.seed is None else path / f"seed-{self.seed}"

    def head_name(self, result: FoldResult) -> str:
        """Name of a head: of its fold and, of several seeds, its seed."""
        return "-".join(result.path.relative_to(self.path / "folds").parts)

    @property
    def path_of_head_in_use(self) -> Path:
        """Folder of the fold whose head finds seizures in other EEG: the final one, or that of a given split."""
        given = self.fold_path(GIVEN)
        return given if given.exists() and not self.fold_path("final").exists() else self.fold_path("final")

    def is_finished(self, name: str) -> bool:
        """Whether a fold is finished."""
        return (self.fold_path(name) / "fold.json").is_file()

    def finish_fold(self, result: FoldResult) -> None:
        """Mark a fold as finished: everything else of it is there before."""
        result.write()

    def prediction_path(self, info: RecordingInfo, suffix: str) -> Path:
        """Where a prediction of a recording lies: beside its BIDS path, within ``predictions``."""
        *folders, stem = info.relative_stem.split("/")
        return Path(self.scores_path, "predictions", *map(to_path_name, folders), f"{to_path_name(stem)}_{suffix}")

    def probabilities_path(self, info: RecordingInfo) -> Path:
        """Where a recording's probabilities lie."""
        return self.prediction_path(info, "probabilities.npy")

    def probabilities(self, info: RecordingInfo) -> NDArray[np.float32]:
        """Predicted seizure probability of each second, ``(T,)`` float32.

        Raises
        ------
        UserError
            If the recording was not predicted, or the prediction has not one value a second.
        """
        path = self.probabilities_path(info)
        if not path.is_file():
            raise UserError(f"{path}: no prediction; train the fold of person {info.person}")
        values = read_array(path)
        if values.shape != (info.seconds,):
            raise UserError(f"{path}: shape is {values.shape}, expected ({info.seconds},); train the fold again")
        return values

    def write_probabilities(self, info: RecordingInfo, values: NDArray[np.float32]) -> None:
        """Write a recording's probabilities, ``(T,)``."""
        content = io.BytesIO()  # numpy would write around the checks of an `AtomicFile`
        np.save(content, values.astype(np.float32), allow_pickle=False)
        write_bytes(self.probabilities_path(info), content.getvalue())

    def open_store(self, paths: Sequence[Path] = ()) -> Store:
        """Open the store, or stores, that the run was trained on, by the recorded paths or where they are now.

        Raises
        ------
        StoreError
            If one is not there, or a fold was trained on other content.
        UserError
            If there are more or fewer paths than stores.
        """
        store = open_recorded(self.config["store"], paths)
        change = find_change(self.config["store"], store)
        kind = kind_of(self.config["settings"])
        if concerned := [result.fold for result in self.folds if change.concerns(result.fold)]:
            raise StoreError(
                f"{store.location}: not the store that {self.path} was trained on ({change}); this affects "
                f"{name_folds(concerned)}; give that store as --store, or train again with "
                f"{name_command(f'heads.{kind}')} --retrain"
            )
        return store

    @property
    def checkpoints(self) -> Checkpoints:
        """Files of unfinished trainings."""
        return Checkpoints(self.path)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints whose folds are finished, with every seed."""
        finished = [{result.fold.name for result in run.folds} for run in self.by_seed]
        self.checkpoints.remove(set.intersection(*finished))


def describe_run(
    settings: Mapping[str, Any], store: Store, head_sources: HeadSources | None = None
) -> dict[str, Any]:
    """Make the content of ``config.json``: settings, the store's identity, versions, sources of other heads."""
    libraries = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    return {
        "settings": dict(settings),
        "store": describe_store(store),
        "versions": {"braincodec-seizure": __version__, **libraries},
        **({"head_sources": head_sources} if head_sources else {}),
    }


def _guard_folder(path: Path, config: Mapping[str, Any], force: bool) -> None:
    """Refuse a folder that holds something else than a run."""
    recorded = config.get("store", {})
    sources = [recorded.get("path"), *(member["path"] for member in recorded.get("members", ()))]
    guard_folder(path, inputs=[Path(source) for source in sources if source], allowed_mark="config.json")
    with os_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    others = list_others(path)
    if others and not force and "config.json" not in others:
        raise UserError(f"{path}: holds {others[0]} and no run; choose another --out, or --force to use it")


def _write_once(path: Path, text: str) -> None:
    """Write a file, complete, unless another writer was first."""
    temporary = path.parent / f".{uuid.uuid4().hex}.new"  # other writers remove a .tmp that nobody locks
    try:
        write_text(temporary, text)
        with os_errors(path):
            _move_unless_there(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _move_unless_there(source: Path, path: Path) -> None:
    """Put a file where none is; under a lock if the file system has no hard links, as exFAT."""
    try:
        os.link(source, path)
    except FileExistsError:
        return
    except OSError:
        with lock_folder(path.parent):
            if not os.path.lexists(path):
                os.replace(source, path)
