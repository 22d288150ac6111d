"""Names of persons that are no plain words: nothing leaves the run, no person vanishes, no text acts."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from eval.__main__ import main
from heads.train import main as train
from tests.helpers.stores import rename_person, write_subject
from tests.helpers.text_table import from_csv

PERSONS = ("site/1", "../../x", "final", "mean", "=cmd()", "\x1b[31mred", "José 脑", "$\\alpha")
QUICK = ("--epochs", "1", "--filters", "2", "--hidden", "2", "--head", "linear")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which everyone is tested, and a final head, scored, with its report."""
    root = tmp_path_factory.mktemp("names") / "here"
    for number, person in enumerate(PERSONS):
        rename_person(write_subject(root / "store", f"{number:02}", (120, 90), number), person)
    for fold in ("all", "final"):
        assert train(["--store", str(root / "store"), "--fold", fold, "--out", str(root / "run"), *QUICK]) == 0
    return root


def test_every_person_is_scored_and_everything_stays_in_the_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path for path in root.parent.rglob("*") if root / "run" not in path.parents}
    assert main([str(root / "run")]) == 0
    out = capsys.readouterr().out
    assert f"{root / 'run'}: 8 of 8 persons tested" in out
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out
    content = json.loads((root / "run" / "metrics.json").read_text())
    assert sorted(content["persons"]) == sorted(PERSONS)
    assert {path for path in root.parent.rglob("*") if root / "run" not in path.parents} == before
    for path in (root / "run" / "figures").glob("*.svg"):
        ElementTree.parse(path)
    assert len(list((root / "run" / "figures").glob("timeline-*.svg"))) == len(PERSONS)
    assert len(list((root / "run" / "folds").glob("*/postprocessing.json"))) == len(PERSONS) + 1


def test_no_cell_of_a_table_is_a_formula(root: Path) -> None:
    assert main([str(root / "run"), "--no-report"]) == 0
    text = (root / "run" / "metrics.csv").read_text()
    persons = [row["person"] for row in csv.DictReader(text.splitlines())]
    assert "'=cmd()" in persons
    assert [row[0] for row in from_csv(text)][1 : len(PERSONS) + 1] == sorted(PERSONS)
    for path in (root / "run").rglob("*.csv"):
        for row in csv.reader(path.read_text().splitlines()):
            for cell in row:
                assert cell[:1] not in "=+@" or not cell or cell.replace(".", "").replace("-", "").isdigit()


def test_runs_with_such_names_compare(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = root / "=other"
    settings = ("--fold", "all", "--out", str(other), *QUICK, "--seed", "1")
    assert train(["--store", str(root / "store"), *settings]) == 0
    for run in (root / "run", other):
        assert main([str(run), "--no-report"]) == 0
    capsys.readouterr()
    assert main(["compare", str(root / "run"), str(other)]) == 0
    assert capsys.readouterr().out.startswith("8 persons; differences are from run\n")
    (table,) = (root / "run" / "comparison").glob("*/comparison.csv")
    assert {row["run"] for row in csv.DictReader(table.read_text().splitlines())} == {"run", "'=other"}
