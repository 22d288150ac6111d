"""Tables of a study as text."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eval.report.tables import format_number
from eval.scoring.background import Background
from eval.scoring.scores import HEADLINE


def format_study(table: pd.DataFrame, background: Background) -> pd.DataFrame:
    """All scores, one row per combination; false alarms are counts where background is too little for a rate.

    Parameters
    ----------
    table
        As `eval.scoring.study_scores.tabulate_study`.
    """
    cells = pd.DataFrame(
        {"features": table["features"], "head": table["head"], "seeds": table["seeds"].astype(str)}
    )
    cells.index = pd.Index(table["encoder"])
    rows = table.to_dict(orient="records")
    cells["AUROC"] = [format_interval(row, "auroc", 3) for row in rows]
    cells["sd over seeds"] = [format_number(row["auroc_sd"], 3) for row in rows]
    cells["from the first"] = [_format_difference(row) for row in rows]
    for heading in ("event sens", "event F1", "sample F1"):
        cells[heading] = [format_interval(row, HEADLINE[heading], 3) for row in rows]
    if background.suffices:
        cells["event FP/day"] = [format_interval(row, "event.fp_per_day", 1) for row in rows]
    else:
        cells["false alarms"] = [format_number(row["false_alarms"], 1) for row in rows]
    return cells.rename_axis(index=None, columns="encoder")


def pivot_study(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC with its interval: one row per encoder with its features, one column per head."""
    rows = table.to_dict(orient="records")
    names = [_name_encoder(row["encoder"], row["features"]) for row in rows]
    heads = list(dict.fromkeys(row["head"] for row in rows))
    cells = {(name, row["head"]): format_interval(row, "auroc", 3) for name, row in zip(names, rows, strict=True)}
    index = list(dict.fromkeys(names))
    columns = {head: [cells.get((name, head), "-") for name in index] for head in heads}
    return pd.DataFrame(columns, index=index).rename_axis(columns="encoder")


def format_interval(row: Mapping[Any, Any], column: str, decimals: int) -> str:
    """Mean and interval.

    >>> format_interval({"auroc": 0.5, "auroc_low": 0.25, "auroc_high": 0.75}, "auroc", 2)
    '0.50 (0.25 to 0.75)'
    """
    mean, low, high = (format_number(row[f"{column}{end}"], decimals) for end in ("", "_low", "_high"))
    return mean if low == "-" else f"{mean} ({low} to {high})"


def _format_difference(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["auroc_difference"]):
        return ""
    mean, low, high = (f"{row[f'auroc_difference{end}']:+.3f}" for end in ("", "_low", "_high"))
    return f"{mean} ({low} to {high})"


def _name_encoder(encoder: str, features: str) -> str:
    return encoder if features == "latents" else f"{encoder}, {features}"


def format_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of final heads on other data, one row per combination.

    Parameters
    ----------
    table
        As `eval.scoring.study_scores.tabulate_tests`.
    """
    cells = table[["features", "head", "seeds", "persons"]].astype(str)
    cells.index = pd.Index(table["encoder"])
    columns = {"AUROC": ("auroc", 3), "sd over seeds": ("auroc_sd", 3)}
    columns |= {"event sens": ("event.sensitivity", 3), "sample F1": ("sample.f1", 3)}
    columns |= {"false alarms": ("false_alarms", 1), "hours of background": ("background_hours", 1)}
    for heading, (column, decimals) in columns.items():
        cells[heading] = [format_number(value, decimals) for value in table[column]]
    cells["in alarm"] = [_format_share(row) for row in table.to_dict(orient="records")]
    return cells.rename_axis(index=None, columns="encoder")


def _format_share(row: Mapping[Any, Any]) -> str:
    """Share of the time in alarm, of several seeds with its spread."""
    share = f"{100 * row['alarmed']:.1f} %"
    return f"{share} (sd {100 * row['alarmed_sd']:.1f} %)" if row["seeds"] > 1 else share
