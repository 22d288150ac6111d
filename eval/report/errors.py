"""Every miss and false alarm, on the timeline of its recording and in its EEG."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from eval.report.eeg_reader import EegReader
from eval.report.eeg_snippets import AROUND_S, format_snippet
from eval.report.timeline import clock, format_timeline
from eval.scoring.counts import Interval
from eval.scoring.postprocess import PostProcessing
from eval.scoring.results import Results
from eval.scoring.seizures import list_false_alarms, list_seizures
from store.runtime.cli import to_one_line
from store.runtime.plurals import count_noun

_WHOLE_S = 1800  # recordings up to this long are shown whole
_WINDOW_S, _MARGIN_S = 600, 60  # of longer ones, stretches of this length, with a margin on either side
_MOST_WINDOWS = 600
_MOST_IN_WINDOW = 8
_EEG_CHARACTERS = 3_500_000  # in all


@dataclass(frozen=True)
class DetectionError:
    """A missed seizure or a false alarm."""

    person: str
    recording: str
    event: Interval
    is_miss: bool
    text: str

    @property
    def order(self) -> tuple[str, str, float]:
        """By person, recording and time."""
        return self.person, self.recording, self.event[0]


def list_errors(results: Results) -> list[DetectionError]:
    """All misses and false alarms, by person, recording and time."""
    seizures = list_seizures(results.recordings, results.posts)
    misses = seizures[~seizures["hit"].astype(bool)].to_dict(orient="records")
    alarms = list_false_alarms(results.recordings).to_dict(orient="records")
    errors = [_error(row, True, str(row["why_missed"])) for row in misses]
    errors += [_error(row, False, _describe_alarm(row)) for row in alarms]
    return sorted(errors, key=lambda error: error.order)


def format_errors(results: Results, errors: list[DetectionError], reader: EegReader | None) -> str:
    """HTML of all errors: stretches of recordings with a timeline, and with a reader EEG around each onset."""
    if not results.recordings:
        return "<p>No recording is labelled, so errors are unknown.</p>"
    if not errors:
        return "<p>No seizure was missed, and no alarm was false.</p>"
    stretches = list(_group(results, errors))
    shown = stretches[:_MOST_WINDOWS]
    misses = sum(error.is_miss for error in errors)
    text = f"{count_noun(misses, 'missed seizure')} and {count_noun(len(errors) - misses, 'false alarm')}"
    if len(shown) < len(stretches):
        text += f", in {len(stretches)} stretches of recordings, the first {_MOST_WINDOWS} here"
    parts, room, lacking = [], _EEG_CHARACTERS if reader else 0, 0
    for window, group in shown:
        drawings = []
        for error in group[:_MOST_IN_WINDOW] if reader else ():
            drawing = _draw_eeg(error, reader) if room > 0 else ""
            room -= len(drawing)
            lacking += not drawing
            drawings.append(drawing)
        parts.append(_format_stretch(results, window, group, drawings))
    if lacking:
        text += f"; EEG of all but the last {lacking}, which would make the page too large"
    return (
        f'<p class="muted">{text}. seizures.csv and false_alarms.csv hold all.</p>'
        f'<div class="{"" if reader else "pair"}">{"".join(parts)}</div>'
    )


def describe_post(post: PostProcessing) -> str:
    """Post-processing of a person in words.

    >>> describe_post(PostProcessing(0.8, 0.5, 5, 10))
    'threshold 0.80, held while above 0.40, smoothed over 5 s, events of 10 s and longer'
    """
    held = f", held while above {post.threshold * post.hysteresis_ratio:.2f}" if post.hysteresis_ratio < 1 else ""
    smoothed = f", smoothed over {post.smoothing_s} s" if post.smoothing_s > 1 else ""
    return f"threshold {post.threshold:.2f}{held}{smoothed}, events of {post.min_duration_s} s and longer"


def is_shown_whole(results: Results, error: DetectionError) -> bool:
    """Whether the timeline of an error is that of its whole recording."""
    return results.recordings[error.person][error.recording].duration_s <= _WHOLE_S


def _group(results: Results, errors: Iterable[DetectionError]) -> Iterator[tuple[Interval, list[DetectionError]]]:
    """Stretches of recordings, each with its errors."""

    def stretch(error: DetectionError) -> tuple[str, str, int]:
        number = 0 if is_shown_whole(results, error) else int(error.event[0] // _WINDOW_S)
        return error.person, error.recording, number

    for (person, name, number), group in groupby(errors, stretch):
        stretch_errors = list(group)
        duration_s = results.recordings[person][name].duration_s
        start_s = max(0, number * _WINDOW_S - _MARGIN_S)
        stop_s = min(duration_s, (number + 1) * _WINDOW_S + _MARGIN_S)
        yield (0, duration_s) if is_shown_whole(results, stretch_errors[0]) else (start_s, stop_s), stretch_errors


def _format_stretch(results: Results, window: Interval, group: list[DetectionError], drawings: list[str]) -> str:
    first, post = group[0], results.posts[group[0].person]
    recording = results.recordings[first.person][first.recording]
    rows = []
    for number, error in enumerate(group[:_MOST_IN_WINDOW]):
        kind = "missed" if error.is_miss else "false alarm"
        length_s = error.event[1] - error.event[0]
        rows.append(
            f'<li class="{"miss" if error.is_miss else "alarm"}"><b>{kind}</b> at {clock(error.event[0])}, '
            f"{length_s:.0f} s: {escape(error.text)}{drawings[number] if drawings else ''}</li>"
        )
    if more := len(group) - len(rows):
        rows.append(f"<li>and {more} more</li>")
    return (
        f'<figure class="error"><figcaption><b>{escape(to_one_line(first.recording))}</b> '
        f"person {escape(to_one_line(first.person))}: {describe_post(post)}</figcaption>"
        f"{format_timeline(recording, post, window)}<ul>{''.join(rows)}</ul></figure>"
    )


def _draw_eeg(error: DetectionError, reader: EegReader | None) -> str:
    if reader is None:
        return ""
    onset_s = error.event[0]
    return format_snippet(reader(error.recording, onset_s - AROUND_S, onset_s + AROUND_S), error.event)


def _error(row: dict[Any, Any], is_miss: bool, text: str) -> DetectionError:
    event = (float(row["onset_s"]), float(row["onset_s"]) + float(row["duration_s"]))
    return DetectionError(str(row["person"]), str(row["recording"]), event, is_miss, text)


def _describe_alarm(row: dict[Any, Any]) -> str:
    text = f"mean probability {row['mean_probability']:.2f}, peak {row['peak_probability']:.2f}"
    distance_s = float(row["nearest_seizure_s"])
    return text if math.isnan(distance_s) else f"{text}; {distance_s:.0f} s from the nearest seizure"
