"""Figure of a recording through the codec: original, decoded, and the error below each channel."""

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

PICTURE_S = 10
_GAP = 0.15  # between rows, of the median row's height
_BAR = 0.1  # of the picture's width and height, at most
_LINES: dict[str, dict[str, Any]] = {  # the original wider, so that the decoded signal on it does not hide it
    "original": {"color": "0.65", "linewidth": 1.6},
    "decoded": {"color": "tab:red", "linewidth": 0.5},
    "error": {"color": "tab:blue", "linewidth": 0.5},
}


def draw_codec(
    original_uv: Rows,
    decoded_uv: Rows,
    rate_hz: float,
    names: Sequence[str],
    title: str,
    form: str,
    creator: str,
) -> bytes:
    """Picture of ten seconds from the middle.

    Parameters
    ----------
    original_uv, decoded_uv : (C, samples) float32
    names
        Of the C channels.
    title
        The time that is shown is added to it.
    form
        What matplotlib writes: png, pdf or svg.
    creator
        Written into the file, not drawn.
    """
    from matplotlib.figure import Figure

    shown = min(original_uv.shape[1], round(PICTURE_S * rate_hz))
    first = (original_uv.shape[1] - shown) // 2
    part = slice(first, first + shown)
    original_uv = original_uv[:, part] - original_uv[:, part].mean(1, keepdims=True)
    decoded_uv = decoded_uv[:, part] - decoded_uv[:, part].mean(1, keepdims=True)
    error_uv = original_uv - decoded_uv
    rows = [
        row for pair in zip(np.stack([original_uv, decoded_uv], 1), error_uv[:, None], strict=True) for row in pair
    ]
    offsets_uv = stack_rows(rows)
    times_s = np.arange(shown) / rate_hz
    figure = Figure(figsize=(12, 1 + 0.6 * len(names)))
    axes = figure.add_axes((0.07, 0.05, 0.91, 0.9))
    lines = {}
    for number, name in enumerate(names):
        signal, beneath = offsets_uv[2 * number], offsets_uv[2 * number + 1]
        for kind, row_uv in (
            ("original", original_uv[number] + signal),
            ("decoded", decoded_uv[number] + signal),
            ("error", error_uv[number] + beneath),
        ):
            (lines[kind],) = axes.plot(times_s, row_uv, **_LINES[kind])
        axes.text(-0.01 * shown / rate_hz, signal, name, ha="right", va="center", fontsize=8)
    bottom_uv, top_uv = offsets_uv[-1] + rows[-1].min(), offsets_uv[0] + rows[0].max()
    _draw_scale(axes, shown / rate_hz, bottom_uv, top_uv - bottom_uv)
    axes.margins(x=0.005, y=0.01)
    axes.set_axis_off()
    shown_s = f"{shown / rate_hz:g} s from {timedelta(seconds=int(first / rate_hz))} on"
    figure.suptitle(f"{title}; {shown_s}", fontsize=10, parse_math=False)
    figure.legend(lines.values(), lines.keys(), loc="lower center", ncols=len(lines))
    content = io.BytesIO()
    figure.savefig(content, format=form, dpi=120, metadata={"Creator": creator})
    return content.getvalue()


def stack_rows(rows: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.float64]:
    """Offsets that put rows one beneath the other so that none reaches into the next.

    >>> stack_rows([np.array([-1.0, 1.0]), np.array([0.0, 4.0]), np.array([-1.0, 1.0])]).round(3).tolist()
    [0.0, -5.3, -6.6]
    """
    heights = [float(np.ptp(row)) for row in rows]
    gap = _GAP * float(np.median(heights)) or 1.0
    offsets = np.zeros(len(rows))
    for number in range(1, len(rows)):
        above = offsets[number - 1] + rows[number - 1].min()
        offsets[number] = above - gap - rows[number].max()
    return offsets


def round_scale(largest: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above a number.

    >>> [round_scale(value) for value in (99.0, 20.0, 0.7)]
    [50.0, 20.0, 0.5]
    """
    power = 10.0 ** np.floor(np.log10(largest))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= largest * (1 + 1e-9)))


def _draw_scale(axes: Any, seconds: float, bottom_uv: float, height_uv: float) -> None:
    """An upright and a level bar right of the rows, with what they stand for."""
    bar_s, bar_uv = round_scale(_BAR * seconds), round_scale(_BAR * (height_uv or 1.0))
    left = seconds * 1.02
    axes.plot([left, left, left + bar_s], [bottom_uv + bar_uv, bottom_uv, bottom_uv], color="black", linewidth=1.5)
    axes.text(left, bottom_uv + bar_uv, f" {bar_uv:g} µV", ha="left", va="top", fontsize=8)
    axes.text(left, bottom_uv, f" {bar_s:g} s", ha="left", va="bottom", fontsize=8)
