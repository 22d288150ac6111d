"""Draw the EEG around the onset of an event, all channels stacked."""

from html import escape

import numpy as np
from numpy.typing import NDArray

from eval.report.eeg_reader import EegSnippet
from eval.report.timeline import clock
from eval.scoring.counts import Interval

AROUND_S = 10  # on either side of an onset
_RATE_HZ = 50  # of what is drawn: what a page resolves
_ROW = 24  # height between two channels
_SCALES_UV = (10, 20, 50, 100, 200, 500, 1000)  # of one row
_LOUD = 95  # percentile of the amplitude that fills half a row


def format_snippet(snippet: EegSnippet, event: Interval) -> str:
    """HTML of all channels with names, an axis of time, the event shaded, and a bar of scale."""
    signal_uv = _resample(snippet)
    channels, points = signal_uv.shape
    scale_uv = _choose_scale(signal_uv)
    height, stop_s = (channels + 1) * _ROW, snippet.start_s + points / _RATE_HZ
    left, right = np.clip(np.subtract(event, snippet.start_s) * _RATE_HZ, 0, points).round().astype(int)
    traces = "".join(
        _trace(values * _ROW / scale_uv, (number + 1) * _ROW)
        for number, (values, is_there) in enumerate(zip(signal_uv, snippet.channel_mask, strict=True))
        if is_there
    )
    names = "".join(
        f'<i style="top:{(number + 1) * _ROW}px">{escape(name)}{"" if is_there else " (missing)"}</i>'
        for number, (name, is_there) in enumerate(zip(snippet.channels, snippet.channel_mask, strict=True))
    )
    ticks = "".join(
        f'<b style="left:{100 * (second - snippet.start_s) * _RATE_HZ / points:.3g}%">{clock(second)}</b>'
        for second in range(int(np.ceil(snippet.start_s)), int(stop_s), 5)
    )
    return (
        f'<div class="eeg"><div>{names}</div><svg viewBox="0 0 {points} {height}" style="height:{height}px" '
        f'preserveAspectRatio="none" role="img" aria-label="EEG">'
        f'<path class="event" d="M{left} 0H{right}V{height}H{left}z"/>{traces}</svg><p>{ticks}</p>'
        f'<small><u style="height:{_ROW}px"></u>{scale_uv} &micro;V</small></div>'
    )


def _resample(snippet: EegSnippet) -> NDArray[np.float64]:
    """Signal at the rate that is drawn, each channel around its median."""
    from scipy.signal import resample_poly  # here, since few reports show EEG

    rate = round(snippet.sample_rate_hz)
    signal_uv = resample_poly(snippet.signal_uv.astype(np.float64), _RATE_HZ, rate, axis=1, padtype="line")
    return np.asarray(signal_uv - np.median(signal_uv, axis=1, keepdims=True))


def _choose_scale(signal_uv: NDArray[np.float64]) -> int:
    """Microvolts a row, so that neither quiet nor loud EEG is lost."""
    loud_uv = 2 * float(np.percentile(np.abs(signal_uv), _LOUD))
    return next((scale for scale in _SCALES_UV if scale >= loud_uv), _SCALES_UV[-1])


def _trace(values: NDArray[np.float64], base: int) -> str:
    """Path of a channel, relative; what would leave three rows is cut off."""
    levels = np.rint(np.clip(base - values, base - 3 * _ROW, base + 3 * _ROW)).astype(int)
    steps = "".join(f" 1 {step}" for step in np.diff(levels).tolist()).replace(" -", "-")
    return f'<path d="M0 {levels[0]}l{steps.lstrip()}"/>'
