"""Count events on intervals as timescoring does on masks, fast enough to try many settings."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RATE_HZ = 10  # timescoring's, of events
TOLERANCE_BEFORE_S, TOLERANCE_AFTER_S = 30, 60
LONGEST_S, SHORTEST_GAP_S = 300, 90

Interval = tuple[float, float]  # [onset_s, stop_s), in whole tenths of a second


@dataclass(frozen=True)
class MatchedEvents:
    """Events of one recording, merged and split as SzCORE does: references hit or missed, and false alarms."""

    hits: tuple[Interval, ...]
    misses: tuple[Interval, ...]
    false_alarms: tuple[Interval, ...]


@dataclass(frozen=True)
class ReferenceEvents:
    """Reference events of a recording as SzCORE counts them, to match many sets of detections to."""

    events: tuple[Interval, ...]
    windows: tuple[tuple[int, int], ...]  # each event with its tolerance, in samples
    duration_s: float

    @classmethod
    def from_intervals(cls, reference: Sequence[Interval], duration_s: float) -> "ReferenceEvents":
        """Merge and split annotated seizures."""
        events = tuple(as_scored(reference, duration_s))
        return cls(events, tuple(_to_samples(widen(event, duration_s)) for event in events), duration_s)

    def match(self, detected: Sequence[Interval]) -> MatchedEvents:
        """Match detections with SzCORE's parameters; equal to ``timescoring.scoring.EventScoring``."""
        detections = as_scored(detected, self.duration_s)
        samples = [_to_samples(detection) for detection in detections]
        hit = [any(_share(window, detection) for detection in samples) for window in self.windows]
        hit_windows = list(itertools.compress(self.windows, hit))
        is_false = [not any(_share(window, detection) for window in hit_windows) for detection in samples]
        return MatchedEvents(
            tuple(itertools.compress(self.events, hit)),
            tuple(event for event, is_hit in zip(self.events, hit, strict=True) if not is_hit),
            tuple(itertools.compress(detections, is_false)),
        )


def match_events(reference: Sequence[Interval], detected: Sequence[Interval], duration_s: float) -> MatchedEvents:
    """Match detections to annotated seizures.

    >>> match_events([(100, 120)], [(110, 130), (300, 310)], 400)
    MatchedEvents(hits=((100.0, 120.0),), misses=(), false_alarms=((300.0, 310.0),))
    """
    return ReferenceEvents.from_intervals(reference, duration_s).match(detected)


def as_scored(events: Iterable[Interval], duration_s: float) -> list[Interval]:
    """Events as SzCORE counts them: those less than 90 s apart merged, those longer than 300 s split."""
    return _split(_merge(_round(events, duration_s)))


def widen(event: Interval, duration_s: float) -> Interval:
    """Reference event with the tolerance before and after in which a detection hits it, within the recording."""
    return max(0, event[0] - TOLERANCE_BEFORE_S), min(
        count_samples(duration_s) / RATE_HZ, event[1] + TOLERANCE_AFTER_S
    )


def overlap(interval: Interval, other: Interval) -> bool:
    """Whether two intervals share a sample at 10 Hz."""
    return _share(_to_samples(interval), _to_samples(other))


def _to_samples(event: Interval) -> tuple[int, int]:
    return round(event[0] * RATE_HZ), round(event[1] * RATE_HZ)


def _share(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span[0] < other[1] and other[0] < span[1] and span[0] < span[1] and other[0] < other[1]


def count_samples(duration_s: float) -> int:
    """Samples of a recording at 10 Hz; the shortest counts as one second."""
    return max(RATE_HZ, round(duration_s * RATE_HZ))


def _round(events: Iterable[Interval], duration_s: float) -> list[Interval]:
    """Sorted, disjoint, within the recording, at whole samples."""
    end = count_samples(duration_s)
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
