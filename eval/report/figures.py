"""Figures of scores, drawn with matplotlib. Files are written by `save_figure` alone."""

import functools
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from eval.report.palette import LIGHT
from eval.scoring.background import Background
from eval.scoring.scores import HEADLINE, bootstrap_interval
from heads.run_folder import FoldResult
from store.runtime.atomic import write_bytes, write_text
from store.runtime.cli import to_one_line

P = ParamSpec("P")
PERSON_PANELS = ("AUROC", "AUPRC", "event F1", "event sens", "event FP/day")
_CURVE_POINTS = 400
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # travels with matplotlib: no glyph is missing anywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.6,
    "figure.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "legend.frameon": False,
    "svg.fonttype": "path",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), LIGHT["ink"]),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), LIGHT["muted"]),
}


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


@_styled
def draw_operating_curve(sweep: pd.DataFrame, summary: pd.DataFrame, background: Background) -> Figure:
    """Sensitivity against false alarms, and F1 against the threshold.

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
    chosen = summary["event.fp_per_day"]["mean"] if background.suffices else _total(summary, "event.fp")
    figure, (curve, by_threshold) = _panels(2)
    mean = summary.T["mean"]
    curve.plot(sweep[alarms], sweep["sensitivity"], ".-", color=LIGHT["blue"], label="one threshold for all")
    curve.plot(
        chosen,
        mean["event.sensitivity"],
        "D",
        color=LIGHT["orange"],
        label="chosen in each fold",
        clip_on=False,
    )
    curve.set_xscale("symlog", linthresh=1)
    curve.set(xlim=(0, None), ylim=(-0.02, 1.02), ylabel="event sensitivity")
    unit = "a day" if background.suffices else f"in {background.hours:.1f} h of background"
    curve.set_xlabel(f"false alarms {unit}")
    curve.set_title("Seizures found, and at what cost")
    curve.legend(loc="best")
    by_threshold.plot(sweep.index, sweep["f1"], ".-", color=LIGHT["blue"])
    by_threshold.axhline(mean["event.f1"], color=LIGHT["orange"], linestyle="--")
    by_threshold.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="threshold", ylabel="event F1")
    by_threshold.set_title("Event F1 (dashed: chosen in each fold)")
    return figure


@_styled
def draw_ranking(persons: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Figure:
    """ROC and precision-recall curves of each person and of all seconds pooled.

    Parameters
    ----------
    persons
        Labels and probabilities of all seconds of a person, ``(T,)`` each; those of one class are left out.
    """
    figure, (roc, pr) = _panels(2)
    usable = [pair for pair in persons.values() if 0 < pair[0].sum() < len(pair[0])]
    pooled = [np.concatenate(parts) for parts in zip(*usable, strict=True)]
    for number, (labels, probabilities) in enumerate([*usable, pooled] if usable else []):
        last = number == len(usable)
        look: dict[str, Any] = (
            {"color": LIGHT["blue"], "linewidth": 2, "label": "pooled"}
            if last
            else {
                "color": LIGHT["muted"],
                "linewidth": 0.7,
                "alpha": 0.7,
                "label": "one person" if not number else None,
            }
        )
        false_rate, true_rate, _ = roc_curve(labels, probabilities)
        precision, recall, _ = precision_recall_curve(labels, probabilities)
        roc.plot(*_thin(false_rate, true_rate), **look)
        pr.plot(*_thin(recall, precision), **look)
    roc.plot([0, 1], [0, 1], ":", color=LIGHT["muted"], linewidth=1, label="chance")
    roc.set(xlabel="false positive rate (seconds)", ylabel="sensitivity (seconds)")
    pr.set(xlabel="sensitivity (seconds)", ylabel="precision (seconds)")
    roc.set_title("ROC")
    pr.set_title("Precision and recall")
    for axes in (roc, pr):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    roc.legend(loc="lower right")
    return figure


@_styled
def draw_persons(persons: pd.DataFrame, summary: pd.DataFrame, background: Background) -> Figure:
    """A dot a person and score; line and band are the mean and its 95 % interval.

    Where ``background`` is too little for a rate, false alarms are counts.
    """
    height = max(2.2, 0.9 + 0.2 * len(persons))
    figure, panels = _panels(len(PERSON_PANELS), height)
    rows = np.arange(len(persons))
    for axes, heading in zip(panels, PERSON_PANELS, strict=True):
        column = HEADLINE[heading]
        counts = column.endswith("per_day") and not background.suffices
        column, title = ("event.fp", "false alarms") if counts else (column, heading)
        mean, low, high = summary.loc[["mean", "ci95_low", "ci95_high"], column].to_numpy(float)
        axes.axvspan(low, high, color=LIGHT["blue"], alpha=0.15, linewidth=0)
        axes.axvline(mean, color=LIGHT["blue"], linewidth=1)
        axes.plot(persons[column], rows, "o", color=LIGHT["ink"], markersize=4, clip_on=False)
        axes.set(yticks=rows, ylim=(len(persons) - 0.5, -0.5))
        axes.set_title(title)
        axes.set_yticklabels([_label(person) for person in persons.index] if axes is panels[0] else [])
        if column.startswith("event.fp"):
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=0)
        else:
            axes.set(xlim=(-0.03, 1.03))
            axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    panels[0].set_ylabel("person")
    return figure


@_styled
def draw_reliability(bins: pd.DataFrame) -> Figure:
    """Share of seizure seconds among those of about equal probability, and how many seconds these are.

    Parameters
    ----------
    bins
        As `eval.scoring.calibration.bin_reliability`.
    """
    figure, (reliability, histogram) = _panels(2)
    filled = bins[bins["seconds"] > 0]
    predicted, observed = filled["mean_probability"], filled["seizure_share"]
    reliability.plot([0, 1], [0, 1], ":", color=LIGHT["muted"], linewidth=1, label="perfectly calibrated")
    reliability.plot(predicted, observed, "o-", color=LIGHT["blue"], label="seconds of all persons")
    reliability.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    reliability.set(xlabel="mean predicted probability", ylabel="share in seizure")
    reliability.set_title("Reliability")
    reliability.legend(loc="upper left")
    width = 1 / len(bins)
    left = bins["from_probability"]
    histogram.bar(left, bins["seconds"], width, align="edge", color=LIGHT["blue"], edgecolor=LIGHT["paper"])
    histogram.set_yscale("symlog", linthresh=10)
    histogram.set(xlim=(0, 1), xlabel="predicted probability", ylabel="seconds")
    histogram.set_title("How often each probability is given")
    return figure


@_styled
def draw_training(folds: Sequence[FoldResult]) -> Figure:
    """Loss and validation AUROC over epochs, a line a fold, a dot where its best epoch is."""
    figure, panels = _panels(2)
    for axes, key, label in zip(
        panels, ("loss", "validation_auroc"), ("training loss", "validation AUROC"), strict=True
    ):
        for fold in folds:
            epochs = [entry["epoch"] for entry in fold.history]
            values = [entry.get(key, np.nan) for entry in fold.history]
            axes.plot(epochs, values, color=LIGHT["muted"], linewidth=0.8, alpha=0.8)
            best = [(e, v) for e, v in zip(epochs, values, strict=True) if e == fold.best_epoch]
            axes.plot(*zip(*best, strict=True), "o", color=LIGHT["orange"], markersize=4)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_title("Training, a line a fold")
    panels[1].set_title("Validation (dot: the epoch that was kept)")
    return figure


@_styled
def draw_comparison(scores: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]) -> Figure:
    """A panel a metric, a column a run: dots of one person are joined, bars are means with 95 % intervals.

    Parameters
    ----------
    metrics
        Heading -> column of the scores.
    """
    height = 2.6 + 0.06 * max(map(len, scores))
    figure, panels = _panels(len(metrics), height, rows=2)
    for axes, (heading, column) in zip(panels, metrics.items(), strict=True):
        values = pd.DataFrame({name: persons[column] for name, persons in scores.items()})
        columns = np.arange(len(scores))
        axes.plot(columns, values.T, "o-", color=LIGHT["muted"], linewidth=0.6, markersize=3, alpha=0.7)
        axes.hlines(values.mean(), columns - 0.2, columns + 0.2, color=LIGHT["orange"], linewidth=2.5, zorder=3)
        bounds = [
            bootstrap_interval(values[name].dropna().to_numpy(), np.random.default_rng(0)) for name in values
        ]
        axes.vlines(columns, *zip(*bounds, strict=True), color=LIGHT["orange"], linewidth=1.2, zorder=3)
        axes.set(xlim=(-0.5, len(scores) - 0.5))
        axes.set_xticks(
            columns, [_label(name) for name in scores], rotation=25, ha="right", rotation_mode="anchor"
        )
        axes.set_title(heading)
        axes.grid(axis="x", visible=False)
        if column.startswith("event.fp"):
            axes.set_yscale("symlog", linthresh=1)
            axes.set_ylim(bottom=0)
    return figure


def save_figure(figure: Figure, folder: Path, name: str) -> str:
    """Write a figure as SVG and PNG; return the SVG, which is the same for the same figure."""
    text, image = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of a name in another script: a box is drawn
        figure.savefig(text, format="svg", metadata={"Date": None})
        figure.savefig(image, format="png", dpi=150)
    write_bytes(folder / f"{name}.png", image.getvalue())
    write_text(folder / f"{name}.svg", text.getvalue())
    return text.getvalue()


def _label(name: object) -> str:
    """A name as text of a figure: no formula, no control characters."""
    return to_one_line(name).replace("$", r"\$")


def _total(summary: pd.DataFrame, column: str) -> float:
    """Sum over persons."""
    return float(summary[column]["mean"] * summary[column]["defined"])


def _panels(number: int, height: float = 3.2, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9.6, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, number // rows, squeeze=False).flat)


def _thin(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most some hundred points of a curve, evenly over its points, both ends kept."""
    indices = np.unique(np.linspace(0, len(x) - 1, _CURVE_POINTS).round().astype(int))
    return x[indices], y[indices]
