"""Checkpoints of unfinished trainings in a run folder, and the list that marks them as the run's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heads.run_folder.lock import lock_folder
from store.gate import read_json
from store.runtime.atomic import write_text
from store.runtime.errors import UserError


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints that a run folder lists, each with the folds that it trains."""

    folder: Path

    @property
    def list_path(self) -> Path:
        """The list."""
        return self.folder / "checkpoints.json"

    def paths(self) -> list[Path]:
        """Those that are there.

        Raises
        ------
        UserError
            If the list names a file that no training writes.
        """
        return [path for name in self._read() if (path := self.folder / name).is_file()]

    def add(self, path: Path, folds: Sequence[str]) -> None:
        """List a file of an unfinished training.

        Raises
        ------
        UserError
            As `paths`.
        """
        with lock_folder(self.folder):
            listed = self._read()
            if listed.get(path.name) != list(folds):
                self._write({**listed, path.name: list(folds)})

    def remove(self, finished: set[str]) -> None:
        """Remove the files all of whose folds are finished.

        Raises
        ------
        UserError
            As `paths`.
        """
        with lock_folder(self.folder):
            listed = self._read()
            waiting = {name: folds for name, folds in listed.items() if not finished >= set(folds)}
            for name in listed.keys() - waiting.keys():
                (self.folder / name).unlink(missing_ok=True)
            if waiting:
                self._write(waiting)
            else:
                self.list_path.unlink(missing_ok=True)

    def _read(self) -> dict[str, list[str]]:
        if not self.list_path.is_file():
            return {}
        listed = read_json(self.list_path)
        for name, folds in listed.items():
            if Path(name).name != name or not name.startswith("training-") or not isinstance(folds, list):
                raise UserError(f"{self.list_path}: lists {name!r}, which no training writes; remove the file")
        return listed

    def _write(self, listed: dict[str, list[str]]) -> None:
        write_text(self.list_path, json.dumps(listed) + "\n")
