"""Every shell and Python block of README and docs runs, on a tiny synthetic data set, or says what it needs."""

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from braincodec_seizure import COMMANDS
from braincodec_seizure import main as braincodec_seizure
from eval.report.study_tables import format_study, pivot_study
from eval.report.tables import to_markdown
from eval.scoring.background import Background
from tests.helpers.paths import ROOT

# what a block may need that a test has not
NEEDS = {"install", "download", "docker", "cluster", "hours", "stream", "gpu"}
LANGUAGES = {"sh", "python", "text", "toml"}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?:[ ]*<!-- needs: (?P<needs>\w+) -->\n)?"
    r"(?P<indent>[ ]*)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
TABLES = ROOT / "docs" / "tables" / "chbmit-clips"  # written by eval.study
STORE = {"docs/heads.md", "docs/store.md", "docs/api.md"}  # pages that begin with a store
RUN = {"docs/scores.md"}  # and with a run on it

pytestmark = pytest.mark.xdist_group("docs")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    needs: str | None
    title: str | None
    text: str


def blocks(page: Path) -> Iterator[Block]:
    for match in BLOCK.finditer(page.read_text()):
        yield Block(match["language"], match["needs"], match["title"], textwrap.dedent(match["text"]))


def command_lines(text: str) -> Iterator[list[str]]:
    r"""Words of each command of a shell block.

    >>> list(command_lines("a b  # why\n# so\nc \\\n  d"))
    [['a', 'b'], ['c', 'd']]
    """
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def run_command(words: list[str]) -> None:
    match words:
        case ["braincodec-seizure", *arguments]:
            assert braincodec_seizure(arguments) == 0, words
        case ["python", "-m", name, *arguments]:
            module = f"{name}.__main__" if (ROOT.joinpath(*name.split(".")) / "__main__.py").is_file() else name
            assert import_module(module).main(arguments) == 0, words
        case _:
            pytest.fail(f"{shlex.join(words)}: a test cannot run this; say what it needs: <!-- needs: ... -->")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a store and a run of the names that the docs use."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (
            "demo chb-mit --persons 3 --recordings 1 --minutes 1",
            "extract --bids chb-mit --store stores/chb-mit --encoder bandpower",
            "train --store stores/chb-mit --fold all --out runs/chb-mit",
        ):
            assert braincodec_seizure(command.split()) == 0
    shutil.copy(next(folder.glob("chb-mit/sub-01/**/*.edf")), folder / "recording.edf")
    return folder


@pytest.fixture
def working_folder(prepared: Path, tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = page.relative_to(ROOT).as_posix()
    shutil.copytree(prepared / "chb-mit", tmp_path / "chb-mit")
    shutil.copy(prepared / "recording.edf", tmp_path)
    if name in STORE | RUN:
        shutil.copytree(prepared / "stores", tmp_path / "stores")
    if name in RUN:
        shutil.copytree(prepared / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_name_their_language_and_what_they_need(page: Path) -> None:
    text = page.read_text()
    assert text.count("```") == 2 * len(list(blocks(page))), "a fence that is none of a block"
    for block in blocks(page):
        assert block.language in LANGUAGES, block
        assert block.needs is None or block.needs in NEEDS, block
    outside = BLOCK.sub("", text)
    assert not re.findall(r"^ {4}(?:python |braincodec-seizure |pip |import ).*", outside, re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.language in ("sh", "python") and not b.needs for b in blocks(page))],
    ids=lambda page: page.name,
)
def test_blocks_run(page: Path, working_folder: Path) -> None:
    """Blocks of a page run one after the other in one folder; Python blocks share their names."""
    names = vars(ModuleType("page"))
    for block in blocks(page):
        if block.needs is None and block.language == "python" and block.title:
            (working_folder / block.title).write_text(block.text)
        elif block.needs is None and block.language == "python":
            exec(compile(block.text, page.name, "exec"), names)
        elif block.needs is None and block.language == "sh":
            for words in command_lines(block.text):
                run_command(words)


def test_the_readme_is_short_and_shows_the_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.split()) <= 1000
    assert (TABLES / "auroc.md").read_text() in readme


def test_tables_of_the_documentation_are_those_of_the_study() -> None:
    """``study.csv`` is what ``python -m eval.study`` wrote; the other tables follow from it."""
    table = pd.read_csv(TABLES / "study.csv")
    assert to_markdown(pivot_study(table), "encoder") == (TABLES / "auroc.md").read_text()
    background = Background(float(table["background_hours"].iloc[0]))
    assert to_markdown(format_study(table, background), "encoder") == (TABLES / "scores.md").read_text()
    results = (ROOT / "docs" / "results.md").read_text()
    for name in ("auroc", "scores"):
        assert (TABLES / f"{name}.md").read_text() in results


def test_tables_of_another_study_are_brought_into_the_documentation(tmp_path: Path) -> None:
    study, page = tmp_path / "study", tmp_path / "README.md"
    shutil.copytree(TABLES, tmp_path / "tables")
    shutil.copy(ROOT / "README.md", page)
    (study / "tables").mkdir(parents=True)
    (study / "study.csv").write_text("encoder\n")
    for name in ("auroc", "scores"):
        (study / "tables" / f"{name}.md").write_text(f"| {name} |\n")
    command = [
        sys.executable,
        str(ROOT / "docs" / "make_tables.py"),
        str(study),
        str(tmp_path / "tables"),
        str(page),
    ]
    subprocess.run(command, check=True)
    before = (TABLES / "auroc.md").read_text()
    assert page.read_text() == (ROOT / "README.md").read_text().replace(before, "| auroc |\n")
    for name in ("study.csv", "auroc.md", "scores.md"):
        source = study / name if name.endswith("csv") else study / "tables" / name
        assert (tmp_path / "tables" / name).read_bytes() == source.read_bytes()
    page.write_text("no table")
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, "shows none of the tables" in again.stderr) == (1, True)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_command_stands_on_the_page_of_commands() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for name in COMMANDS:
        assert f"\n## {name}\n\n`braincodec-seizure {name}" in text
        assert f"<!-- help: {name}" in text
