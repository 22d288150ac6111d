"""Bring tables of a study into the documentation: python docs/make_tables.py STUDY docs/tables/NAME PAGE ..."""

import sys
from pathlib import Path

NAMES = ("auroc", "scores")


def main(argv: list[str]) -> int:
    """Copy the tables of a study, and replace those that the pages show."""
    study, tables, *pages = map(Path, argv)
    made = {name: (study / "tables" / f"{name}.md").read_text(encoding="utf-8") for name in NAMES}
    shown = {name: (tables / f"{name}.md").read_text(encoding="utf-8") for name in NAMES}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if not any(table in text for table in shown.values()):
            sys.exit(f"{page}: shows none of the tables in {tables}; restore the page, or name another")
        for name in NAMES:
            text = text.replace(shown[name], made[name])
        page.write_text(text, encoding="utf-8")
    for name in NAMES:
        (tables / f"{name}.md").write_text(made[name], encoding="utf-8")
    (tables / "study.csv").write_bytes((study / "study.csv").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
