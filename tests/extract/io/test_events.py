"""Reading annotations of seizures."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from extract.io.events import hash_events, read_annotations
from extract.io.windows import label_seconds
from store.runtime.errors import UserError
from store.schema import Event, events_without_label

HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"


def write_events(folder: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path = folder / "events.tsv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def test_events_are_seizures_in_order(tmp_path: Path) -> None:
    path = write_events(
        tmp_path,
        [
            "50.25\t9.76\tsz_foc\tn/a\tn/a\tn/a\t60.00",
            "0.00\t60.00\tbckg\tn/a\tn/a\tn/a\t60.00",
            "0\t5\timpd",
            " 1\t2 \tsz",
        ],
    )
    found = read_annotations(path, 60.0)
    assert found.events == (Event(1.0, 2.0, "sz"), Event(50.25, 9.76, "sz_foc"))
    assert found.sha256 == hash_events(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_start(tmp_path: Path) -> None:
    row = "0.00\t60.00\tbckg\tn/a\tn/a\t{}\t60.00"
    rows = [row.format("2016-11-06 13:43:04")]
    assert read_annotations(write_events(tmp_path, rows), 60.0).start == "2016-11-06T13:43:04"
    assert read_annotations(write_events(tmp_path, [row.format("n/a")]), 60.0).start == ""
    short = write_events(tmp_path, ["0\t60\tbckg"], "onset\tduration\teventType\n")
    assert read_annotations(short, 60.0).start == ""


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no event; a recording without seizure has one row of eventType bckg"),
        (["1\t2\tseizure"], "line 2: unknown eventType 'seizure'; allowed: bckg, impd, or beginning with sz"),
        (["1\t2\tsz", "n/a\t2\tsz"], "line 3: onset is 'n/a'; allowed: seconds, 0 or more"),
        (["1\t2\tsz", "", "1_0\t2\tsz"], "line 4: onset is '1_0'; allowed: seconds, 0 or more"),
        (["1\tnan\tsz"], "line 2: duration is 'nan'; allowed"),
        (["1\t-2\tsz"], "line 2: duration is '-2'; allowed"),
        (["1\t1e999\tsz"], "line 2: duration is '1e999'; allowed"),
        (["1"], "line 2: unknown eventType ''"),
        (["1\t2\tsz", "5\t0.00\tsz"], "line 3: event of duration 0 at 5.00 s; give its duration, or remove"),
        (["50\t10.03\tsz"], r"line 2: event ends at 60.03 s, past the recording's end at 60.00 s .*0.02 s"),
        (["0\t90\tbckg"], r"line 2: event ends at 90.00 s, .* correct it, or fetch the whole recording"),
    ],
)
def test_bad_events(tmp_path: Path, rows: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_annotations(write_events(tmp_path, rows), 60.0)


def test_events_without_column(tmp_path: Path) -> None:
    path = write_events(tmp_path, ["1\t2\tsz"], "onset\tduration\ttrial_type\n")
    with pytest.raises(UserError, match="no column eventType; SzCORE has onset, duration, eventType"):
        read_annotations(path, 60.0)


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    path = write_events(tmp_path, ["1\t2\tsz\tbckg"], "onset\tduration\teventType\teventType\n")
    with pytest.raises(UserError, match="has the column eventType twice; keep one of them"):
        read_annotations(path, 60.0)


def test_events_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"events.tsv: not a table of UTF-8 text"):
        read_annotations(path, 60.0)


def test_no_events_file(tmp_path: Path) -> None:
    path = tmp_path / "gone_events.tsv"
    with pytest.raises(UserError, match=r"gone_events.tsv: no such events file; write one, .* --unlabelled$"):
        read_annotations(path, 60.0)
    assert hash_events(path) is None
    path.symlink_to("nowhere")
    for read in (hash_events, lambda path: read_annotations(path, 60.0)):
        with pytest.raises(UserError, match=r"gone_events.tsv: its content has not been fetched"):
            read(path)


def test_events_that_label_no_second() -> None:
    events = [Event(0.0, 0.4, "sz"), Event(3.4, 0.5, "sz"), Event(5.6, 0.8, "sz"), Event(9.9, 0.1, "sz")]
    assert events_without_label(events, label_seconds(events, 10.0)) == (
        events[0],
        events[1],
        events[2],
        events[3],
    )
    assert events_without_label([Event(3.4, 0.6, "sz")], label_seconds([Event(3.4, 0.6, "sz")], 10.0)) == ()
