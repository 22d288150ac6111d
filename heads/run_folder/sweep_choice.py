"""Which setting most folds of a sweep chose, as its table says."""

import csv
from dataclasses import fields
from pathlib import Path

from heads.settings import TrainSettings
from store.runtime.errors import UserError
from store.runtime.old_spellings import translate_settings

SWEEP_TABLE = "sweep.csv"  # in the run folder: one row per setting, the best validation score first


def read_most_chosen(path: Path, sweep_command: str) -> dict[str, str | None]:
    """Values that a sweep tried several of, as typed, of the setting that most of its folds chose.

    Of settings that equally many folds chose, it is the one with the best mean validation score.

    Parameters
    ----------
    path
        Of the sweep's run.
    sweep_command
        What to type to have the table written, for the message.

    Raises
    ------
    UserError
        If the sweep has no table, or it is damaged.
    """
    table = path / SWEEP_TABLE
    try:
        rows = list(csv.DictReader(table.read_text().splitlines()))
        most_chosen = max(rows, key=lambda row: int(row["folds_choosing"]))  # the first, if several have as many
    except (FileNotFoundError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"{table}: missing or damaged; {sweep_command} writes it") from error
    names = [field.name for field in fields(TrainSettings) if field.name in most_chosen]
    return translate_settings({name: most_chosen[name] or None for name in names})
