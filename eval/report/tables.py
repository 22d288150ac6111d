"""Tables of scores as text: for the terminal, and as Markdown, LaTeX and CSV for a paper."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.scoring.averages import add_spread
from eval.scoring.background import Background

_COLUMNS = {  # heading: metric, decimals
    "hours": ("hours", 2),
    "ictal s": ("ictal_seconds", 0),
    "AUROC": ("auroc", 3),
    "AUPRC": ("auprc", 3),
    "Brier": ("brier", 3),
    "TP": ("event.tp", 0),
    "FN": ("event.fn", 0),
    "FP": ("event.fp", 0),
    "event sens": ("event.sensitivity", 3),
    "event prec": ("event.precision", 3),
    "event F1": ("event.f1", 3),
    "event FP/day": ("event.fp_per_day", 1),
    "sample F1": ("sample.f1", 3),
}
_SUMMARY_ROWS = {"mean": "mean", "sd": "sd", "ci95_low": "95 % from", "ci95_high": "95 % to"}
_COUNTS = ("TP", "FN", "FP")  # with a decimal where they are means, over persons or over seeds
_SUMMED = ("hours", "ictal s", *_COUNTS)
SUMMARY_ROWS = len(_SUMMARY_ROWS) + 2  # at the end of the table of scores
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def format_scores(persons: pd.DataFrame, summary: pd.DataFrame, background: Background) -> pd.DataFrame:
    """Lay out one row per person, then what is known over persons; cells are text.

    Where background is too little for a rate, false alarms are counts alone. The last rows are the number of
    persons for whom a score is defined, and sums.
    """
    columns = _columns(background)
    rows = pd.concat([persons, summary.loc[list(_SUMMARY_ROWS)].rename(_SUMMARY_ROWS)])
    rows["hours"] = rows["seconds"] / 3600
    are_means = any((persons[columns[heading][0]] % 1).any() for heading in _COUNTS)  # over seeds
    table = pd.DataFrame(
        {
            heading: [
                format_number(value, decimals + (heading in _COUNTS and (are_means or name not in persons.index)))
                for name, value in rows[metric].items()
            ]
            for heading, (metric, decimals) in columns.items()
        },
        index=rows.index,
    )
    defined = summary.loc["defined"].rename({"seconds": "hours"})
    table.loc["persons"] = [f"{defined[metric]:.0f}" for metric, _ in columns.values()]
    totals = rows[: len(persons)].sum()
    table.loc["sum"] = [
        format_number(float(totals[metric]), decimals + (heading in _COUNTS and are_means))
        if heading in _SUMMED
        else ""
        for heading, (metric, decimals) in columns.items()
    ]
    return table.rename_axis(columns="person")


def format_heads(heads: pd.DataFrame, background: Background, corner: str = "head") -> pd.DataFrame:
    """Lay out the mean scores of several heads, a row each, then their mean and sd; cells are text.

    Of heads without labelled recordings the time in alarm alone is known.
    """
    columns = {heading: column for heading, column in _columns(background).items() if heading not in _SUMMED}
    if heads["seconds"].isna().all():
        columns = {}
    rows = add_spread(heads)
    cells = {
        heading: [format_number(value, decimals) for value in rows[metric]]
        for heading, (metric, decimals) in columns.items()
    }
    if "alarmed" in rows:
        cells["in alarm"] = [f"{100 * share:.1f} %" for share in rows["alarmed"]]
    return pd.DataFrame(cells, index=rows.index).rename_axis(columns=corner)


def _columns(background: Background) -> dict[str, tuple[str, int]]:
    """Columns of a table, without rates that background is too little for."""
    return {
        heading: column
        for heading, column in _COLUMNS.items()
        if background.suffices or not column[0].endswith("per_day")
    }


def format_number(value: float, decimals: int) -> str:
    """A number, a dash where it is undefined."""
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"


def to_markdown(table: pd.DataFrame, corner: str) -> str:
    r"""A table of text as Markdown; ``corner`` heads the rows.

    >>> print(to_markdown(pd.DataFrame({"F1": ["0.5"]}, index=["a|b"]), "person"), end="")
    | person | F1 |
    | :--- | ---: |
    | a\|b | 0.5 |
    """
    rows = [[corner, *table.columns], [":---", *["---:"] * table.shape[1]], *_rows(table)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def to_latex(table: pd.DataFrame, corner: str) -> str:
    r"""A table of text as a LaTeX tabular, with the rules of the package booktabs.

    >>> print(to_latex(pd.DataFrame({"95 % to": ["0.5"]}, index=["a_b"]), "person"), end="")
    \begin{tabular}{lr}
    \toprule
    person & 95 \% to \\
    \midrule
    a\_b & 0.5 \\
    \bottomrule
    \end{tabular}
    """
    heading, *rows = (
        " & ".join(map(_escape_latex, row)) + r" \\" for row in [[corner, *table.columns], *_rows(table)]
    )
    lines = [rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}", r"\toprule", heading, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _rows(table: pd.DataFrame) -> list[Sequence[str]]:
    return [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]


def _escape_latex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _LATEX.get(match[0], "\\" + match[0]), text)
