"""A run folder: what was trained, on what, with which result. Loads no torch."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.folds import Fold
from store import RecordingInfo, Store, StoreError
from store import open as open_store
from store.runtime.atomic import atomic_write, sync_folder, write_bytes, write_text
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_settings


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
        UserError
            If the fold was trained before they were kept.
        """
        if not self.validation_path.is_file():
            raise UserError(f"{self.validation_path}: no validation predictions; train the run again")
        with np.load(self.validation_path, allow_pickle=False) as file:
            return dict(file)

    def write_validation(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the probabilities of the validation persons."""
        with atomic_write(self.validation_path) as file:
            np.savez_compressed(file, allow_pickle=False, **values)


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
        UserError
            If the folder holds a run with another configuration.
        """
        config_path = path / "config.json"
        wanted = json.loads(json.dumps(config))
        if config_path.exists():
            stored = cls.open(path).config
            if stored.get("store", {}).get("checksums") != wanted.get("store", {}).get("checksums"):
                raise UserError(
                    f"{path}: holds a run on another store or other content of it "
                    f"({stored['store']['path']}, now {wanted['store']['path']}); choose another --out"
                )
            if differing := _differing(stored.get("settings", {}), wanted.get("settings", {}), "settings."):
                raise UserError(
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
        UserError
            If there is no run.
        UserError
            If its configuration cannot be read.
        """
        config_path = path / "config.json"
        if not config_path.is_file():
            raise UserError(f"{path}: no run here (config.json is missing); python -m heads.train makes one")
        try:
            config = json.loads(config_path.read_text())
            return cls(path, {**config, "settings": translate_settings(config["settings"])})
        except json.JSONDecodeError as error:
            raise UserError(f"{config_path}: not readable as JSON ({error}); train the run again") from error

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
        sync_folder(result.path, files=True)
        write_text(result.path / "fold.json", json.dumps(content, indent=2) + "\n", sync=True)

    def probabilities_path(self, info: RecordingInfo) -> Path:
        """Where a recording's probabilities lie: beside its BIDS path, within ``predictions``."""
        return self.path / "predictions" / f"{info.relative_stem}_probabilities.npy"

    def probabilities(self, info: RecordingInfo) -> NDArray[np.float32]:
        """Predicted seizure probability of each second, ``(T,)`` float32.

        Raises
        ------
        UserError
            If the recording was not predicted.
        UserError
            If the prediction has not one value a second.
        """
        path = self.probabilities_path(info)
        if not path.is_file():
            raise UserError(f"{path}: no prediction; train the fold of person {info.person}")
        values: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if values.shape != (info.seconds,):
            raise UserError(f"{path}: shape is {values.shape}, wanted ({info.seconds},); train the fold again")
        return values

    def write_probabilities(self, info: RecordingInfo, values: NDArray[np.float32]) -> None:
        """Write a recording's probabilities, ``(T,)``."""
        content = io.BytesIO()  # numpy would write around the checks of an `AtomicFile`
        np.save(content, values.astype(np.float32), allow_pickle=False)
        write_bytes(self.probabilities_path(info), content.getvalue())

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


def describe_run(settings: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Make the content of ``config.json``: settings, the store's identity and versions."""
    return {
        "settings": dict(settings),
        "store": {
            "path": str(store.path.resolve()),
            "spec": asdict(store.spec),
            "checksums": store.checksums,
            "provenance": store.provenance,
        },
        "versions": {name: version(name) for name in ("braincodec-seizure", "torch", "numpy", "scikit-learn")},
    }


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
