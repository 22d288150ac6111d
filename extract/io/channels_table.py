"""The ``channels.tsv`` of a recording: its path, and the good EEG channels it lists."""

from pathlib import Path

from extract.io.tables import read_table
from store.runtime.errors import UserError


def find_channels_table(path: Path) -> Path | None:
    """The ``channels.tsv`` of a recording: beside it, else the nearest above that BIDS lets it inherit."""
    entities = set(path.stem.split("_"))
    parents = path.parents[:3]  # eeg, ses-*, sub-*
    subject = next((number for number, folder in enumerate(parents) if folder.name.startswith("sub-")), -1)
    for folder in path.parents[: subject + 2]:
        tables = [
            table
            for table in folder.glob("*channels.tsv")
            if set(table.name.removesuffix("channels.tsv").strip("_").split("_")) - {""} <= entities
        ]
        if tables:
            return max(tables, key=lambda table: (len(table.name), table.name))
    return None


def list_good_eeg(table_path: Path) -> frozenset[str]:
    """Names of the channels whose type is EEG and whose status is not bad.

    Raises
    ------
    UserError
        If the table cannot be read, or has no column for names or types.
    """
    table = read_table(table_path)
    if absent := [column for column in ("name", "type") if column not in table.columns]:
        raise UserError(f"{table_path}: has no column {absent[0]}; correct its header, or remove the file")
    return frozenset(
        row.cells["name"]
        for row in table.rows
        if row.cells["type"].upper() == "EEG" and row.cells.get("status", "").lower() != "bad"
    )
