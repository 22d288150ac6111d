"""Results of controls, as a file keeps them for the next call."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from store.runtime.atomic import write_text
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError


@dataclass(frozen=True)
class Control:
    """One control: its result, the expected result, and whether they agree (None if that is undefined)."""

    name: str
    result: str
    expected: str
    holds: bool | None
    values: dict[str, float | int | None]
    made_of: str = ""  # hash of its inputs
    run: str = ""  # hash of the run's folds and scores at that time

    @property
    def line(self) -> str:
        """The control as one line."""
        verdict = {True: "as expected", False: "NOT AS EXPECTED", None: ""}[self.holds]
        expected = f" (expected: {self.expected})" if self.expected else ""
        return f"{to_one_line(self.name)}: {self.result}{expected} {verdict}".rstrip()


def read_controls(out: Path) -> dict[str, list[Control]]:
    """Controls of an earlier call by the hash of their inputs, without those of versions that kept none."""
    path = out / "controls.json"
    known: dict[str, list[Control]] = {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        for control in (Control(**row) for row in rows):
            known.setdefault(control.made_of, []).append(control)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it, and the controls are run again") from error
    known.pop("", None)
    return known


def write_controls(out: Path, results: Sequence[Control]) -> None:
    """Write ``controls.json`` for `read_controls`."""
    write_text(out / "controls.json", json.dumps([asdict(control) for control in results], indent=2) + "\n")


def tabulate_controls(results: Sequence[Control]) -> pd.DataFrame:
    """Results and what was expected as text, one row per control."""
    columns = {
        "result": [control.result for control in results],
        "expected": [control.expected for control in results],
    }
    return pd.DataFrame(columns, [control.name for control in results]).rename_axis(columns="control")
