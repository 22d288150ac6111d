"""BIDS trees: every recording is stored as it is, or named with the reason; what lies beside it stops nothing."""

import gzip
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from store.runtime.cli import to_one_line
from tests.fuzz.base import ENTRIES, EVENT, Entry, edf_bytes, features, run_extract, write_data_set
from tests.fuzz.edits import FileEdit, file_edits, texts
from tests.fuzz.oracle import Stored, label_seconds, read_store
from tests.fuzz.sandbox import Finding, Outcome

EEG_NAME = re.compile(r"sub-[^_/]+(_.*)?_eeg\.(edf|bdf|vhdr|set)(\.gz)?", re.IGNORECASE | re.DOTALL)
LABELS = label_seconds([(Fraction(EVENT[0]), Fraction(EVENT[1]))], Fraction(9, 2))
FLAGS = ("--skip-unusable", "--unlabelled", "--prune", "--check")


@dataclass(frozen=True)
class TreeEdit:
    """Something happens to a recording, or beside it."""

    what: str
    entry: int
    text: str
    file: FileEdit | None = None

    def apply(self, bids: Path) -> None:
        """Edit the tree, as far as what it needs is still there."""
        entry = ENTRIES[self.entry]
        if entry.path(bids).is_file() and entry.path(bids, "_events.tsv").exists():
            _EDITS[self.what](self, entry, bids)


@dataclass(frozen=True)
class TreeCase:
    """Edits of a sound data set, before or after a first extraction."""

    edits: tuple[TreeEdit, ...]
    late: bool
    again: bool  # a second time, which must find nothing to do
    flags: tuple[str, ...]


def _rename(entry: Entry, bids: Path, old: str, new: str) -> None:
    for suffix in ("_eeg.edf", "_events.tsv"):
        path = entry.path(bids, suffix)
        path.rename(path.with_name(path.name.replace(old, new)))


def _name(text: str) -> str:
    """Text as a part of a file name."""
    return text.replace("/", "-").replace("\x00", "-").encode()[:80].decode("utf-8", "ignore") or "-"


def _suffix(
    new: str, content: Callable[[bytes], bytes] = lambda edf: edf
) -> Callable[[TreeEdit, Entry, Path], None]:
    def edit(self: TreeEdit, entry: Entry, bids: Path) -> None:
        entry.path(bids, new).write_bytes(content(entry.path(bids).read_bytes()))
        entry.path(bids).unlink()

    return edit


def _beside(name: Callable[[TreeEdit, Entry], str]) -> Callable[[TreeEdit, Entry, Path], None]:
    def edit(self: TreeEdit, entry: Entry, bids: Path) -> None:
        path = entry.path(bids).parent / name(self, entry)
        if not os.path.lexists(path):
            path.write_bytes(edf_bytes(entry.seconds, 999))

    return edit


def _link(target: Callable[[TreeEdit, Entry, Path], Path | str]) -> Callable[[TreeEdit, Entry, Path], None]:
    def edit(self: TreeEdit, entry: Entry, bids: Path) -> None:
        to = target(self, entry, bids)
        entry.path(bids).unlink()
        entry.path(bids).symlink_to(to)

    return edit


def _moved(self: TreeEdit, entry: Entry, bids: Path) -> Path:
    """Move the file out of the data set; where to."""
    aside = bids.parent / "aside" / f"{entry.seed}.edf"
    aside.parent.mkdir(exist_ok=True)
    aside.write_bytes(entry.path(bids).read_bytes())
    return aside


def _broken_eeg(self: TreeEdit, entry: Entry, bids: Path) -> None:
    assert self.file
    self.file.apply(entry.path(bids))


def _broken_events(self: TreeEdit, entry: Entry, bids: Path) -> None:
    assert self.file
    self.file.apply(entry.path(bids, "_events.tsv"))


def _folder_loop(self: TreeEdit, entry: Entry, bids: Path) -> None:
    link = entry.path(bids).parent / "more"
    if not os.path.lexists(link):
        link.symlink_to("..")


def _subject_link(self: TreeEdit, entry: Entry, bids: Path) -> None:
    link = bids / f"sub-{_name(self.text)}"
    if not os.path.lexists(link):
        link.symlink_to(f"sub-{entry.subject}")


def _empty_subject(self: TreeEdit, entry: Entry, bids: Path) -> None:
    (bids / f"sub-{_name(self.text)}" / "ses-01" / "eeg").mkdir(parents=True, exist_ok=True)


def _other_subject(self: TreeEdit, entry: Entry, bids: Path) -> None:
    folder = bids / f"sub-{_name(self.text)}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{_name(self.text)}_task-x"
    (folder / f"{stem}_eeg.edf").write_bytes(edf_bytes(4.5, 999))
    (folder / f"{stem}_events.tsv").write_bytes(entry.path(bids, "_events.tsv").read_bytes())


def _derivative(self: TreeEdit, entry: Entry, bids: Path) -> None:
    folder = bids / "derivatives" / "x" / f"sub-{entry.subject}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{entry.stem}_eeg.edf").write_bytes(b"x")


_EDITS: dict[str, Callable[[TreeEdit, Entry, Path], None]] = {
    "nothing": lambda self, entry, bids: None,
    "EDF": _suffix("_eeg.EDF"),
    "gz": _suffix("_eeg.edf.gz", gzip.compress),
    "bdf": _suffix("_eeg.bdf"),
    "vhdr": _suffix("_eeg.vhdr"),
    "set": _suffix("_eeg.set"),
    "entity order": lambda self, entry, bids: _rename(entry, bids, "_task-x_run", "_run-9_task-x_acq"),
    "part": lambda self, entry, bids: _rename(entry, bids, "_task-x", "_task-x_part-mag"),
    "split": lambda self, entry, bids: _rename(entry, bids, "_task-x", "_task-x_split-01"),
    "odd task": lambda self, entry, bids: _rename(entry, bids, "_task-x", f"_task-{_name(self.text)}"),
    "odd entity": lambda self, entry, bids: _rename(entry, bids, "_task-x", f"_{_name(self.text)}"),
    "no session in name": lambda self, entry, bids: _rename(entry, bids, f"_ses-{entry.session}", ""),
    "another subject in name": lambda self, entry, bids: _rename(entry, bids, f"sub-{entry.subject}", "sub-77"),
    "copy": _beside(lambda self, entry: f"Copy of {entry.stem}_eeg.edf"),
    "copy (1)": _beside(lambda self, entry: f"{entry.stem}_eeg (1).edf"),
    "finder": _beside(lambda self, entry: f"._{entry.stem}_eeg.edf"),
    "partial": _beside(lambda self, entry: f"{entry.stem}_eeg.edf.part"),
    "odd file": _beside(lambda self, entry: _name(self.text) + ".edf"),
    "desc": _beside(lambda self, entry: f"{entry.stem}_desc-filtered_eeg.edf"),
    "bytes name": _beside(lambda self, entry: f"{entry.stem}_acq-\udcff_eeg.edf"),
    "also bdf": _beside(lambda self, entry: f"{entry.stem}_eeg.bdf"),
    "also EDF": _beside(lambda self, entry: f"{entry.stem}_eeg.EDF"),
    "broken eeg": _broken_eeg,
    "broken events": _broken_events,
    "link out": _link(_moved),
    "link to another": _link(lambda self, entry, bids: ENTRIES[(self.entry + 1) % len(ENTRIES)].path(bids)),
    "folder loop": _folder_loop,
    "subject link": _subject_link,
    "empty subject": _empty_subject,
    "other subject": _other_subject,
    "derivative": _derivative,
}
LOCAL = frozenset(_EDITS) - {"also bdf", "also EDF"}  # what may not stop the other subjects
HARMLESS = frozenset(
    {"nothing", "copy", "copy (1)", "finder", "partial", "folder loop", "empty subject", "derivative"}
    | {"link out", "EDF", "subject link", "desc"}
)


@st.composite
def cases(draw: st.DrawFn) -> TreeCase:
    """One to three edits."""
    edit = st.builds(
        TreeEdit, st.sampled_from(sorted(_EDITS)), st.integers(0, len(ENTRIES) - 1), texts, file_edits
    )
    flags = draw(st.lists(st.sampled_from(FLAGS), max_size=2, unique=True)) if draw(st.booleans()) else []
    edits = draw(st.lists(edit, min_size=1, max_size=3))
    return TreeCase(tuple(edits), draw(st.booleans()), draw(st.booleans()), tuple(flags))


def check(case: TreeCase, box: Path) -> None:
    """Extract, and account for every recording."""
    bids = box / "bids"
    write_data_set(bids)
    if case.late and (first := run_extract(box)).status != 0:
        raise Finding("extract: refuses a sound data set", first.text)
    for edit in case.edits:
        edit.apply(bids)
    outcome = run_extract(box, *case.flags)
    listing = "\n".join(sorted(str(path.relative_to(bids)) for path in bids.rglob("*") if "eeg" in path.name))
    said = f"{listing}\n{outcome.text}".encode("utf-8", "backslashreplace").decode()
    what = {edit.what for edit in case.edits}
    if outcome.status == 2 and what <= LOCAL and "--check" not in case.flags:
        raise Finding(f"extract: one odd thing stops all ({', '.join(sorted(what))})"[:150], said)
    if outcome.status == 2 or "--check" in case.flags:
        return
    stored = read_store(box / "store") if (box / "store").is_dir() else {}
    _judge_account(bids, stored, outcome, said)
    _judge_content(case, bids, stored, outcome.status, said)
    if what <= HARMLESS and outcome.status != 0:
        raise Finding(f"extract: refuses what is harmless ({', '.join(sorted(what))})"[:150], said)
    if case.again and outcome.status == 0:
        _judge_again(case, box, said)


def _judge_account(bids: Path, stored: dict[str, Stored], outcome: Outcome, said: str) -> None:
    """The counts add up, and every file that is named as EEG is stored or named, or waits for another."""
    account = re.search(r"^(\d+) recordings? found: (.*)$", outcome.out, re.MULTILINE)
    if not account or int(account[1]) != sum(int(part.split()[0]) for part in account[2].split(", ")):
        raise Finding("extract: the counts do not add up", said)
    failed = set(re.findall(r"^  sub-([^_:/]+)", outcome.err, re.MULTILINE))
    seen = 0
    for folder, folders, files in os.walk(bids):
        if "derivatives" in folders:
            folders.remove("derivatives")
        for name in files + [link for link in folders if "_eeg." in link]:
            if not EEG_NAME.fullmatch(name) or Path(folder).name != "eeg":
                continue
            seen += 1
            stem = re.sub(r"_eeg\.[^_]*$", "", name)
            waits = stem[4:].split("_")[0] in failed
            if stem not in stored and not waits and to_one_line(stem) not in outcome.text:
                raise Finding("extract: a recording is lost without a word", f"{name!r}\n{said}")
    if int(account[1]) < seen:
        raise Finding("extract: fewer recordings are counted than lie there", f"{seen}\n{said}")


def _judge_content(case: TreeCase, bids: Path, stored: dict[str, Stored], status: int, said: str) -> None:
    """What is stored is what lies there, under its own subject; untouched subjects are all stored."""
    touched = {ENTRIES[edit.entry].subject for edit in case.edits if edit.what != "nothing"}
    for entry in ENTRIES:
        row = stored.get(entry.stem)
        if row is None:
            if entry.subject not in touched:
                raise Finding("extract: an untouched subject is not stored", f"{entry.stem}\n{said}")
            continue
        eeg, events = entry.path(bids), entry.path(bids, "_events.tsv")
        if eeg.is_file() and eeg.read_bytes() == edf_bytes(entry.seconds, entry.seed):
            if row.features != features(entry.seconds, entry.seed):
                raise Finding("extract: stores another signal", f"{entry.stem}\n{said}")
            if events.is_file() and b"sz_foc" in events.read_bytes() and status == 0 and row.labels != LABELS:
                raise Finding("extract: stores other labels", f"{entry.stem}: {row.labels}\n{said}")
        if (row.subject, row.person) != (entry.subject, entry.subject):
            raise Finding("extract: another subject or person", f"{row}\n{said}")


def _judge_again(case: TreeCase, box: Path, said: str) -> None:
    before = {path: path.read_bytes() for path in (box / "store").glob("*.h5")}
    again = run_extract(box, *case.flags)
    if again.status != 0:
        raise Finding("extract: the same command fails the second time", f"{said}\nagain: {again.text}")
    if before != {path: path.read_bytes() for path in (box / "store").glob("*.h5")}:
        raise Finding("extract: the same command changes the store again", f"{said}\nagain: {again.text}")
