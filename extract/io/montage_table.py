"""Montages given by name or as a table of derivations."""

from pathlib import Path

from extract.io.montage import AS_RECORDED, NAMED, TABLE, Derivation, Montage, parse_name
from extract.io.tables import read_table
from store.runtime.errors import UserError
from store.runtime.names import is_bare
from store.runtime.options import suggest

_COLUMNS = ("name", "anode", "cathode")
_NONE = ("", "n/a")


def find_montage(name: str) -> Montage | None:
    """The montage of that name, or of the table in that file; None for as-recorded, which the data set tells.

    Raises
    ------
    UserError
        If there is neither.
    """
    if name == AS_RECORDED:
        return None
    if name in NAMED:
        return NAMED[name]
    if not Path(name).is_file():
        known = (*NAMED, AS_RECORDED)
        unknown = f'--montage: no montage "{name}"{suggest(name, known)}'
        raise UserError(
            f"{unknown if is_bare(name) else f'montage {name}: no such file'}; allowed: {', '.join(known)}, "
            "or a table (TSV) with "
            "the columns name, anode, cathode"
        )
    return read_montage(Path(name))


def read_montage(path: Path) -> Montage:
    """Read a table of derivations: tabs, the columns name, anode, cathode; rows of one name are tried in order.

    Raises
    ------
    UserError
        If the file cannot be read, lacks a column or a cell, or has no rows.
    """
    table = read_table(path)
    if absent := [column for column in _COLUMNS if column not in table.columns]:
        raise UserError(f"{path}: has no column {absent[0]}; it needs {', '.join(_COLUMNS)}, separated by tabs")
    derivations = []
    for row in table.rows:
        name, anode, cathode = (row.cells[column] for column in _COLUMNS)
        for column, cell in (("name", name), ("anode", anode)):
            if cell in _NONE or "\t" in cell:
                raise UserError(f"{path}: line {row.line} has no {column}; give one (cathode alone may be n/a)")
        if parse_name(anode) == parse_name(cathode):
            raise UserError(
                f"{path}: line {row.line}: {name} is {anode} minus itself, which is 0; give two electrodes, or "
                "the cathode n/a"
            )
        derivations.append(Derivation(name, anode, "" if cathode in _NONE else cathode))
    if not derivations:
        raise UserError(f"{path}: has no rows; give a derivation a line: name, anode, cathode")
    return Montage(TABLE, tuple(derivations))
