"""Event counts on intervals against timescoring on masks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring

from eval.scoring.counts import Interval, match_events

TENTHS = st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 4000)), max_size=8)


def annotation(events: list[Interval], duration_s: float) -> Annotation:
    samples = max(10, round(duration_s * 10))
    return Annotation(Annotation(events, 10, samples).mask, 10)


@settings(max_examples=150, deadline=None)
@given(TENTHS, TENTHS, st.integers(1, 9000))
def test_counts_equal_timescoring(
    reference: list[tuple[int, int]], detected: list[tuple[int, int]], tenths: int
) -> None:
    duration_s = tenths / 10
    events = [[(first / 10, (first + length) / 10) for first, length in side] for side in (reference, detected)]
    outcome = match_events(events[0], events[1], duration_s)
    score = EventScoring(*(annotation(side, duration_s) for side in events))
    assert len(outcome.hits) + len(outcome.misses) == score.refTrue
    assert (len(outcome.hits), len(outcome.false_alarms)) == (score.tp, score.fp)


@pytest.mark.parametrize(
    ("reference", "detected", "hits", "misses", "alarms"),
    [
        ([(10, 20), (109.9, 120)], [], [], [(10, 120)], []),  # merged below 90 s
        ([(10, 20), (110, 120)], [(100, 101)], [(110, 120)], [(10, 20)], []),
        ([(0, 690)], [(680, 690)], [(600, 690)], [(0, 300), (300, 600)], []),  # split at 300 s
        ([(100, 120)], [(60, 70)], [], [(100, 120)], [(60, 70)]),  # tolerance before
        ([(100, 120)], [(60, 70.1)], [(100, 120)], [], []),
        ([(100, 120)], [(180, 190)], [], [(100, 120)], [(180, 190)]),  # and after
        ([(100, 120)], [(179.9, 190)], [(100, 120)], [], []),
        ([(690, 999)], [(600, 601)], [], [(690, 700)], [(600, 601)]),  # past the end
    ],
)
def test_each_event_is_judged(
    reference: list[Interval],
    detected: list[Interval],
    hits: list[Interval],
    misses: list[Interval],
    alarms: list[Interval],
) -> None:
    outcome = match_events(reference, detected, 700)
    assert (list(outcome.hits), list(outcome.misses), list(outcome.false_alarms)) == (hits, misses, alarms)
