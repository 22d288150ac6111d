"""Data sets as they are downloaded: a part changes; link refuses in one line, or accounts for every recording."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from extract.link import main as link
from tests.extract.io.datasets.trees import write_chbmit, write_siena, write_tusz
from tests.fuzz import base
from tests.fuzz.base import below, run_extract
from tests.fuzz.edits import FileEdit, file_edits, fractions, texts
from tests.fuzz.sandbox import Finding, Outcome, run

SECONDS = 60  # of a recording
WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "chbmit": write_chbmit,
    "siena": write_siena,
    "tusz": write_tusz,
}
WORDS = (
    *(
        "",
        "0",
        "-1",
        "5",
        "61",
        "1e9",
        "nan",
        "1.5",
        "x",
        "\x00",
        "é",
        "25.00.00",
        "19.39.99",
        "sz",
        "fnsz",
        "bckg",
    ),
    *("../../x.edf", "chb01_03.edf", "chb01_03", "TERM", "99999999999999999999", ":", ",", "PN00-1.edf", "seiz"),
)
PLACES = ("word", "drop", "twice", "join", "swap")


@dataclass(frozen=True)
class LinkEdit:
    """A file of the download changes: a line of a text, or the file itself; or something lies beside it."""

    what: str
    at: float
    line: float = 0.0
    word: int = 0
    file: FileEdit | None = None
    text: str = ""

    def apply(self, source: Path) -> None:
        """Edit one of the files."""
        is_text = self.what in PLACES
        paths = sorted(path for path in source.rglob("*") if path.is_file() and (path.suffix != ".edf") >= is_text)
        if not paths:
            return
        path = paths[int(self.at * len(paths))]
        name = self.text.replace("/", "-").replace("\x00", "-").encode()[:60].decode("utf-8", "ignore") or "-"
        if self.file:
            self.file.apply(path)
        elif is_text:
            path.write_bytes(b"\n".join(_edit_lines(path.read_bytes().split(b"\n"), self)))
        elif self.what == "beside" and not os.path.lexists(path.with_name(name)):
            path.with_name(name).write_bytes(path.read_bytes())
        elif self.what == "rename" and not os.path.lexists(path.with_name(name + path.suffix)):
            path.rename(path.with_name(name + path.suffix))
        elif self.what == "upper":
            path.rename(path.with_name(path.stem + path.suffix.upper()))
        elif self.what == "folder loop" and not os.path.lexists(path.parent / "loop"):
            (path.parent / "loop").symlink_to("..")
        elif self.what == "folder" and not os.path.lexists(source / name):
            shutil.copytree(path.parent, source / name, symlinks=True)


@dataclass(frozen=True)
class LinkCase:
    """Edits of a download, before or after a first tree was made of it."""

    data_set: str
    edits: tuple[LinkEdit, ...]
    late: bool
    flags: tuple[str, ...]


@st.composite
def cases(draw: st.DrawFn) -> LinkCase:
    """None, one or two edits."""
    word = st.integers(0, len(WORDS) - 1)
    line = st.builds(LinkEdit, st.sampled_from(PLACES), fractions, fractions, word)
    what = st.sampled_from(["beside", "rename", "upper", "folder loop", "folder"])
    edit = (
        line
        | line
        | st.builds(LinkEdit, st.just("file"), fractions, file=file_edits)
        | st.builds(LinkEdit, what, fractions, text=texts)
    )
    edits = draw(st.lists(edit, min_size=draw(st.sampled_from([0, 1, 1, 1, 1])), max_size=2))
    flags = draw(st.sampled_from([(), (), ("--copy",), ("--unlisted", "bckg"), ("--past-end", "cut")]))
    return LinkCase(draw(st.sampled_from(sorted(WRITERS))), tuple(edits), draw(st.booleans()), flags)


def check(case: LinkCase, box: Path) -> None:
    """Link, and what was linked, extract."""
    source = box / "source"
    shutil.copytree(download(case.data_set), source, symlinks=True)
    if case.late and (first := _link(case, box)).status != 0:
        raise Finding("extract.link: refuses a sound data set", first.text)
    for edit in case.edits:
        edit.apply(source)
    outcome = _link(case, box)
    if outcome.status != 0:
        if not case.edits:
            raise Finding("extract.link: refuses a sound data set", outcome.text)
        if not case.late and (box / "bids").exists() and "--copy" not in case.flags:
            raise Finding("extract.link: leaves a part of a tree", outcome.text)
        return
    _judge_tree(case, box, outcome)
    again = _link(case, box)
    if again.status != 0 or "0 added, 0 changed, 0 removed" not in again.out:
        raise Finding("extract.link: does something the second time", outcome.text + again.text)
    extracted = run_extract(box, "--check", "--missing", "zero")
    if extracted.status == 2:
        raise Finding("extract: refuses a tree just made", outcome.text + extracted.text)


def _judge_tree(case: LinkCase, box: Path, outcome: Outcome) -> None:
    """Every EDF is in the tree, or said to be left out; every link leads to a file, and has its events."""
    links = sorted((box / "bids").glob("sub-*/ses-*/eeg/*_eeg.edf"))
    said = int(outcome.out.split(" recordings")[0].split()[-1])
    if len(links) != said or not all(path.is_file() for path in links):
        raise Finding("extract.link: another number of recordings than it says", f"{len(links)}\n{outcome.text}")
    for path in links:
        events = path.with_name(path.name.replace("_eeg.edf", "_events.tsv"))
        if not events.is_file():
            raise Finding("extract.link: a recording without events", f"{events}\n{outcome.text}")
    if not case.edits and len(links) < sum(1 for _ in (box / "source").rglob("*.edf")) - 2:
        raise Finding("extract.link: recordings are lost", f"{len(links)}\n{outcome.text}")
    if len({path.resolve() for path in links}) < len(links) and "--copy" not in case.flags:
        raise Finding("extract.link: one file is two recordings", outcome.text)


def _link(case: LinkCase, box: Path) -> Outcome:
    arguments = [case.data_set, box / "source", box / "bids", *case.flags]
    return run(link, "extract.link", arguments, box, below("bids"))


@cache
def download(data_set: str) -> Path:
    """A small data set in the shape in which its authors ship it."""
    return WRITERS[data_set](base.new_folder(data_set), SECONDS)


def _edit_lines(lines: list[bytes], edit: LinkEdit) -> list[bytes]:
    number = int(edit.line * len(lines))
    match edit.what:
        case "word":
            words = lines[number].split(b" ")
            words[int(edit.at * 997) % len(words)] = WORDS[edit.word].encode()
            lines[number] = b" ".join(words)
        case "drop":
            del lines[number]
        case "twice":
            lines.insert(number, lines[number])
        case "join" if number + 1 < len(lines):
            lines[number : number + 2] = [lines[number] + lines[number + 1]]
        case "swap" if number + 1 < len(lines):
            lines[number : number + 2] = [lines[number + 1], lines[number]]
    return lines
