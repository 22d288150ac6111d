"""The files of a scored run: events, scores, seizures and tables for a paper."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.report.stale import remove_report
from eval.report.tables import format_heads, format_number, format_scores, to_latex, to_markdown
from eval.scoring.averages import add_spread, average_scores
from eval.scoring.background import Background, measure_background
from eval.scoring.calibration import expected_calibration_error, pool_reliability
from eval.scoring.choice import POSTPROCESSING
from eval.scoring.events import Detections
from eval.scoring.operating_curve import read_at_rates
from eval.scoring.results import Results
from eval.scoring.scored_heads import SCORED, hash_scored
from eval.scoring.scores import metrics, to_metrics_rows
from eval.scoring.seizures import list_false_alarms, list_seizures
from heads.run_folder import Run
from store.runtime.atomic import update_text, write_text
from store.runtime.text_table import to_csv

_SUMMARY_ROWS = ("mean", "sd", "ci95_low", "ci95_high")
_NOTE = "fp_per_day_note"  # column that says so where rates mean little


def write_choices(results: Results, folder: Path, seed: str = "") -> None:
    """Write the post-processing of every fold; each is on the disk before this returns.

    Parameters
    ----------
    folder
        Of the folds.
    seed
        Name of a seed's folder in that of each fold, if there are several.
    """
    for name, choice in results.choices.items():
        content = json.dumps(choice.to_json(), indent=2) + "\n"
        update_text(folder / name / seed / POSTPROCESSING, content, sync=True)


def write_scores(results: Results) -> None:
    """Write events, seizures, false alarms, the operating curve and tables; last ``metrics.json``."""
    path = results.path
    write_events(results)
    write_csv(path / "seizures.csv", list_seizures(results.recordings, results.posts))
    write_csv(path / "false_alarms.csv", list_false_alarms(results.recordings))
    _write_tables(results)
    write_metrics(path, results.persons, results.summary, _more_metrics(results))


def write_averages(results: Results) -> None:
    """Write the curve, tables, and mean scores over seeds and their spread; last ``metrics.json``."""
    path, background = results.path, results.background
    seeds = seed_means(results)
    _write_tables(results)
    write_table(path / "tables", "seeds", format_heads(seeds, background, "seed"))
    more = {"seeds": to_metrics_rows(add_spread(seeds)), **_describe_test(results)}
    write_metrics(path, results.persons, results.summary, more, seeds.std(ddof=1))


def _write_tables(results: Results) -> None:
    """Write time in alarm, and of labelled recordings the operating curve and tables."""
    path, background = results.path, results.background
    if len(results.unlabelled):
        write_csv(path / "time_in_alarm.csv", results.time_in_alarm().rename_axis("person").reset_index())
    if not len(results.persons):
        return
    write_csv(path / "operating_curve.csv", format_curve(results.curve, background))
    write_table(path / "tables", "scores", format_scores(results.persons, results.summary, background))
    if background.suffices:
        write_table(path / "tables", "sensitivity_at_rates", format_rates(results.curve))


def seed_means(results: Results) -> pd.DataFrame:
    """Mean scores over persons, one row per seed."""
    return average_scores({str(seed): result for seed, result in results.seeds.items()})[2]


def write_events(results: Results) -> None:
    """Write the SzCORE events file of every recording, at its BIDS path within ``predictions``."""
    run = Run(results.path, results.config)
    infos = {info.name: info for info in results.store.recordings}
    for group in (results.recordings, results.unlabelled):
        for by_name in group.values():
            for name, recording in by_name.items():
                info = infos[name]
                text = Detections(recording.detected, info.duration_s, info.start).to_tsv()
                update_text(run.prediction_path(info, "events.tsv"), text)


def write_metrics(
    path: Path,
    persons: pd.DataFrame,
    summary: pd.DataFrame,
    more: Mapping[str, Any],
    spread: pd.Series | None = None,
) -> None:
    """Write ``metrics.csv``, one row per person, then mean, sd and interval, and last ``metrics.json``.

    A report of other scores is removed.

    Parameters
    ----------
    spread
        Sample sd of the means over seeds, a last row of ``metrics.csv``.
    """
    table = pd.concat([persons.astype(object), summary.loc[list(_SUMMARY_ROWS)]])
    if spread is not None:
        table = pd.concat([table, spread.to_frame("sd_seeds").T])
    background = measure_background(persons)
    table[_NOTE] = background.note
    write_csv(path / "metrics.csv", table.rename_axis("person").reset_index())
    content = {**metrics(persons, summary), "background_hours": background.hours, **more}
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    file = path / "metrics.json"
    if not file.is_file() or file.read_bytes() != text.encode():
        remove_report(path)
    write_text(file, text)


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table of text, rows named, as Markdown, LaTeX and CSV."""
    corner = str(table.columns.name or "")
    write_text(folder / f"{name}.md", to_markdown(table, corner))
    write_text(folder / f"{name}.tex", to_latex(table, corner))
    write_csv(folder / f"{name}.csv", table.rename_axis(index=corner, columns=None).reset_index())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index; cells of text cannot be read as formulas."""
    cells = table.astype(object).where(table.notna(), None)
    write_text(path, to_csv([list(table.columns), *cells.to_numpy().tolist()]))


def format_curve(curve: pd.DataFrame, background: Background) -> pd.DataFrame:
    """The operating curve for a file, with a note where background is too little for its rates."""
    table = curve.reset_index()
    table["fp_per_hour"] = table["fp_per_day"] / 24
    table[_NOTE] = background.note
    return table


def format_rates(curve: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity at fixed false-alarm rates as text, one row per rate."""
    table = read_at_rates(curve)
    cells = {
        "false alarms/h": [f"{value:.3f}" for value in table["fp_per_hour"]],
        "event sens": [format_number(value, 3) for value in table["sensitivity"]],
        "threshold": [format_number(value, 4) for value in table["threshold"]],
    }
    rows = [f"{value:g}" for value in table["fp_per_day"]]
    return pd.DataFrame(cells, index=rows).rename_axis(columns="false alarms/day")


def _more_metrics(results: Results) -> dict[str, Any]:
    """Calibration and time in alarm, for ``metrics.json``."""
    more: dict[str, Any] = {}
    if seconds := results.seconds():
        more["calibration"] = _describe_calibration(seconds)
        if calibrated := results.calibrated_seconds():
            temperatures = {name: choice.temperature for name, choice in results.choices.items()}
            more["calibration"]["at_temperature"] = {
                **_describe_calibration(calibrated),
                "temperatures": {name: value for name, value in temperatures.items() if not np.isnan(value)},
            }
    return {**more, **_describe_test(results)}


def _describe_test(results: Results) -> dict[str, Any]:
    """Hash of heads and store, given split and time in alarm, for ``metrics.json``."""
    heads = [head for result in list(results.seeds.values()) or [results] for head in result.folds]
    more: dict[str, Any] = {SCORED: hash_scored(results.config, heads)}
    if split := results.given_split:
        more["split"] = split
    if results.unlabelled:
        more["time_in_alarm"] = results.time_in_alarm().to_dict(orient="index")
    return more


def _describe_calibration(seconds: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, Any]:
    reliability = pool_reliability(seconds)
    return {
        "expected_error": expected_calibration_error(reliability),
        "bins": reliability.astype(object).where(reliability.notna(), None).to_dict(orient="records"),
    }
