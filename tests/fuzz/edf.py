"""EDF files: header fields and bytes change; what is accepted has the length that its header says."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from eval.detect import main as detect
from extract.codec import main as codec
from tests.fuzz import base
from tests.fuzz.base import EVENT, Entry, below, run_extract, write_data_set
from tests.fuzz.edits import FileEdit, byte_edits
from tests.fuzz.oracle import label_seconds, read_store
from tests.fuzz.sandbox import Finding, run

FIXED = {  # field: first byte, width
    "version": (0, 8),
    "patient": (8, 80),
    "recording": (88, 80),
    "date": (168, 8),
    "time": (176, 8),
    "header bytes": (184, 8),
    "reserved": (192, 44),
    "records": (236, 8),
    "record_s": (244, 8),
    "channels": (252, 4),
}
CHANNEL = {  # field: bytes before it in a channel's 256, width
    "label": (0, 16),
    "transducer": (16, 80),
    "unit": (96, 8),
    "physical min": (104, 8),
    "physical max": (112, 8),
    "digital min": (120, 8),
    "digital max": (128, 8),
    "filter": (136, 80),
    "samples": (216, 8),
    "channel reserved": (224, 32),
}
CHANNELS = 18
CELLS = (
    *(
        b"",
        b"0",
        b"1",
        b"-1",
        b"2",
        b"17",
        b"19",
        b"9999",
        b"99999999",
        b"-9999999",
        b"1e300",
        b"1e-9",
        b"nan",
        b"inf",
    ),
    *(
        b"0.25",
        b"0,25",
        b"0.1",
        b"1.5",
        b"16.0",
        b"EDF+C",
        b"EDF+D",
        b"BDF",
        b"24BIT",
        b"uV",
        b"mV",
        b"V",
        b"\xb5V",
        b"K",
    ),
    *(
        b"FP1-F3",
        b"Fp1-Ref",
        b"EEG F3",
        b"01",
        b"-",
        b"EDF Annotations",
        b"31.02.99",
        b"29.02.84",
        b"99.99.99",
        b"24.60.60",
    ),
    *(
        b"01-JAN-2026 X X X",
        b"Startdate 01-JAN-1950 X X X",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"1_0",
        b"0x10",
        b"-0",
    ),
    *(b"\xc3\xa9", b"2147483647", b"+4", b"  4", b"4\x00"),
)


@dataclass(frozen=True)
class CellEdit:
    """One field of the header, of the file or of a channel, says something else."""

    field: str
    channel: int
    cell: bytes

    def apply(self, content: bytearray) -> None:
        """Edit the header in its place."""
        if self.field in FIXED:
            start, width = FIXED[self.field]
        else:
            before, width = CHANNEL[self.field]
            start = 256 + CHANNELS * before + self.channel * width
        content[start : start + width] = self.cell[:width].ljust(width)


@dataclass(frozen=True)
class EdfCase:
    """Edits of one EDF, and how missing channels are taken."""

    cells: tuple[CellEdit, ...]
    bytes: FileEdit | None
    annotations: str  # kind of time stamps, if there are any
    missing: str
    late: bool


@st.composite
def cases(draw: st.DrawFn) -> EdfCase:
    """One to three fields, or bytes anywhere."""
    cell = st.builds(
        CellEdit,
        st.sampled_from([*FIXED, *CHANNEL]),
        st.integers(0, CHANNELS - 1),
        st.sampled_from(CELLS) | st.binary(max_size=10),
    )
    cells = draw(st.lists(cell, max_size=3))
    changed = draw(byte_edits) if not cells or draw(st.sampled_from([False] * 5 + [True])) else None
    annotations = draw(st.sampled_from([""] * 3 + ["C", "D", "gap", "gap said C", "backwards", "open", "none"]))
    return EdfCase(
        tuple(cells), changed, annotations, draw(st.sampled_from(["error", "zero"])), draw(st.booleans())
    )


def check(case: EdfCase, box: Path) -> None:
    """Extract and detect; both must be of one mind."""
    entry = Entry("01", "01", 0)
    write_data_set(box / "bids", (entry, Entry("02", "01", 0)))
    path = entry.path(box / "bids")
    if case.late and (first := run_extract(box)).status != 0:
        raise Finding("extract: refuses a sound recording", first.text)
    content = bytearray(path.read_bytes())
    if case.annotations:
        content = with_annotations(content, case.annotations)
    for cell in case.cells:
        cell.apply(content)
    path.write_bytes(content)
    if case.bytes:
        case.bytes.apply(path)
    outcome = run_extract(box, "--missing", case.missing)
    said = f"{path.read_bytes()[:256]!r}\n{outcome.text}"
    if outcome.status == 2:
        raise Finding("extract: one broken file stops all", said)
    stored = read_store(box / "store")
    if Entry("02", "01", 0).stem not in stored:
        raise Finding("extract: an untouched subject is not stored", said)
    if outcome.status == 0:
        _judge(case, path, stored[entry.stem].seconds, stored[entry.stem].duration_s, said)
        if stored[entry.stem].labels != label_seconds_of(stored[entry.stem].duration_s):
            raise Finding("extract: other labels", f"{stored[entry.stem].labels}\n{said}")
    elif entry.stem not in outcome.err:
        raise Finding("extract: a failed recording is not named", said)
    _detect(case, box, path, outcome.status, said)


def label_seconds_of(duration_s: float) -> tuple[int, ...]:
    """Labels of the recording's one seizure."""
    return label_seconds([(Fraction(EVENT[0]), Fraction(EVENT[1]))], Fraction(round(duration_s * 10**6), 10**6))


def with_annotations(content: bytearray, kind: str) -> bytearray:
    """Make it EDF+ with a channel of time stamps of a kind; one data record is a quarter of a second."""
    header, samples = bytes(content[: 256 * (CHANNELS + 1)]), bytes(content[256 * (CHANNELS + 1) :])
    columns, at = [], 256
    cells = (b"EDF Annotations", b"", b"", b"-1", b"1", b"-32768", b"32767", b"", b"16", b"")
    for (_, width), cell in zip(CHANNEL.values(), cells, strict=True):
        columns.append(header[at : at + CHANNELS * width] + cell.ljust(width))
        at += CHANNELS * width
    fixed = bytearray(header[:256])
    fixed[184:192] = str(256 * (CHANNELS + 2)).encode().ljust(8)
    fixed[192:236] = (b"EDF+C" if kind in ("C", "gap said C") else b"EDF+D").ljust(44)
    fixed[252:256] = str(CHANNELS + 1).encode().ljust(4)
    size = len(samples) // (records := int(fixed[236:244]))
    body = b"".join(
        samples[number * size : (number + 1) * size] + _stamp(kind, number).ljust(32, b"\x00")[:32]
        for number in range(records)
    )
    return bytearray(bytes(fixed) + b"".join(columns) + body)


def _stamp(kind: str, number: int) -> bytes:
    start_s = number * 0.25
    match kind:
        case "gap" | "gap said C":
            start_s += 3600 * (number >= 8)
        case "backwards":
            start_s = 100 - start_s
        case "open":
            return f"+{start_s:g}".encode().ljust(32, b"9")
        case "none":
            return b""
    return f"+{start_s:g}\x14\x14".encode()


def _judge(case: EdfCase, path: Path, seconds: int, duration_s: float, said: str) -> None:
    content = path.read_bytes()
    try:
        says_s = int(content[236:244]) * float(content[244:252].replace(b",", b"."))
    except ValueError as error:
        raise Finding("extract: takes a header that is none", said) from error
    if abs(says_s - duration_s) > 1e-6 * max(1, says_s) or seconds != math.ceil(round(duration_s, 6)):
        raise Finding("extract: another length than the header's", f"{duration_s} {seconds}\n{said}")
    if case.annotations in ("gap", "gap said C", "backwards") and not case.cells and not case.bytes:
        raise Finding("extract: takes a file with time missing", said)


def _length_s(path: Path) -> float:
    """Length of an EDF by its header."""
    content = path.read_bytes()
    return int(content[236:244]) * float(content[244:252].replace(b",", b"."))


def _detect(case: EdfCase, box: Path, path: Path, status: int, said: str) -> None:
    arguments = [path, box / "out" / "events.tsv", "--run", base.finished_run() / "run"]
    more = ["--probabilities", box / "out" / "p.tsv", "--missing", case.missing, "--device", "cpu"]
    (box / "out").mkdir()
    outcome = run(detect, "eval.detect", [*arguments, *more], box, below("out"))
    if (outcome.status == 0) != (status == 0):
        raise Finding("eval.detect: takes what extract refuses, or the reverse", f"{said}\n{outcome.text}")
    (box / "tiny.safetensors").write_bytes(base.checkpoint_bytes())
    coded = box / "out" / "coded.edf"
    more = ["--weights", box / "tiny.safetensors", "--missing", case.missing]
    outcome = run(codec, "extract.codec", [path, coded, *more], box, below("out"))
    if (outcome.status == 0) != (status == 0):
        raise Finding("extract.codec: takes what extract refuses, or the reverse", f"{said}\n{outcome.text}")
    if outcome.status == 0:
        lengths = [_length_s(path), _length_s(coded)]
        if not 0 <= lengths[1] - lengths[0] < 5:
            raise Finding("extract.codec: writes another length", f"{lengths}\n{said}\n{outcome.text}")
