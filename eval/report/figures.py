"""Figures of a run, drawn with matplotlib for half a page each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from eval.report.palette import LIGHT
from eval.report.style import label, panels, scale_alarms, styled
from eval.scoring.background import Background
from eval.scoring.scores import HEADLINE
from heads.run_folder import FoldResult

PERSON_PANELS = ("AUROC", "event sens", "event FP/day")
_MOST_POINTS, _FEWEST_POINTS = 400, 16  # of a person's curve
_ALL_POINTS = 8000  # of all persons' together, as far as each has enough
_MOST_NAMES = 40  # beside dots

LabelledSeconds = tuple[NDArray[Any], NDArray[Any]]  # labels and probabilities, (T,) each


@styled
def draw_sensitivity(sweep: pd.DataFrame, summary: pd.DataFrame, background: Background) -> Figure:
    """Event sensitivity against false alarms, over thresholds.

    Parameters
    ----------
    sweep
        As `eval.scoring.operating_curve.sweep_thresholds`.
    summary
        Its ``mean`` is where the thresholds chosen on validation persons lie.
    background
        Where it is too little for a rate, false alarms are counts.
    """
    alarms = "fp_per_day" if background.suffices else "false_alarms"
    false_alarms = summary["event.fp_per_day"]["mean"] if background.suffices else _total(summary, "event.fp")
    figure, (axes,) = panels()
    axes.plot(sweep[alarms], sweep["sensitivity"], ".-", color=LIGHT["blue"], label="one threshold for all")
    mean, low, high = summary["event.sensitivity"][["mean", "ci95_low", "ci95_high"]]
    axes.vlines(false_alarms, low, high, color=LIGHT["orange"], linewidth=1.2)
    axes.plot(false_alarms, mean, "D", color=LIGHT["orange"], label="as chosen", clip_on=False)
    scale_alarms(axes, "x")
    axes.set(ylim=(-0.02, 1.02), ylabel="event sensitivity")
    unit = "a day" if background.suffices else f"in {background.hours:.1f} h of background"
    axes.set_xlabel(f"false alarms {unit}")
    axes.set_title("Seizures found, and at what cost")
    axes.legend(loc="best")
    return figure


@styled
def draw_f1(sweep: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Event F1 against the threshold."""
    figure, (axes,) = panels()
    axes.plot(sweep.index, sweep["f1"], ".-", color=LIGHT["blue"], label="one threshold for all")
    axes.axhline(summary["event.f1"]["mean"], color=LIGHT["orange"], linestyle="--", label="as chosen")
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="threshold", ylabel="event F1")
    axes.set_title("Event F1")
    axes.legend(loc="best")
    return figure


@styled
def draw_persons(persons: pd.DataFrame, summary: pd.DataFrame, background: Background) -> Figure:
    """One dot per person and score; line and band are the mean and its 95 % interval.

    Where ``background`` is too little for a rate, false alarms are counts.
    """
    named = len(persons) <= _MOST_NAMES
    figure, all_axes = panels(len(PERSON_PANELS), max(2.7, 0.9 + 0.18 * min(len(persons), _MOST_NAMES)))
    rows = np.arange(len(persons))
    for axes, heading in zip(all_axes, PERSON_PANELS, strict=True):
        column = HEADLINE[heading]
        counts = column.endswith("per_day") and not background.suffices
        column, title = ("event.fp", "false alarms") if counts else (column, heading)
        mean, low, high = summary.loc[["mean", "ci95_low", "ci95_high"], column].to_numpy(float)
        axes.axvspan(low, high, color=LIGHT["blue"], alpha=0.15, linewidth=0)
        axes.axvline(mean, color=LIGHT["blue"], linewidth=1)
        axes.plot(persons[column], rows, "o", color=LIGHT["ink"], markersize=4 if named else 2, clip_on=False)
        axes.set(yticks=rows if named else [], ylim=(len(persons) - 0.5, -0.5))
        axes.set_title(title)
        axes.set_yticklabels([label(person) for person in persons.index] if axes is all_axes[0] and named else [])
        if column.startswith("event.fp"):
            scale_alarms(axes, "x")
        else:
            axes.set(xlim=(-0.03, 1.03))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    all_axes[0].set_ylabel("person")
    return figure


@styled
def draw_roc(persons: Mapping[str, LabelledSeconds]) -> Figure:
    """ROC curve of each person and of all seconds pooled; persons of one class are left out."""
    curves = [roc_curve(*pair)[:2] for pair in _with_pooled(persons)]
    figure = _draw_curves(curves)
    (axes,) = figure.axes
    axes.plot([0, 1], [0, 1], ":", color=LIGHT["muted"], linewidth=1, label="chance")
    axes.set(xlabel="false positive rate (seconds)", ylabel="sensitivity (seconds)")
    axes.set_title("ROC")
    axes.legend(loc="lower right")
    return figure


@styled
def draw_precision_recall(persons: Mapping[str, LabelledSeconds]) -> Figure:
    """Precision against recall of each person and of all seconds pooled; persons of one class are left out."""
    curves = [precision_recall_curve(*pair)[1::-1] for pair in _with_pooled(persons)]
    figure = _draw_curves(curves)
    (axes,) = figure.axes
    axes.set(xlabel="sensitivity (seconds)", ylabel="precision (seconds)")
    axes.set_title("Precision and recall")
    return figure


@styled
def draw_reliability(bins: pd.DataFrame, calibrated: pd.DataFrame | None = None) -> Figure:
    """Share of seizure seconds among those of about equal probability.

    Parameters
    ----------
    bins
        As `eval.scoring.calibration.bin_reliability`.
    calibrated
        The same at the temperature of each fold.
    """
    figure, (axes,) = panels()
    axes.plot([0, 1], [0, 1], ":", color=LIGHT["muted"], linewidth=1, label="perfectly calibrated")
    lines = [(bins, "o-", "blue", "seconds of all persons")]
    if calibrated is not None:
        lines.append((calibrated, "s--", "orange", "at the folds' temperatures"))
    for table, style, colour, name in lines:
        filled = table[table["seconds"] > 0]
        points = filled["mean_probability"], filled["seizure_share"]
        axes.plot(*points, style, color=LIGHT[colour], label=name)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="mean predicted probability", ylabel="share in seizure")
    axes.set_title("Reliability")
    axes.legend(loc="upper left")
    return figure


@styled
def draw_probabilities(bins: pd.DataFrame) -> Figure:
    """How many seconds are given each probability; ``bins`` as for `draw_reliability`."""
    figure, (axes,) = panels()
    left, width = bins["from_probability"], 1 / len(bins)
    axes.bar(left, bins["seconds"], width, align="edge", color=LIGHT["blue"], edgecolor=LIGHT["paper"])
    axes.set_yscale("symlog", linthresh=10)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlim=(0, 1), xlabel="predicted probability", ylabel="seconds")
    axes.set_title("How often each probability is given")
    return figure


@styled
def draw_training(folds: Sequence[FoldResult], key: str, name: str) -> Figure:
    """An entry of the history over epochs, one line per fold, a dot where its best epoch is."""
    figure, (axes,) = panels()
    for fold in folds:
        epochs = [entry["epoch"] for entry in fold.history]
        values = [entry.get(key, np.nan) for entry in fold.history]
        axes.plot(epochs, values, color=LIGHT["muted"], linewidth=0.8, alpha=0.8)
        best = [(e, v) for e, v in zip(epochs, values, strict=True) if e == fold.best_epoch]
        axes.plot(*zip(*best, strict=True), "o", color=LIGHT["orange"], markersize=4)
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{name[0].upper()}{name[1:]}, one line per fold")
    return figure


def _with_pooled(persons: Mapping[str, LabelledSeconds]) -> list[LabelledSeconds]:
    """Seconds of each person who has both classes, then of all of these."""
    usable = [pair for pair in persons.values() if 0 < pair[0].sum() < len(pair[0])]
    labels, probabilities = ([pair[side] for pair in usable] for side in (0, 1))
    return [*usable, (np.concatenate(labels), np.concatenate(probabilities))] if usable else []


def _draw_curves(curves: Sequence[Sequence[NDArray[Any]]]) -> Figure:
    """Curves of persons, then the pooled one."""
    figure, (axes,) = panels()
    points = min(_MOST_POINTS, max(_FEWEST_POINTS, _ALL_POINTS // max(1, len(curves))))
    for number, (x, y) in enumerate(curves[:-1]):
        name = "one person" if not number else None
        axes.plot(*_thin(x, y, points), color=LIGHT["muted"], linewidth=0.7, alpha=0.7, label=name)
    for x, y in curves[-1:]:
        axes.plot(*_thin(x, y, _MOST_POINTS), color=LIGHT["blue"], linewidth=2, label="pooled")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure


def _total(summary: pd.DataFrame, column: str) -> float:
    """Sum over persons."""
    return float(summary[column]["mean"] * summary[column]["defined"])


def _thin(x: NDArray[Any], y: NDArray[Any], points: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most so many points of a curve, evenly over its points, both ends kept."""
    indices = np.unique(np.linspace(0, len(x) - 1, points).round().astype(int))
    return x[indices], y[indices]
