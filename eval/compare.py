"""``python -m eval compare A B ...``: compare scored runs, person by person."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.compare"))

import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import tyro

from eval.report.files import write_csv, write_table
from eval.scoring.background import measure_background
from eval.scoring.scored_runs import (
    ScoredRun,
    describe_differences,
    describe_moved_store,
    read_scored_run,
    require_same_test,
)
from eval.scoring.scores import HEADLINE, bootstrap_interval
from eval.scoring.validity_checks import find_score_warnings, merge_warnings
from store.runtime.atomic import require_writable, write_text
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.errors import UserError
from store.runtime.names import name_apart, to_path_name
from store.runtime.options import optional
from store.runtime.outputs import guard_folder
from store.runtime.plurals import count_noun

_DESCRIPTION = """Compare scored runs with the first one, over the same persons.

Earlier comparisons are kept: each set of runs has its own folder."""
_FILES = (
    *("comparison.csv", "comparison.json", "comparison.svg", "comparison.png"),
    *("table.csv", "table.md", "table.tex"),
)


@dataclass(frozen=True)
class CompareCommand:
    """The command line of ``python -m eval compare``."""

    runs: Annotated[
        tyro.conf.Positional[tuple[Path, ...]],
        tyro.conf.arg(metavar="RUN RUN ...", help_behavior_hint="(required)"),
    ]
    """Folders of two or more scored runs, the baseline first."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder for table and figure. (default: a new folder in "comparison" of the first run)"""


def main(argv: Sequence[str]) -> int:
    """Run ``python -m eval compare``."""
    return run_command(
        write_comparison,
        CompareCommand,
        argv,
        module="eval compare",
        description=_DESCRIPTION,
        examples=["runs/bandpower runs/random runs/braincodec"],
    )


def write_comparison(command: CompareCommand) -> None:
    """Print the table; write it as CSV, Markdown and LaTeX, and a picture as ``.svg`` and ``.png``.

    Raises
    ------
    UserError
        If a run is not there or not scored, if other persons were tested, or if ``out`` holds another comparison.
    """
    if len(command.runs) < 2:
        raise UserError(f"{len(command.runs)} run given; name two or more, the baseline first")
    runs = [read_scored_run(path) for path in command.runs]
    names = name_apart(command.runs)
    if twice := [str(path) for path, name in zip(command.runs, names, strict=True) if names.count(name) > 1]:
        raise UserError(f"{', '.join(twice)}: the same run; name each run once")
    runs = [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    baseline, *others = runs
    for other in others:
        require_same_test(baseline, other)
    scores = {run.name: run.scores for run in runs}
    metrics = choose_metrics(baseline.scores)
    table = compare(scores, metrics)
    out = _claim_folder(command.out, runs, table)
    write_csv(out / "comparison.csv", table)
    write_table(out, "table", format_table(table))
    from eval.report.comparison import draw_comparison  # here, since it loads matplotlib
    from eval.report.style import save_figure

    save_figure(draw_comparison(scores, metrics), out, "comparison")
    _print_comparison(runs, table)
    print(f"\nTable: {out / 'comparison.csv'}\nPicture: {out / 'comparison.svg'}, {out / 'comparison.png'}")


def choose_metrics(scores: pd.DataFrame) -> dict[str, str]:
    """Scores that runs are compared by, heading and column; false alarms are counts where background is little."""
    if measure_background(scores).suffices:
        return dict(HEADLINE)
    counts = {"event FP/day": ("false alarms", "event.fp")}
    return dict(counts.get(heading, (heading, column)) for heading, column in HEADLINE.items())


def compare(scores: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]) -> pd.DataFrame:
    """Paired differences of each run from the first, one row per metric and run.

    Parameters
    ----------
    scores
        Name of the run -> scores, one row per person; the same persons in each.
    metrics
        Heading -> column of the scores.

    Returns
    -------
    metric, run, mean, and for all but the first run difference, low, high, p, persons (that both define).
    """
    from scipy.stats import wilcoxon  # here, since it takes a second to load

    baseline, *others = scores
    rows = []
    for heading, column in metrics.items():
        rows.append({"metric": heading, "run": baseline, "mean": scores[baseline][column].mean()})
        for name in others:
            difference = (scores[name][column] - scores[baseline][column]).dropna()
            paired = difference.to_numpy(float).round(9)  # ties stay ties
            low, high = bootstrap_interval(paired, np.random.default_rng(0))
            p = float(wilcoxon(paired).pvalue) if paired.any() else math.nan
            rows.append(
                {
                    "metric": heading,
                    "run": name,
                    "mean": scores[name][column].mean(),
                    "difference": float(paired.mean()) if len(paired) else math.nan,
                    "low": low,
                    "high": high,
                    "p": p,
                    "persons": len(paired),
                }
            )
    return pd.DataFrame(rows)


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison as text, one row per metric and run; undefined is a dash."""
    cells = pd.DataFrame({"run": table["run"]})
    for column, form in {"mean": "{:.3f}", "difference": "{:+.3f}", "low": "{:+.3f}", "high": "{:+.3f}"}.items():
        cells[column] = table[column].map(lambda value, form=form: "-" if np.isnan(value) else form.format(value))
    cells["p"] = table["p"].map(lambda value: "-" if np.isnan(value) else f"{value:.4f}")
    cells["persons"] = table["persons"].map(lambda value: "" if np.isnan(value) else f"{value:.0f}")
    cells.index = pd.Index(table["metric"].where(~table["metric"].duplicated(), ""))
    return cells.rename(columns={"low": "95 % from", "high": "95 % to"}).rename_axis(index=None, columns="metric")


def _print_comparison(runs: Sequence[ScoredRun], table: pd.DataFrame) -> None:
    baseline, *others = runs
    background = measure_background(baseline.scores)
    print(f"{count_noun(len(baseline.scores), 'person')}; differences are from {to_one_line(baseline.name)}\n")
    for run in runs:
        print(f"  {to_one_line(run.name)}: {to_one_line(run.description)}")
        if moved := describe_moved_store(run):
            print(f"  {to_one_line(run.name)}: {to_one_line(moved)}")
    for other in others:
        for difference in describe_differences(baseline, other):
            print(f"  {to_one_line(other.name)} differs: {to_one_line(difference)}")
    print(f"\n{format_table(table).rename(index=to_one_line).to_string()}\n")
    print(
        "Differences are paired by person, over those for whom both runs have a score; 95 % bootstrap intervals."
    )
    comparisons = table["metric"].nunique() * len(others)
    print(f"p: Wilcoxon signed-rank test, two-sided, one of {comparisons} comparisons, not corrected for that.")
    if not background.suffices:
        print(f"False alarms are counts: {background.shortage}.")
    warnings = {run.name: find_score_warnings(run.config, run.scores, run.tested) for run in runs}
    for warning in merge_warnings(warnings):
        print(f"warning: {to_one_line(warning)}")


def _claim_folder(out: Path | None, runs: Sequence[ScoredRun], table: pd.DataFrame) -> Path:
    """Folder of the comparison, marked as holding it; what another comparison wrote stays.

    Raises
    ------
    UserError
        If the folder that was asked for holds a comparison of other runs, or something else.
    """
    content = {"runs": [str(run.path.resolve()) for run in runs], "table": _to_records(table)}
    if out is not None:
        guard_folder(out, inputs=[run.path for run in runs], allowed_mark="comparison.json")
        stored = _read_comparison(out)
        if stored is not None and stored.get("runs") != content["runs"]:
            raise UserError(f"{out}: holds a comparison of {stored.get('runs')}; choose another folder")
        if stored is None and (others := [name for name in _FILES if os.path.lexists(out / name)]):
            raise UserError(
                f"{out}: holds {others[0]}, which does not belong to a comparison; choose another folder"
            )
    else:
        folder = runs[0].path / "comparison"
        name = to_path_name("-".join(run.name for run in runs).replace("/", "-"))
        candidates = (folder / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
        out = next(path for path in candidates if _read_comparison(path) in (None, content))
        try:
            require_writable(out)
        except UserError as error:
            raise UserError(f"{error} (--out)") from error
    write_text(out / "comparison.json", json.dumps(content, indent=2) + "\n")
    return out


def _read_comparison(folder: Path) -> dict[str, Any] | None:
    """What a folder holds a comparison of; None if it holds none."""
    path = folder / "comparison.json"
    if not path.is_file():
        return {} if (folder / "comparison.csv").exists() else None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    cells = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict(orient="records")]
