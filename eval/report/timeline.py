"""Timelines of recordings as SVG: probability, threshold, reference and detected events."""

from collections.abc import Mapping
from html import escape

import numpy as np

from eval.report.palette import LIGHT
from eval.scoring.counts import Interval
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import ScoredRecording
from store.runtime.cli import to_one_line

_WIDTH, _LEFT = 1000, 44
_TITLE, _CURVE, _STRIP, _AXIS = 16, 36, 6, 24  # heights of the parts of a recording
_ROW = _TITLE + _CURVE + 2 * _STRIP + _AXIS
_COLUMNS = 800  # most points of a curve
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_FEWEST_PIXELS = 70  # between two ticks


def draw_recordings(recordings: Mapping[str, ScoredRecording], post: PostProcessing) -> list[str]:
    """A drawing of each recording of a person, all on one scale of time."""
    return [_frame(row, _ROW) for row in _rows(recordings, post)]


def draw_person(recordings: Mapping[str, ScoredRecording], post: PostProcessing) -> str:
    """All recordings of a person below each other."""
    rows = [
        f'<g transform="translate(0 {number * _ROW})">{row}</g>\n'
        for number, row in enumerate(_rows(recordings, post))
    ]
    return _frame("".join(rows), _ROW * len(rows))


def clock(seconds: float) -> str:
    """Time from the recording's start.

    >>> clock(75.4), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _frame(content: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, DejaVu Sans, sans-serif" font-size="10">\n'
        f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>\n{content}</svg>\n'
    )


def _rows(recordings: Mapping[str, ScoredRecording], post: PostProcessing) -> list[str]:
    longest_s = max(recording.duration_s for recording in recordings.values())
    return [_recording(name, recording, post, longest_s) for name, recording in recordings.items()]


def _recording(name: str, recording: ScoredRecording, post: PostProcessing, longest_s: float) -> str:
    scale = (_WIDTH - _LEFT - 16) / longest_s
    end = _LEFT + recording.duration_s * scale
    top, base = _TITLE, _TITLE + _CURVE
    level = base - post.threshold * _CURVE
    parts = [
        f'<text x="{_LEFT}" y="11" fill="{LIGHT["ink"]}">{escape(to_one_line(name))}</text>',
        f'<path d="M{_LEFT} {top}V{base}H{end:.1f}" fill="none" stroke="{LIGHT["grid"]}"/>',
        f'<path d="{_curve(recording, post, scale)}" fill="none" stroke="{LIGHT["blue"]}"/>',
        f'<path d="M{_LEFT} {level:.1f}H{end:.1f}" stroke="{LIGHT["muted"]}" stroke-dasharray="3 3"/>',
        *(_bar(event, base + 1, scale, "orange", "seizure") for event in recording.reference_intervals),
        *(_bar(event, base + 1 + _STRIP, scale, "green", "detected") for event in recording.detected_intervals),
    ]
    labels = (("1", top + 7, "muted"), ("0", base, "muted"))
    parts += [
        f'<text x="{_LEFT - 5}" y="{y}" fill="{LIGHT[c]}" text-anchor="end">{t}</text>' for t, y, c in labels
    ]
    step_s = next((step for step in _STEPS_S if step * scale >= _FEWEST_PIXELS), _STEPS_S[-1])
    for tick_s in np.arange(0, recording.duration_s, step_s):
        x = _LEFT + tick_s * scale
        place = f'x="{x:.1f}" y="{_ROW - 12}" fill="{LIGHT["muted"]}" text-anchor="middle"'
        parts.append(f"<text {place}>{clock(tick_s)}</text>")
    return "".join(parts)


def _curve(recording: ScoredRecording, post: PostProcessing, scale: float) -> str:
    """Path of the smoothed probability; where seconds are many, of the largest in each piece."""
    values = smooth(recording.probabilities, post.smoothing_s)
    piece = -(-len(values) // _COLUMNS)
    padded = np.pad(values, (0, -len(values) % piece), mode="edge").reshape(-1, piece).max(axis=1)
    x = _LEFT + np.minimum((np.arange(len(padded)) + 0.5) * piece, recording.duration_s) * scale
    y = _TITLE + (1 - padded) * _CURVE
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _bar(event: Interval, y: float, scale: float, colour: str, what: str) -> str:
    on_s, stop_s = event
    width = max(1.0, (stop_s - on_s) * scale)
    return (
        f'<rect x="{_LEFT + on_s * scale:.1f}" y="{y}" width="{width:.1f}" height="{_STRIP - 1}" '
        f'fill="{LIGHT[colour]}"><title>{what} {clock(on_s)} to {clock(stop_s)}</title></rect>'
    )
