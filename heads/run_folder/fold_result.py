"""A finished fold in a run: its result, and its files, which are validated when read."""

import itertools
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from heads.folds import Fold
from store.gate import read_json
from store.runtime.atomic import atomic_write, sync_folder, write_text
from store.runtime.errors import UserError, os_errors

_MOST_EPOCHS = 1_000_000
_MOST_BYTES = 1 << 26
_NAMES, _SECONDS, _PROBABILITIES = "%names", "%seconds", "%probabilities"  # names that no recording has
_DAMAGE = (  # all that numpy and zipfile raise on a damaged file
    *(ValueError, KeyError, EOFError, AttributeError, TypeError, OverflowError, SyntaxError, MemoryError),
    *(RuntimeError, IndexError, OSError, zipfile.BadZipFile, zlib.error, struct.error),
)


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
            If they are not there, or damaged.
        """
        if not self.validation_path.is_file():
            raise UserError(f"{self.validation_path}: no validation predictions; train the run again")
        try:
            with (
                os_errors(self.validation_path),
                open(self.validation_path, "rb") as stream,  # numpy would leave it open at damage
                np.load(stream, allow_pickle=False) as file,
            ):
                return self._split_joined(file) if _NAMES in file.files else self._read_each(file)
        except UserError:
            raise
        except _DAMAGE as error:
            raise _damaged(self.validation_path, _describe(error)) from error

    def write_validation(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Write the probabilities of the validation persons, of all recordings in one array."""
        names = json.dumps([quote(name, errors="surrogateescape") for name in values]).encode()
        joined = np.concatenate([*values.values(), np.zeros(0, np.float32)])
        arrays: dict[str, NDArray[Any]] = {
            _NAMES: np.frombuffer(names, np.uint8),
            _SECONDS: np.array([len(row) for row in values.values()], np.int64),
            _PROBABILITIES: joined,
        }
        with atomic_write(self.validation_path) as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def _split_joined(self, file: Any) -> dict[str, NDArray[np.float32]]:
        names, seconds = json.loads(file[_NAMES].tobytes()), file[_SECONDS]
        joined = require_probabilities(self.validation_path, file[_PROBABILITIES])
        if seconds.dtype != np.int64 or seconds.min(initial=0) < 0 or seconds.sum() != len(joined):
            raise ValueError("the seconds of recordings do not add up")
        parts = np.split(joined, np.cumsum(seconds)[:-1]) if len(seconds) else []
        return {unquote(name, errors="surrogateescape"): row for name, row in zip(names, parts, strict=True)}

    def _read_each(self, file: Any) -> dict[str, NDArray[np.float32]]:
        """Read what earlier versions wrote, an array for each recording."""
        return {_from_key(key): require_probabilities(self.validation_path, file[key]) for key in file.files}

    def write(self) -> None:
        """Write ``fold.json``, which marks the fold as finished: everything else of it is there before."""
        content = {
            **asdict(self.fold),
            "best_epoch": self.best_epoch,
            "threshold": self.threshold,
            "history": self.history,
        }
        sync_folder(self.path, files=True)
        write_text(self.path / "fold.json", json.dumps(content, indent=2) + "\n", sync=True)


def _from_key(key: str) -> str:
    """Name of a recording in an archive of an earlier version, which marked what is quoted.

    >>> _from_key("sub-01"), _from_key("%sub-%31")
    ('sub-01', 'sub-1')
    """
    return unquote(key[1:], errors="surrogateescape") if key.startswith("%") else key


def read_fold(path: Path, name: str) -> FoldResult:
    """Read a ``fold.json`` of the fold of that name.

    Raises
    ------
    UserError
        If it is not what `FoldResult.write` writes.
    """
    content = read_json(path, _MOST_BYTES)
    if problem := _problem(content, name):
        raise _damaged(path, problem)
    persons = {side: tuple(content[side]) for side in ("test", "validation", "train")}
    inner = tuple(tuple(group) for group in content.get("inner", ()))
    fold = Fold(content["name"], **persons, inner=inner)
    return FoldResult(
        fold, path.parent, content["best_epoch"], float(content["threshold"]), tuple(content["history"])
    )


def read_array(path: Path) -> NDArray[np.float32]:
    """Read probabilities of seconds, ``(T,)`` float32.

    Raises
    ------
    UserError
        If the file is damaged, or holds something else.
    """
    try:
        with os_errors(path):
            values = np.load(path, mmap_mode="r", allow_pickle=False)  # reserves no memory that the file has not
            return require_probabilities(path, values)
    except UserError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, _describe(error)) from error


def _describe(error: Exception) -> str:
    """Say what is wrong with a file of arrays; numpy's advice to load pickles is none for a user."""
    text = str(error) or type(error).__name__
    return "it is not a file of arrays" if "pickle" in text else text


def require_probabilities(path: Path, values: Any) -> NDArray[np.float32]:
    """The values, if they are one float32 probability a second.

    Raises
    ------
    UserError
        Saying what they are.
    """
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype != np.float32:
        described = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise _damaged(path, f"holds {described}, expected float32 (seconds,)")
    if problem := describe_invalid(values):
        raise _damaged(path, problem)
    return np.array(values)


def describe_invalid(values: NDArray[Any]) -> str:
    """Say how many values are not within 0 to 1, and the first of them; empty if all are.

    >>> describe_invalid(np.array([0.5, 1.5, np.nan]))
    '2 values are not probabilities from 0 to 1, the first is 1.5'
    """
    invalid = values[~((values >= 0) & (values <= 1))]
    if not len(invalid):
        return ""
    return f"{len(invalid)} values are not probabilities from 0 to 1, the first is {invalid[0]}"


def _problem(content: Mapping[str, Any], folder: str) -> str:
    """Say what is wrong with the content of a fold; empty if nothing is."""
    expected = {"name", "test", "validation", "train", "best_epoch", "threshold", "history"}
    if missing := sorted(expected - content.keys()):
        return f"{missing[0]} is missing"
    if content["name"] != folder:
        return f"name is {content['name']!r} in the folder {folder}"
    for side in ("test", "validation", "train"):
        if not isinstance(content[side], list) or not all(isinstance(person, str) for person in content[side]):
            return f"{side} is not a list of persons"
    if problem := _sides_problem(content):
        return problem
    if type(content["best_epoch"]) is not int or not 0 <= content["best_epoch"] <= _MOST_EPOCHS:
        return f"best_epoch is {content['best_epoch']!r}, expected a count"
    if not _is_number(content["threshold"]) or not 0 <= content["threshold"] <= 1:
        return f"threshold is {content['threshold']!r}, expected a probability"
    history = content["history"]
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        return "history is not a list of epochs"
    if not all(_is_number(value) for entry in history for value in entry.values()):
        return "history holds a value that is not a number"
    if not all("epoch" in entry for entry in history):
        return "history holds an entry without epoch"
    if content["validation"] and not all("validation_auroc" in entry for entry in history):
        return "history holds an entry without validation_auroc"
    return ""


def _sides_problem(content: Mapping[str, Any]) -> str:
    """Say which person lies where no fold has one; empty if none."""
    test, validation, train = (content[side] for side in ("test", "validation", "train"))
    inner = content.get("inner", [])  # version 1 has none
    if empty := [side for side in ("validation", "train") if not content[side]]:
        return f"{empty[0]} has no person"
    if not isinstance(inner, list) or not all(isinstance(group, list) for group in inner):
        return "inner is not a list of groups"
    persons = [*test, *train] if inner else [*test, *validation, *train]
    if len(set(persons)) < len(persons) and test:
        return "a person is on two sides"
    if inner and (set(validation) - set(train) or sorted(map(str, itertools.chain(*inner))) != sorted(validation)):
        return "inner holds other persons than validation, or validation others than train"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"{path}: damaged ({' '.join(what.split())[:200]}); remove this fold's folder and train it again"
    )
