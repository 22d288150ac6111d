"""``python -m eval compare A B ...``: scored runs beside each other, person by person."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from scipy.stats import wilcoxon

from eval.scoring.scores import HEADLINE, bootstrap_interval
from heads.run_folder import Run
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.errors import UserError


@dataclass(frozen=True)
class CompareCommand:
    """Compare scored runs with the first of them, over the same persons and folds."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of two or more scored runs, the baseline first."""
    out: Path | None = None
    """Folder of the table and the picture; "comparison" in the first run if not given."""


def main(argv: Sequence[str]) -> int:
    """Run ``python -m eval compare``."""
    description = CompareCommand.__doc__ or ""
    return run_command(
        write_comparison, CompareCommand, argv, prog="python -m eval compare", description=description
    )


def write_comparison(command: CompareCommand) -> None:
    """Print the table; write it as ``comparison.csv`` and the picture as ``.svg`` and ``.png``.

    Raises
    ------
    UserError
        If a run is not there or not scored, or if folds or persons differ.
    """
    if len(command.runs) < 2:
        raise UserError(f"{len(command.runs)} run given; name two or more, the baseline first")
    runs = [Run.open(path) for path in command.runs]
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"runs of the same name ({', '.join(names)}); each needs a folder name of its own")
    scores = dict(zip(names, map(read_scores, runs), strict=True))
    for run in runs[1:]:
        _require_same_test(runs[0], run, scores[names[0]], scores[run.path.resolve().name])
    table = compare(scores, np.random.default_rng(0))
    out = command.out or runs[0].path / "comparison"
    write_text(out / "comparison.csv", table.to_csv(index=False))
    from eval.report.figures import draw_comparison, save_figure  # here, since it loads matplotlib

    save_figure(draw_comparison(scores), out, "comparison")

    print(f"{len(scores[names[0]])} persons; differences are from {names[0]}\n")
    for name, run in zip(names, runs, strict=True):
        settings_of, spec = run.config["settings"], run.config["store"]["spec"]
        print(f"  {name}: {settings_of['head']} head on {spec['encoder']} {spec['features']}")
    print(f"\n{format_table(table)}\n")
    print(
        "Differences are paired by person, over those for whom both runs have a score; 95 % bootstrap intervals."
    )
    comparisons = len(HEADLINE) * (len(runs) - 1)
    print(f"p: Wilcoxon signed-rank test, two-sided, one of {comparisons} comparisons, not corrected for that.")
    print(f"\nTable: {out / 'comparison.csv'}\nPicture: {out / 'comparison.svg'}, {out / 'comparison.png'}")


def read_scores(run: Run) -> pd.DataFrame:
    """Scores that ``python -m eval`` wrote, a row a person.

    Raises
    ------
    UserError
        If the run was not scored.
    UserError
        If other persons are scored than the run's folds test.
    """
    path = run.path / "metrics.csv"
    if not path.is_file():
        raise UserError(f"{path}: not scored yet; run: python -m eval {run.path}")
    table = pd.read_csv(path, dtype={"person": str}).set_index("person")
    persons = table.drop(index=["mean", "sd"])
    tested = sorted(person for result in run.folds for person in result.fold.test)
    if sorted(persons.index) != tested:
        raise UserError(
            f"{path}: scores of persons {', '.join(persons.index)}, the folds test {', '.join(tested)}; "
            f"run: python -m eval {run.path}"
        )
    return persons


def compare(scores: Mapping[str, pd.DataFrame], rng: np.random.Generator) -> pd.DataFrame:
    """Paired differences of each run from the first, a row a metric and run.

    Parameters
    ----------
    scores
        Name of the run -> scores, a row a person; the same persons in each.

    Returns
    -------
    metric, run, mean, and for all but the first run difference, low, high, p, persons (that both define).
    """
    baseline, *others = scores
    rows = []
    for heading, column in HEADLINE.items():
        rows.append({"metric": heading, "run": baseline, "mean": scores[baseline][column].mean()})
        for name in others:
            difference = (scores[name][column] - scores[baseline][column]).dropna()
            paired = difference.to_numpy(float).round(9)  # ties stay ties
            low, high = bootstrap_interval(paired, rng)
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


def format_table(table: pd.DataFrame) -> str:
    """Align the comparison; undefined is a dash."""
    cells = table.copy().astype({"metric": object, "run": object})
    for column, form in {"mean": "{:.3f}", "difference": "{:+.3f}", "low": "{:+.3f}", "high": "{:+.3f}"}.items():
        cells[column] = table[column].map(lambda value, form=form: "-" if np.isnan(value) else form.format(value))
    cells["p"] = table["p"].map(lambda value: "-" if np.isnan(value) else f"{value:.4f}")
    cells["persons"] = table["persons"].map(lambda value: "" if np.isnan(value) else f"{value:.0f}")
    cells = cells.rename(columns={"low": "95 % from", "high": "95 % to"})
    cells["metric"] = cells["metric"].where(~cells["metric"].duplicated(), "")
    return cells.to_string(index=False)


def _require_same_test(baseline: Run, other: Run, scores: pd.DataFrame, other_scores: pd.DataFrame) -> None:
    """Refuse to compare what was not measured on the same persons, trained and chosen alike."""
    folds, others = ({r.fold.name: r.fold for r in run.folds if r.fold.test} for run in (baseline, other))
    if differing := sorted(name for name in folds.keys() | others.keys() if folds.get(name) != others.get(name)):
        raise UserError(
            f"{other.path}: folds {', '.join(differing)} differ from those of {baseline.path} (persons tested, "
            "validated or trained on); only runs with the same folds compare"
        )
    columns = ["seconds", "ictal_seconds"]
    if not scores[columns].sort_index().equals(other_scores[columns].sort_index()):
        raise UserError(
            f"{other.path}: its persons have other seconds or seizures than in {baseline.path}; "
            "only runs on the same recordings compare"
        )
