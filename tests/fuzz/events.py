"""Events files: whatever their spelling, a second gets the label that was meant, or the file is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.base import COLUMNS, Entry, run_extract, write_data_set
from tests.fuzz.edits import FileEdit, file_edits
from tests.fuzz.oracle import Stored, label_seconds, read_store
from tests.fuzz.sandbox import Finding
from tests.fuzz.tables import Spelling, spellings

TOLERANCE_S = Fraction(2, 100)
_FORMS = ("{:.2f}",) * 6 + (
    "{:.6f}",
    "{:g}",
    "{:e}",
    "+{:.2f}",
    " {:.2f}",
    "{:.2f}s",
    "{:.2f} ",
    "0{:.2f}",
    "{:,.2f}",
)
_NO_NUMBERS = (
    "",
    "n/a",
    "nan",
    "inf",
    "-1.00",
    "1e400",
    "0x10",
    "True",
    "1,50",
    "1:30",
    "--",
    "1_0",
    "\uff12",
    "1.0.0",
)


@dataclass(frozen=True)
class Number:
    """Seconds as a cell gives them; no value where nobody can say what is meant."""

    text: str
    value: Fraction | None
    plain: bool = True


@dataclass(frozen=True)
class Row:
    """A line of an events file."""

    onset: Number
    duration: Number
    kind: str

    @property
    def is_seizure(self) -> bool | None:
        """Whether it is one; None where nobody can say."""
        name = self.kind.strip(" \"'\xa0").casefold()
        if name.startswith(("sz", "seiz")):
            return True
        return False if name in ("bckg", "impd") else None

    def is_valid(self, seconds: Fraction) -> bool:
        """Whether its times are within a recording."""
        onset, duration = self.onset.value, self.duration.value
        if onset is None or duration is None or onset < 0 or duration < 0:
            return False
        return onset + duration <= seconds + TOLERANCE_S and (duration > 0 or not self.is_seizure)


@dataclass(frozen=True)
class EventsCase:
    """One recording and its events file."""

    seconds: float
    rows: tuple[Row, ...]
    spelling: Spelling
    late: bool  # the file is written after a first extraction of another one
    edit: FileEdit | None


def _number(draw: st.DrawFn, largest: float) -> Number:
    if draw(st.sampled_from([False] * 14 + [True])):
        text = draw(st.sampled_from(_NO_NUMBERS))
        value = {"1_0": Fraction(10), "\uff12": Fraction(2), "1,50": Fraction(3, 2)}.get(text)
        return Number(text, value, plain=False)
    value = Fraction(draw(st.integers(0, round(largest * 100))), 100)
    form = draw(st.sampled_from(_FORMS))
    return Number(form.format(float(value)), value, form in ("{:.2f}", "{:.6f}", "{:g}", "{:e}"))


@st.composite
def cases(draw: st.DrawFn) -> EventsCase:
    """Cases, most of which are sound but for one thing."""
    seconds = draw(st.sampled_from([4.0, 4.5, 6.25, 7.75]))
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        onset = _number(draw, seconds)
        left = seconds - float(onset.value or 0)
        beyond = draw(st.sampled_from([0.0] * 9 + [0.02, 0.03, 1.0]))
        duration = _number(draw, max(0.0, left) + beyond)
        kind = draw(
            st.sampled_from(["sz"] * 4 + ["sz_foc_ia_m_tonic", "bckg", "bckg"])
            | st.sampled_from(
                ["SZ", "Sz", "sz ", "'sz'", "seizure", "impd", "BCKG", "", "n/a", "szé😀" * 40, "=sz"]
            )
        )
        rows.append(Row(onset, duration, kind))
    edit = draw(st.none() | st.none() | st.none() | st.none() | file_edits)
    return EventsCase(seconds, tuple(rows), draw(spellings), draw(st.booleans()), edit)


def check(case: EventsCase, box: Path) -> None:
    """Extract, and compare the labels with the plain rule."""
    entry = Entry("01", "01", 0, case.seconds)
    write_data_set(box / "bids", (entry,))
    path = entry.path(box / "bids", "_events.tsv")
    if case.late:
        first = run_extract(box)
        if first.status != 0:
            raise Finding("extract: refuses a sound recording", first.text)
    rows = [
        (row.onset.text, row.duration.text, row.kind, "n/a", "n/a", "2026-01-02 03:04:05", f"{case.seconds}")
        for row in case.rows
    ]
    path.write_bytes(case.spelling.write(COLUMNS, rows))
    if case.edit:
        case.edit.apply(path)
    outcome = run_extract(box)
    if outcome.status == 0:
        stored = read_store(box / "store")
        if list(stored) != [entry.stem]:
            raise Finding("extract: success without the recording", outcome.text)
        _judge(case, stored[entry.stem], f"{path.read_bytes()!r}\n{outcome.text}")
    elif not case.edit and case.spelling.is_plain and case.rows and _is_sound(case):
        raise Finding("extract: refuses a sound events file", f"{path.read_bytes()!r}\n{outcome.text}")


def _is_sound(case: EventsCase) -> bool:
    seconds = Fraction(case.seconds)
    return all(row.is_valid(seconds) and row.onset.plain and row.duration.plain for row in case.rows) and all(
        row.kind == "bckg" or (row.kind.startswith("sz") and row.kind == row.kind.strip()) for row in case.rows
    )


def _judge(case: EventsCase, stored: Stored, said: str) -> None:
    """Compare what was stored with what was meant; and with its own events, whatever was meant."""
    seconds = Fraction(case.seconds)
    if not stored.labelled:
        raise Finding("events: labels are left out without --unlabelled", said)
    own = [(_micro(onset), _micro(duration)) for onset, duration, _ in stored.events]
    if stored.labels != label_seconds(own, seconds):
        raise Finding("events: labels are not those of the stored events", f"{stored}\n{said}")
    if case.edit:
        return
    if not case.rows:
        raise Finding("events: a file without rows is taken for background", said)
    if wrong := next((row for row in case.rows if not row.is_valid(seconds)), None):
        raise Finding("events: takes a row that is none", f"{wrong}\n{said}")
    if any(row.is_seizure is None for row in case.rows):
        raise Finding("events: takes an unknown eventType", said)
    meant = sorted(_times(row) for row in case.rows if row.is_seizure)
    if sorted(own) != meant:
        raise Finding("events: stores other seizures than were meant", f"{stored.events}\n{said}")
    if stored.labels != label_seconds(meant, seconds):
        raise Finding("events: other labels than were meant", f"{stored.labels}\n{said}")
    kinds = sorted(row.kind.strip(" \"'\xa0") for row in case.rows if row.is_seizure)
    if case.spelling.is_plain and sorted(kind for *_, kind in stored.events) != kinds:
        raise Finding("events: stores other kinds than were meant", f"{stored.events}\n{said}")


def _times(row: Row) -> tuple[Fraction, Fraction]:
    assert row.onset.value is not None
    assert row.duration.value is not None
    return row.onset.value, row.duration.value


def _micro(seconds: float) -> Fraction:
    return Fraction(round(seconds * 10**6), 10**6)


def sound_cases() -> Sequence[EventsCase]:
    """Cases that must end well, which show that the harness itself does not refuse."""
    row = Row(Number("1.00", Fraction(1)), Number("2.00", Fraction(2)), "sz")
    return [EventsCase(4.5, (row,), Spelling(), late, None) for late in (False, True)]
