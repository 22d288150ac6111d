"""Event counts on intervals: what timescoring counts on masks, fast enough to try many settings. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RATE_HZ = 10  # timescoring's, of events
TOLERANCE_BEFORE_S, TOLERANCE_AFTER_S = 30, 60
LONGEST_S, SHORTEST_GAP_S = 300, 90

Interval = tuple[float, float]  # [onset_s, stop_s), in whole tenths of a second


@dataclass(frozen=True)
class Outcome:
    """References and detections of one recording, merged and split as SzCORE does, each judged."""

    hits: tuple[Interval, ...]
    misses: tuple[Interval, ...]
    false_alarms: tuple[Interval, ...]


def judge(reference: Sequence[Interval], detected: Sequence[Interval], duration_s: float) -> Outcome:
    """Judge events with SzCORE's parameters; equal to ``timescoring.scoring.EventScoring``.

    >>> judge([(100, 120)], [(110, 130), (300, 310)], 400)
    Outcome(hits=((100.0, 120.0),), misses=(), false_alarms=((300.0, 310.0),))
    """
    wanted, found = (_split(_merge(_round(events, duration_s))) for events in (reference, detected))
    end_s = _samples(duration_s) / RATE_HZ
    windows = [(max(0, on - TOLERANCE_BEFORE_S), min(end_s, stop + TOLERANCE_AFTER_S)) for on, stop in wanted]
    hit = [any(_overlap(window, event) for event in found) for window in windows]
    covered = [window for window, good in zip(windows, hit, strict=True) if good]
    return Outcome(
        tuple(event for event, good in zip(wanted, hit, strict=True) if good),
        tuple(event for event, good in zip(wanted, hit, strict=True) if not good),
        tuple(event for event in found if not any(_overlap(event, window) for window in covered)),
    )


def _samples(duration_s: float) -> int:
    return max(RATE_HZ, round(duration_s * RATE_HZ))


def _round(events: Iterable[Interval], duration_s: float) -> list[Interval]:
    """Sorted, disjoint, within the recording, at whole samples."""
    end = _samples(duration_s)
    edges = sorted((round(max(0.0, on) * RATE_HZ), min(round(stop * RATE_HZ), end)) for on, stop in events)
    joined: list[tuple[int, int]] = []
    for first, stop in edges:
        if first < stop and joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        elif first < stop:
            joined.append((first, stop))
    return [(first / RATE_HZ, stop / RATE_HZ) for first, stop in joined]


def _merge(events: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for on, stop in events:
        if merged and on - merged[-1][1] < SHORTEST_GAP_S:
            merged[-1] = merged[-1][0], stop
        else:
            merged.append((on, stop))
    return merged


def _split(events: Iterable[Interval]) -> list[Interval]:
    parts = []
    for on, stop in events:
        while stop - on > LONGEST_S:
            parts.append((on, on + LONGEST_S))
            on += LONGEST_S
        parts.append((on, stop))
    return parts


def _overlap(one: Interval, other: Interval) -> bool:
    (first, stop), (other_first, other_stop) = (
        (round(on * RATE_HZ), round(end * RATE_HZ)) for on, end in (one, other)
    )
    return max(first, other_first) < min(stop, other_stop)
