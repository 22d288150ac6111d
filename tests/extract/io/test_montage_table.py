"""Montages by name and as tables."""

from pathlib import Path

import pytest

from extract.io.montage import NAMED, Derivation
from extract.io.montage_table import find_montage, read_montage
from store.runtime.errors import UserError


def write(folder: Path, *rows: str) -> Path:
    path = folder / "montage.tsv"
    path.write_text("".join(row + "\n" for row in rows))
    return path


def test_table_of_derivations(tmp_path: Path) -> None:
    path = write(tmp_path, "name\tanode\tcathode\tnote", "left\tT7\tA1\tx", "left\tT7\tn/a", "z\tCZ\t")
    montage = find_montage(str(path))
    assert montage == read_montage(path)
    assert montage.derivations == (Derivation("left", "T7", "A1"), Derivation("left", "T7"), Derivation("z", "CZ"))
    assert (montage.name, montage.channels) == ("table", ("left", "z"))


def test_names() -> None:
    assert all(find_montage(name) is montage for name, montage in NAMED.items())
    assert find_montage("as-recorded") is None
    allowed = "; allowed: double-banana, .*, as-recorded, or a table"
    for name, message in (
        ("banana", r'--montage: no montage "banana" \(did you mean double-banana\?\)'),
        ("10-5", '--montage: no montage "10-5"'),
        ("referental-1020", r'no montage "referental-1020" \(did you mean referential-1020\?\)'),
        ("banana.tsv", "montage banana.tsv: no such file"),
        ("tables/banana", "montage tables/banana: no such file"),
    ):
        with pytest.raises(UserError, match=message + allowed):
            find_montage(name)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["name\tanode"], "has no column cathode; it needs name, anode, cathode, separated by tabs"),
        (["name\tanode\tcathode"], "has no rows; give a derivation a line"),
        (["name\tanode\tcathode", "a\tn/a\tF7"], "line 2 has no anode; give one"),
        (["name\tanode\tcathode", "a\tT7\tt3"], "line 2: a is T7 minus itself, which is 0; give two electrodes"),
        (["name\tanode\tcathode", "", "\tT7\tF7"], "line 3 has no name; give one"),
    ],
)
def test_what_is_no_montage(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_montage(write(tmp_path, *rows))
