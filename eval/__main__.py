"""``python -m eval RUN``: score a run, write events, metrics and report; ``compare`` sets runs side by side."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from eval import compare
from eval.scoring.events import Detections
from eval.scoring.results import POSTPROCESSING, Results, score_run
from eval.scoring.scores import metrics
from eval.scoring.validity_checks import find_warnings
from store.runtime.atomic import write_text
from store.runtime.cli import run as run_command
from store.runtime.parallel import WorkerSettings

_COLUMNS = {  # heading: metric, decimals
    "hours": ("hours", 2),
    "ictal s": ("ictal_seconds", 0),
    "AUROC": ("auroc", 3),
    "AUPRC": ("auprc", 3),
    "Brier": ("brier", 3),
    "event sens": ("event.sensitivity", 3),
    "event prec": ("event.precision", 3),
    "event F1": ("event.f1", 3),
    "event FP/day": ("event.fp_per_day", 1),
    "sample F1": ("sample.f1", 3),
}
_SUMMARY_ROWS = {"mean": "mean", "sd": "sd", "ci95_low": "95 % from", "ci95_high": "95 % to"}


@dataclass(frozen=True)
class EvalCommand(WorkerSettings):
    """Score the test predictions of a run as SzCORE does; "compare RUN RUN ..." compares scored runs."""

    run: tyro.conf.Positional[Path]
    """Folder of the run, as python -m heads.train made it."""
    store: Path | None = None
    """The run's feature store, if it is no longer where the run was trained."""
    report: bool = True
    """Leave out report.html and its figures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Score or compare; return the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] == ["compare"]:
        return compare.main(arguments[1:])
    return run_command(
        evaluate, EvalCommand, arguments, prog="python -m eval", description=EvalCommand.__doc__ or ""
    )


def evaluate(command: EvalCommand) -> None:
    """Write post-processing, ``predictions/**_events.tsv``, metrics and report, and print the table.

    Raises
    ------
    UserError
        As `eval.scoring.results.score_run`.
    """
    results = score_run(command.run, command.store, command)
    run, persons, summary = results.run, results.persons, results.summary
    _write_choices(results)
    if not results.recordings:
        print(f"{run.path}: post-processing is chosen; no finished fold has a test person to score")
        return
    _write_events(results)
    table = pd.concat([persons.astype(object), summary.loc[["mean", "sd"]]])
    write_text(run.path / "metrics.json", json.dumps(metrics(persons, summary), indent=2, allow_nan=False) + "\n")
    write_text(run.path / "metrics.csv", table.to_csv(index_label="person"))
    seen = run.config["store"]["provenance"]["encoder"].get("persons_seen", [])
    warnings = find_warnings(persons, seen, [result.fold for result in run.folds], results.choices)

    print(f"{run.path}: {len(persons)} of {len(results.store.persons)} persons tested\n")
    print(format_table(persons, summary).to_string(col_space=[len(heading) + 1 for heading in _COLUMNS]))
    print("\n-: undefined. Mean, sd and bootstrap interval are over the persons for whom a score is defined.")
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"\nScores: {run.path / 'metrics.json'}, {run.path / 'metrics.csv'}")
    print(f"Events: {run.path / 'predictions'} (SzCORE events.tsv)")
    if command.report:
        from eval.report.page import write_report  # here, since it loads matplotlib

        print(f"Report: {write_report(results, format_table(persons, summary), warnings)}")


def format_table(persons: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Lay out a row a person, then what is known over persons; cells are text."""
    rows = pd.concat([persons, summary.loc[list(_SUMMARY_ROWS)].rename(_SUMMARY_ROWS)])
    rows["hours"] = rows["seconds"] / 3600
    cells = {
        heading: rows[metric].map(lambda value, decimals=decimals: _cell(value, decimals))
        for heading, (metric, decimals) in _COLUMNS.items()
    }
    table = pd.DataFrame(cells)
    defined = summary.loc["defined"].rename({"seconds": "hours"})
    table.loc["persons"] = [f"{defined[metric]:.0f}" for metric, _ in _COLUMNS.values()]
    return table.rename_axis(columns="person")


def _write_choices(results: Results) -> None:
    for result in results.run.folds:
        content = results.choices[result.fold.name].to_json()
        write_text(result.path / POSTPROCESSING, json.dumps(content, indent=2) + "\n")


def _write_events(results: Results) -> None:
    for info in results.store.recordings:
        if recording := results.recordings.get(info.person, {}).get(info.name):
            text = Detections(recording.detected, info.duration_s, info.start).to_tsv()
            write_text(results.run.path / "predictions" / f"{info.relative_stem}_events.tsv", text)


def _cell(value: float, decimals: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{decimals}f}"


if __name__ == "__main__":
    sys.exit(main())
