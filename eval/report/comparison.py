"""Figures that compare runs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.report.palette import LIGHT
from eval.report.style import label, panels, scale_alarms, styled
from eval.scoring.scores import bootstrap_interval


@styled
def draw_comparison(scores: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]) -> Figure:
    """One panel per metric, one column per run: dots of one person are joined, bars are means with 95 % intervals.

    Parameters
    ----------
    metrics
        Heading -> column of the scores.
    """
    height = 2.6 + 0.06 * max(map(len, scores))
    figure, all_axes = panels(len(metrics), height, width=9.6, rows=2)
    for axes, (heading, column) in zip(all_axes, metrics.items(), strict=True):
        values = pd.DataFrame({name: persons[column] for name, persons in scores.items()})
        columns = np.arange(len(scores))
        axes.plot(columns, values.T, "o-", color=LIGHT["muted"], linewidth=0.6, markersize=3, alpha=0.7)
        axes.hlines(values.mean(), columns - 0.2, columns + 0.2, color=LIGHT["orange"], linewidth=2.5, zorder=3)
        bounds = [
            bootstrap_interval(values[name].dropna().to_numpy(), np.random.default_rng(0)) for name in values
        ]
        axes.vlines(columns, *zip(*bounds, strict=True), color=LIGHT["orange"], linewidth=1.2, zorder=3)
        axes.set(xlim=(-0.5, len(scores) - 0.5))
        axes.set_xticks(columns, [label(name) for name in scores], rotation=25, ha="right", rotation_mode="anchor")
        axes.set_title(heading)
        axes.grid(axis="x", visible=False)
        if column.startswith("event.fp"):
            scale_alarms(axes, "y")
    return figure
