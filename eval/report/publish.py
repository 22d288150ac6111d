"""Score a run with all of its seeds and write all results; used by eval and study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.report.files import write_averages, write_choices, write_metrics, write_scores, write_table
from eval.report.tables import format_heads, format_scores
from eval.scoring.averages import add_spread, average_scores, average_seeds, require_equal_folds
from eval.scoring.background import measure_background
from eval.scoring.results import Results, average_time_in_alarm, score_run
from eval.scoring.scored_heads import SCORED, hash_scored
from eval.scoring.scores import to_metrics_rows
from heads.run_folder import Run
from store.runtime.parallel import WorkerSettings


@dataclass(frozen=True)
class HeadScores:
    """Scores of several heads on the same recordings, averaged."""

    persons: pd.DataFrame  # one row per person; empty without labelled recordings
    summary: pd.DataFrame  # as `eval.scoring.scores.summarise`
    time_in_alarm: pd.DataFrame  # of unlabelled recordings, as `Results.time_in_alarm`
    table: pd.DataFrame  # of text, one row per head


def score_and_choose(run: Run, stores: Sequence[Path], workers: WorkerSettings) -> Results:
    """Score a run and write the choices of its folds; of several seeds each with its scores, then their mean."""
    if not run.seeds:
        results = score_run(run.path, stores, workers)
        write_choices(results, run.path / "folds")
        return results
    require_equal_folds(run)
    scored = {}
    for seed in run.seeds:
        scored[seed] = score_run(run.path, stores, workers, seed)
        write_choices(scored[seed], run.path / "folds", f"seed-{seed}")
        if scored[seed].posts:
            write_scores(scored[seed])
    return average_seeds(run, scored)


def write_results(results: Results) -> None:
    """Write scores and tables into the folder of the results."""
    (write_averages if results.seeds else write_scores)(results)


def write_heads(out: Path, scored: Mapping[str, Results]) -> HeadScores:
    """Write the mean over heads and their spread, ``metrics.json`` last; scores of each head are in its folder."""
    persons, summary, heads = average_scores(scored)
    time_in_alarm = average_time_in_alarm(scored.values())
    background = measure_background(persons)
    table = format_heads(heads, background)
    write_table(out / "tables", "heads", table)
    if len(persons):
        write_table(out / "tables", "scores", format_scores(persons, summary, background))
    config = next(iter(scored.values())).config
    tested = [head for results in scored.values() for head in results.folds]
    more: dict[str, Any] = {SCORED: hash_scored(config, tested), "heads": to_metrics_rows(add_spread(heads))}
    if len(time_in_alarm):
        more["time_in_alarm"] = time_in_alarm.to_dict(orient="index")
    write_metrics(out, persons, summary, more)
    return HeadScores(persons, summary, time_in_alarm, table)
