"""A run folder: what was trained, on what, with which result. Loads no torch."""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.folds import Fold
from store import RecordingInfo, Store, StoreError
from store import open as open_store


@dataclass(frozen=True)
class FoldResult:
    """A finished fold: what was chosen on its validation persons, and how training went."""

    fold: Fold
    path: Path
    best_epoch: int
    threshold: float
    history: tuple[dict[str, float], ...]  # an entry an epoch: epoch, loss, validation_auroc

    @property
    def head_path(self) -> Path:
        """The trained head."""
        return self.path / "head.safetensors"

    @property
    def validation_path(self) -> Path:
        """What the head says of its validation persons."""
        return self.path / "validation.npz"

    def validation_probabilities(self) -> dict[str, NDArray[np.float32]]:
        """Probability of each second of the validation persons: name of the recording -> ``(T,)`` float32.

        Raises
        ------
        FileNotFoundError
            If the fold was trained before they were kept.
        """
        if not self.validation_path.is_file():
            raise FileNotFoundError(f"{self.validation_path}: no validation predictions; train the run again")
        with np.load(self.validation_path, allow_pickle=False) as file:
            return dict(file)

    def write_validation(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the probabilities of the validation persons."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **values)

        write_aside(self.validation_path, write)


@dataclass(frozen=True)
class Run:
    """One run folder, opened."""

    path: Path
    config: dict[str, Any]

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> "Run":
        """Make the folder, or go on with one of the same settings on a store of the same content.

        Raises
        ------
        ValueError
            If the folder holds a run with another configuration.
        """
        config_path = path / "config.json"
        wanted = json.loads(json.dumps(config))
        if config_path.exists():
            stored = cls.open(path).config
            if stored.get("store", {}).get("checksums") != wanted.get("store", {}).get("checksums"):
                raise ValueError(
                    f"{path}: holds a run on another store or other content of it "
                    f"({stored['store']['path']}, now {wanted['store']['path']}); choose another --out"
                )
            if differing := _differing(stored.get("settings", {}), wanted.get("settings", {}), "settings."):
                raise ValueError(
                    f"{path}: holds a run with other settings ({differing}); repeat those, or choose another --out"
                )
        else:
            write_text(config_path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run.

        Raises
        ------
        FileNotFoundError
            If there is no run.
        ValueError
            If its configuration cannot be read.
        """
        config_path = path / "config.json"
        if not config_path.is_file():
            raise FileNotFoundError(
                f"{path}: no run here (config.json is missing); python -m heads.train makes one"
            )
        try:
            return cls(path, json.loads(config_path.read_text()))
        except json.JSONDecodeError as error:
            raise ValueError(f"{config_path}: not readable as JSON ({error}); train the run again") from error

    @property
    def folds(self) -> tuple[FoldResult, ...]:
        """Finished folds, sorted by name."""
        paths = sorted((self.path / "folds").glob("*/fold.json"))
        return tuple(_read_fold(path) for path in paths)

    def fold_path(self, name: str) -> Path:
        """Folder of a fold."""
        return self.path / "folds" / name

    def finish_fold(self, result: FoldResult) -> None:
        """Write ``fold.json``, which marks the fold as finished: everything else of it is there before."""
        content = {
            **asdict(result.fold),
            "best_epoch": result.best_epoch,
            "threshold": result.threshold,
            "history": result.history,
        }
        write_text(result.path / "fold.json", json.dumps(content, indent=2) + "\n")

    def probabilities_path(self, info: RecordingInfo) -> Path:
        """Where a recording's probabilities lie: beside its BIDS path, within ``predictions``."""
        return self.path / "predictions" / f"{info.relative_stem}_probabilities.npy"

    def probabilities(self, info: RecordingInfo) -> NDArray[np.float32]:
        """Predicted seizure probability of each second, ``(T,)`` float32.

        Raises
        ------
        FileNotFoundError
            If the recording was not predicted.
        ValueError
            If the prediction has not one value a second.
        """
        path = self.probabilities_path(info)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no prediction; train the fold of person {info.person}")
        values: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if values.shape != (info.seconds,):
            raise ValueError(f"{path}: shape is {values.shape}, wanted ({info.seconds},); train the fold again")
        return values

    def write_probabilities(self, info: RecordingInfo, values: NDArray[np.float32]) -> None:
        """Write a recording's probabilities, ``(T,)``."""
        write_aside(
            self.probabilities_path(info),
            lambda path: np.save(path, values.astype(np.float32), allow_pickle=False),
        )

    def open_store(self, path: Path | None = None) -> Store:
        """Open the store that the run was trained on, by its recorded path or where it is now.

        Raises
        ------
        StoreError
            If it is not there, or its content is not what the run was trained on.
        """
        identity = self.config["store"]
        store = open_store(path or Path(identity["path"]))
        if store.checksums != identity["checksums"]:
            raise StoreError(
                f"{store.path}: not the store that {self.path} was trained on; name that one by --store"
            )
        return store


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written beside its place and move it there: it appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears complete or not at all."""
    write_aside(path, lambda aside: aside.write_text(text))


def _read_fold(path: Path) -> FoldResult:
    content = json.loads(path.read_text())
    persons = {key: tuple(content[key]) for key in ("test", "validation", "train")}
    return FoldResult(
        Fold(content["name"], **persons),
        path.parent,
        content["best_epoch"],
        content["threshold"],
        tuple(content["history"]),
    )


def _differing(stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str:
    """Say which entries differ, by their dotted names."""
    parts = []
    for key in sorted(stored.keys() | wanted.keys()):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            parts.append(_differing(old, new, f"{prefix}{key}."))
        elif old != new:
            parts.append(f"{prefix}{key} is {old!r}, wanted {new!r}")
    return "; ".join(part for part in parts if part)
