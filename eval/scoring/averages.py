"""Average the scores, not the probabilities, of several heads (folds or seeds)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from eval.scoring.choice import PostProcessingChoice
from eval.scoring.results import Results, share_in_alarm
from eval.scoring.scores import summarise
from heads.run_folder import FoldResult, Run
from store.runtime.errors import UserError


def average_persons(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Scores of persons averaged over tables, one row per person, each over the tables that define it.

    >>> average_persons([pd.DataFrame({"f1": [1.0, 0.0]}, ["01", "02"]), pd.DataFrame({"f1": [0.0]}, ["01"])])
         f1
    01  0.5
    02  0.0
    """
    stacked = pd.concat(list(tables))
    return stacked.groupby(level=0).mean().reindex(columns=stacked.columns)


def average_scores(results: Mapping[str, Results]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores of persons averaged over heads, their summary, and the mean scores of each head.

    A score is averaged over the heads for which it is defined. Of heads tested on unlabelled recordings,
    ``alarmed`` is the share of the time of these in alarm.
    """
    persons = average_persons(result.persons.astype(float) for result in results.values())
    heads = pd.DataFrame({name: result.summary.T["mean"] for name, result in results.items()}).T
    if any(result.unlabelled for result in results.values()):
        heads["alarmed"] = [share_in_alarm(result.time_in_alarm()) for result in results.values()]
    return persons, summarise(persons, np.random.default_rng(0)), heads


def add_spread(heads: pd.DataFrame) -> pd.DataFrame:
    """Scores of heads, then their mean and their sample sd."""
    return pd.concat([heads, pd.DataFrame({"mean": heads.mean(), "sd": heads.std(ddof=1)}).T])


def average_seeds(run: Run, results: Mapping[int, Results]) -> Results:
    """Results with the mean scores over seeds; whatever is not a score is that of the first seed."""
    persons, summary, _ = average_scores({str(seed): result for seed, result in results.items()})
    first = next(iter(results.values()))
    return replace(first, path=run.path, persons=persons, summary=summary, seeds=dict(results))


def list_choices(results: Results) -> dict[str, tuple[FoldResult, PostProcessingChoice]]:
    """Folds and what was chosen for each, by name; of several seeds for each seed, which the name then has."""
    heads = {f" (seed {seed})": result for seed, result in results.seeds.items()} or {"": results}
    return {
        f"{fold.fold.name}{seed}": (fold, result.choices[fold.fold.name])
        for seed, result in heads.items()
        for fold in result.folds
    }


def require_equal_folds(run: Run) -> None:
    """Refuse a run whose seeds have not finished the same folds.

    Raises
    ------
    UserError
        Naming a fold and the seed that lacks it.
    """
    finished = {seed_run.seed: {result.fold.name for result in seed_run.folds} for seed_run in run.by_seed}
    every = set.union(*finished.values())
    for seed, names in finished.items():
        if missing := sorted(every - names):
            raise UserError(
                f"{run.path}: fold {missing[0]} is not finished with seed {seed}, but with another; give the "
                "command that trained the run again"
            )
