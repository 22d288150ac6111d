"""Events from probabilities, and their SzCORE text."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.scoring.events import COLUMNS, DetectedEvent, Detections, events_from_mask

HEADER = "\t".join(COLUMNS)


def find(timeline: str, duration_s: float | None = None) -> list[tuple[float, float]]:
    """Events of a drawn timeline, one character a second."""
    mask = np.array([mark == "#" for mark in timeline])
    events = events_from_mask(mask, mask.astype(np.float32), len(timeline) if duration_s is None else duration_s)
    return [(event.onset_s, event.stop_s) for event in events]


@pytest.mark.parametrize(
    ("timeline", "events"),
    [
        ("________", []),
        ("########", [(0, 8)]),
        ("__####__", [(2, 6)]),
        ("##____##", [(0, 2), (6, 8)]),
        ("#_#", [(0, 1), (2, 3)]),
        ("#", [(0, 1)]),
        ("", []),
    ],
)
def test_events_of_a_timeline(timeline: str, events: list[tuple[float, float]]) -> None:
    assert find(timeline) == events


def test_an_event_ends_no_later_than_the_recording() -> None:
    assert find("__##", 3.25) == [(2, 3.25)]
    assert find("##__", 3.25) == [(0, 2)]


def test_confidence_is_the_mean_probability_of_the_event_alone() -> None:
    probabilities = np.array([0.1, 0.6, 0.8, 0.2, 1.0], np.float32)
    events = events_from_mask(probabilities >= 0.5, probabilities, 5.0)
    assert [event.confidence for event in events] == pytest.approx([0.7, 1.0])


@given(st.lists(st.booleans(), max_size=40))
def test_events_cover_exactly_the_marked_seconds(marks: list[bool]) -> None:
    mask = np.array(marks, dtype=bool)
    covered = np.zeros(len(mask), dtype=bool)
    events = events_from_mask(mask, mask.astype(float), len(mask))
    for event in events:
        assert not covered[int(event.onset_s) : int(event.stop_s)].any()
        covered[int(event.onset_s) : int(event.stop_s)] = True
    assert covered.tolist() == marks
    assert all(first.stop_s < second.onset_s for first, second in pairwise(events))


def test_tsv_has_a_row_an_event() -> None:
    events = (DetectedEvent(2.0, 5.0, 0.756), DetectedEvent(7.0, 8.125, math.nan))
    assert Detections(events, 8.125, "2000-01-01T09:30:00").to_tsv() == (
        f"{HEADER}\n"
        "2.00\t3.00\tsz\t0.76\tn/a\t2000-01-01 09:30:00\t8.12\n"
        "7.00\t1.12\tsz\tn/a\tn/a\t2000-01-01 09:30:00\t8.12\n"
    )


def test_tsv_without_events_has_one_background_row() -> None:
    assert Detections((), 8.5, "").to_tsv() == f"{HEADER}\n0.00\t8.50\tbckg\tn/a\tn/a\tn/a\t8.50\n"


def test_a_start_with_a_time_zone_is_written_without_it() -> None:
    assert "\t2001-02-03 04:05:06\t" in Detections((), 8.0, "2001-02-03T04:05:06+00:00").to_tsv()


@pytest.mark.parametrize(
    "detections",
    [
        Detections((DetectedEvent(0.0, 8.5, 0.25), DetectedEvent(3.0, 4.0, 1.0)), 8.5, "2000-01-01T00:00:00"),
        Detections((), 8.5, ""),
    ],
)
def test_tsv_reads_back(detections: Detections) -> None:
    assert Detections.from_tsv(detections.to_tsv(), "x.tsv") == detections


@given(st.integers(1, 10**6), st.lists(st.booleans(), min_size=1, max_size=30))
def test_every_written_tsv_reads_back_to_its_decimals(cut_us: int, marks: list[bool]) -> None:
    duration_s = len(marks) - 1 + cut_us / 1e6
    mask = np.array(marks, dtype=bool)
    events = events_from_mask(mask, np.where(mask, 0.5, 0.0), duration_s)
    back = Detections.from_tsv(Detections(events, duration_s, "").to_tsv(), "x.tsv")
    assert [event.onset_s for event in back.events] == [event.onset_s for event in events]
    stops_s = [event.stop_s for event in events]
    assert [event.stop_s for event in back.events] == pytest.approx(stops_s, abs=0.0101)
    assert back.duration_s == pytest.approx(duration_s, abs=0.0051)


def test_any_seizure_type_and_an_unknown_confidence_are_read() -> None:
    row = "10.00\t40.00\tsz_foc\tn/a\tn/a\t2000-01-01 00:00:00\t50.00\n"
    (event,) = Detections.from_tsv(f"{HEADER}\n{row}", "x.tsv").events
    assert (event.onset_s, event.stop_s) == (10.0, 50.0)
    assert math.isnan(event.confidence)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.tsv: no event and no bckg row; a SzCORE events file has the columns onset, duration, eventType"),
        (HEADER, "x.tsv: no event and no bckg row"),
        ("onset\tduration\n0\t1\n", "x.tsv: columns missing: eventType, confidence, channels, dateTime, rec"),
        (f"{HEADER}\n0\tlong\tsz\tn/a\tn/a\tn/a\t9\n", "x.tsv, line 2: could not convert string to float: 'long'"),
        (f"{HEADER}\n0\t1\tsz\tn/a\tn/a\tMay\t9\n", "x.tsv, line 2: time data 'May' does not match"),
        (f"{HEADER}\n0\t1\tsz\n", "x.tsv, line 2: .*; expected seconds and dates or n/a"),
        (
            f"{HEADER}\n0\t1\tblink\tn/a\tn/a\tn/a\t9\n",
            "x.tsv, line 2: eventType is 'blink'; allowed: bckg and sz",
        ),
        (
            f"{HEADER}\n0\t1\tsz\tn/a\tn/a\tn/a\t9\n8\t2\tsz\tn/a\tn/a\tn/a\t9\n",
            "line 3: event from 8.0 to 10.0 s is",
        ),
        (f"{HEADER}\n-1\t2\tsz\tn/a\tn/a\tn/a\t9\n", "is not within the recording of 9.0 s"),
        (f"{HEADER}\nnan\t2\tsz\tn/a\tn/a\tn/a\t9\n", "is not within the recording of 9.0 s"),
    ],
)
def test_a_bad_tsv_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections.from_tsv(text, "x.tsv")
