"""Timelines of recordings: probability, threshold, hysteresis, reference and detected events."""

from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from eval.report.palette import LIGHT
from eval.scoring.counts import Interval
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import ScoredRecording
from store.runtime.cli import to_one_line

_COLUMNS = 250  # most points of a curve
_CURVE, _STRIP = 50, 4  # heights: of probability 0 to 1, of a row of events
_HEIGHT = _CURVE + 2 * (_STRIP + 1)
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200)
_MOST_TICKS = 6
# Colours come from the page, or from the style of a file; strokes keep their width when a drawing is stretched.
_STYLE = (
    ".p,.h,.l{{fill:none;vector-effect:non-scaling-stroke}}.p{{stroke:{blue}}}"
    ".h{{stroke:{muted};stroke-dasharray:4 3}}"
    ".l{{stroke:{muted};stroke-dasharray:1 3}}.s{{fill:{orange}}}.d{{fill:{green}}}"
)
_FILE_WIDTH, _FILE_ROW, _LEFT = 1000, 96, 44


def format_timeline(recording: ScoredRecording, post: PostProcessing, window: Interval | None = None) -> str:
    """HTML of a timeline that stretches to the width of its page, its text not.

    Parameters
    ----------
    window
        Start and stop in seconds; the whole recording if not given.
    """
    start_s, stop_s = window or (0.0, recording.duration_s)
    ticks = "".join(
        f'<i style="left:{100 * (tick_s - start_s) / (stop_s - start_s):.3g}%">{clock(tick_s)}</i>'
        for tick_s in _ticks(start_s, stop_s)
    )
    marks, columns = _draw(recording, post, start_s, stop_s)
    return (
        f'<div class="timeline"><svg viewBox="0 0 {columns} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="timeline">{marks}</svg>{ticks}<b style="top:{_level(post.threshold):.3g}px">'
        f"{post.threshold:.2f}</b></div>"
    )


def draw_person(recordings: Mapping[str, ScoredRecording], post: PostProcessing) -> str:
    """SVG file of all recordings of a person below each other."""
    rows = [
        _file_row(name, recording, post, number * _FILE_ROW)
        for number, (name, recording) in enumerate(recordings.items())
    ]
    height = _FILE_ROW * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_FILE_WIDTH} {height}" width="{_FILE_WIDTH}" '
        f'height="{height}" font-family="system-ui, DejaVu Sans, sans-serif" font-size="10">\n'
        f'<style>{_STYLE.format(**LIGHT)}</style><rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>\n'
        f"{''.join(rows)}</svg>\n"
    )


def format_style() -> str:
    """CSS of the marks of a timeline, in the colours of the page."""
    return _STYLE.format(**{name: f"var(--{name})" for name in LIGHT})


def clock(seconds: float) -> str:
    """Time from the recording's start.

    >>> clock(75.4), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _file_row(name: str, recording: ScoredRecording, post: PostProcessing, top: int) -> str:
    marks, columns = _draw(recording, post, 0, recording.duration_s)
    width = _FILE_WIDTH - _LEFT - 44
    muted = f'fill="{LIGHT["muted"]}"'
    texts = [f'<text x="{_LEFT}" y="{top + 11}" fill="{LIGHT["ink"]}">{escape(to_one_line(name))}</text>']
    for text, y in (("1", 7), ("0", _CURVE)):
        texts.append(f'<text x="{_LEFT - 5}" y="{top + 16 + y}" {muted} text-anchor="end">{text}</text>')
    level = top + 19 + _level(post.threshold)
    texts.append(f'<text x="{_LEFT + width + 4}" y="{level:.1f}" {muted}>{post.threshold:.2f}</text>')
    for tick_s in _ticks(0, recording.duration_s):
        x = _LEFT + width * tick_s / recording.duration_s
        texts.append(
            f'<text x="{x:.1f}" y="{top + _FILE_ROW - 9}" {muted} text-anchor="middle">{clock(tick_s)}</text>'
        )
    return (
        f'<svg x="{_LEFT}" y="{top + 16}" width="{width}" height="{_HEIGHT}" viewBox="0 0 {columns} {_HEIGHT}" '
        f'preserveAspectRatio="none">{marks}</svg>{"".join(texts)}\n'
    )


def _draw(recording: ScoredRecording, post: PostProcessing, start_s: float, stop_s: float) -> tuple[str, int]:
    """Marks of a stretch of a recording, in a frame of so many columns."""
    values = smooth(recording.probabilities, post.smoothing_s)[int(start_s) : int(np.ceil(stop_s))]
    columns = min(len(values), _COLUMNS)
    scale = columns / (stop_s - start_s)
    marks = [
        f'<path class="p" d="{_curve(values, columns)}"/>',
        f'<path class="h" d="M0 {_level(post.threshold):.3g}H{columns}"/>',
    ]
    if post.hysteresis_ratio < 1:
        marks.append(f'<path class="l" d="M0 {_level(post.threshold * post.hysteresis_ratio):.3g}H{columns}"/>')
    rows = ((recording.reference_intervals, "s", "seizure"), (recording.detected_intervals, "d", "detected"))
    for number, (events, kind, what) in enumerate(rows):
        top = _CURVE + 1 + number * (_STRIP + 1)
        marks += [
            _bar(
                event,
                max(0.0, event[0] - start_s) * scale,
                (min(event[1], stop_s) - start_s) * scale,
                top,
                kind,
                what,
            )
            for event in events
            if event[0] < stop_s and event[1] > start_s
        ]
    return "".join(marks), columns


def _bar(event: Interval, left: float, right: float, top: int, kind: str, what: str) -> str:
    return (
        f'<rect class="{kind}" x="{left:.4g}" y="{top}" width="{max(1.0, right - left):.4g}" height="{_STRIP}">'
        f"<title>{what} {clock(event[0])} to {clock(event[1])}</title></rect>"
    )


def _curve(values: NDArray[np.float64], columns: int) -> str:
    """Path with one point per column, relative; where seconds are many, at the largest of each column's.

    >>> _curve(np.array([0.0, 0.5, 0.5, 0.5, 1.0]), 5)
    'M.5 50l1-25h2l1-25'
    """
    edges = np.linspace(0, len(values), columns, endpoint=False).astype(int)
    levels = np.rint((1 - np.maximum.reduceat(values, edges)) * _CURVE).astype(int)
    steps = np.diff(levels).tolist()
    path, flat = f"M.5 {levels[0]}", 0
    for step in [*steps, None]:
        if step == 0:
            flat += 1
            continue
        path += f"h{flat}" if flat else ""
        flat = 0
        path += "" if step is None else f"l1 {step}".replace(" -", "-")
    return path


def _level(probability: float) -> float:
    """Height of a probability from the top."""
    return (1 - probability) * _CURVE


def _ticks(start_s: float, stop_s: float) -> list[float]:
    """Round times within a stretch."""
    step_s = next((step for step in _STEPS_S if (stop_s - start_s) / step <= _MOST_TICKS), 86400)
    first = -(-start_s // step_s) * step_s
    return np.arange(first, stop_s, step_s).tolist()
