"""The page of a study: one figure, one table, and links to every report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from eval.report.markup import format_figure, format_page, format_warnings, format_wide
from eval.report.palette import LIGHT
from eval.report.provenance import Provenance
from eval.report.style import label, panels, save_figure, styled
from eval.scoring.background import Background
from eval.scoring.scores import bootstrap_interval
from eval.scoring.study_scores import CombinationScores
from store.runtime.atomic import write_text
from store.runtime.cli import to_one_line
from store.runtime.plurals import count_noun

_CAPTION = (
    "AUROC per second. One dot per person; diamond and bar are the mean and its 95 % bootstrap interval over "
    "persons."
)


@dataclass(frozen=True)
class StudyPage:
    """What the page shows."""

    path: Path  # folder of the study
    rows: Sequence[CombinationScores]
    table: pd.DataFrame  # of text
    tests: pd.DataFrame | None  # of text, on other data
    skipped: Sequence[str]
    reports: Mapping[str, str]  # name -> path of the report, from the folder
    background: Background
    warnings: Sequence[str]


def write_study_page(page: StudyPage, provenance: Provenance) -> Path:
    """Write ``study.html``, and its picture into ``figures/``; return the path of the page."""
    svg = save_figure(draw_study(page.rows), page.path / "figures", "auroc")
    scores = page.rows[0].persons
    text = f"{count_noun(len(page.rows), 'combination')} of encoder, features and head on "
    text += count_noun(len(scores), "person")
    fill = {
        "lead": escape(f"{text}, {scores['seconds'].sum() / 3600:.1f} h."),
        "warnings": format_warnings(page.warnings),
        "figure": format_figure("auroc", svg, _CAPTION),
        "table": _format_scores(page.table),
        "note": escape(_describe_table(page)),
        "tests": _format_tests(page),
        "skipped": "".join(f"<li>{escape(to_one_line(line))}</li>" for line in page.skipped) or "<li>nothing</li>",
        "reports": "".join(
            f'<li><a href="{escape(path)}">{escape(to_one_line(name))}</a></li>'
            for name, path in page.reports.items()
        ),
        "date": escape(provenance.date),
        "command": escape(to_one_line(provenance.command)),
        "code": escape(provenance.code),
    }
    path = page.path / "study.html"
    write_text(path, format_page("study.html", f"Study: {page.path.resolve().name}", fill))
    return path


@styled
def draw_study(rows: Sequence[CombinationScores]) -> Figure:
    """One row per combination, below its name: one dot per person, the mean and its 95 % interval over persons."""
    figure, (axes,) = panels(height=0.7 + 0.42 * len(rows))
    for number, row in enumerate(rows):
        values = row.persons["auroc"].dropna().to_numpy(float)
        low, high = bootstrap_interval(values, np.random.default_rng(0))
        axes.plot(values, np.full(len(values), number), "o", color=LIGHT["muted"], markersize=3.5, alpha=0.6)
        axes.hlines(number, low, high, color=LIGHT["blue"], linewidth=2.5)
        axes.plot(values.mean() if len(values) else np.nan, number, "D", color=LIGHT["blue"], markersize=6)
        axes.text(0, number - 0.25, label(row.combination), transform=axes.get_yaxis_transform())
    axes.set(yticks=[], ylim=(len(rows) - 0.5, -0.8), xlabel="AUROC")
    return figure


def _describe_table(page: StudyPage) -> str:
    text = (
        "Mean over persons of scores averaged over seeds, with its 95 % bootstrap interval over persons; a person "
        "is tested by heads that never saw it. From the first: difference in AUROC from the first row, paired by "
        "person."
    )
    if page.background.suffices:
        return text
    return f"{text} False alarms are added up over persons, mean over seeds; {page.background.shortage}."


def _format_tests(page: StudyPage) -> str:
    if page.tests is None:
        return ""
    return f"<h2>Heads trained on everyone, on other data, mean over seeds</h2>{_format_scores(page.tests)}"


def _format_scores(table: pd.DataFrame) -> str:
    """A table as HTML, intervals below their means."""
    rows = [(name, *row) for name, row in zip(table.index, table.to_numpy(), strict=True)]
    html = format_wide(["encoder", *table.columns], rows, "study")
    return re.sub(r"<td>(\S+) \(([^<]+ to [^<]+)\)</td>", r"<td>\1<br><small>\2</small></td>", html)
