"""Scores of a study: one row per combination of encoder, features and head, averaged over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.scoring.alarms import sum_alarms
from eval.scoring.averages import average_persons
from eval.scoring.background import measure_background
from eval.scoring.scored_runs import read_metrics
from eval.scoring.scores import HEADLINE, bootstrap_interval, summarise

_TESTED = ("auroc", "event.sensitivity", "sample.f1")


@dataclass(frozen=True)
class Combination:
    """What is trained: a head on the features of an encoder."""

    encoder: str
    features: str
    head: str

    def __str__(self) -> str:
        return f"{self.encoder} {self.features}, {self.head}"


@dataclass(frozen=True)
class CombinationScores:
    """Scores of one combination, by seed."""

    combination: Combination
    seeds: Mapping[str, pd.DataFrame]  # seed -> scores, one row per person

    @property
    def persons(self) -> pd.DataFrame:
        """Scores of persons, averaged over the seeds for which they are defined."""
        return average_persons(self.seeds.values())

    @property
    def spread(self) -> pd.Series:
        """Sample sd over seeds of each mean over persons; nan for one seed."""
        return pd.DataFrame({seed: scores.mean() for seed, scores in self.seeds.items()}).T.std(ddof=1)


def tabulate_study(rows: Sequence[CombinationScores]) -> pd.DataFrame:
    """One row per combination: means over persons, intervals, spread over seeds, differences from the first row.

    Returns
    -------
    encoder, features, head, seeds, persons; each score NAME of `eval.scoring.scores.HEADLINE`, with NAME_low and
    NAME_high (95 % bootstrap over persons) and NAME_sd (sample sd over seeds); auroc_difference with low and high
    (paired by person); false_alarms (number in all, mean over seeds) and background_hours.
    """
    table = []
    for row in rows:
        summary = summarise(row.persons, np.random.default_rng(0))
        cells: dict[str, Any] = {
            **vars(row.combination),
            "seeds": len(row.seeds),
            "persons": len(row.persons),
        }
        for column in HEADLINE.values():
            mean, low, high = summary[column][["mean", "ci95_low", "ci95_high"]]
            cells |= {
                column: mean,
                f"{column}_low": low,
                f"{column}_high": high,
                f"{column}_sd": row.spread[column],
            }
        cells |= _compare(row, rows[0])
        cells["false_alarms"] = float(row.persons["event.fp"].sum())
        cells["background_hours"] = measure_background(row.persons).hours
        table.append(cells)
    return pd.DataFrame(table)


def _compare(row: CombinationScores, first: CombinationScores) -> dict[str, float]:
    """Difference in AUROC from the first row, over the persons for whom both define it."""
    difference = (row.persons["auroc"] - first.persons["auroc"]).dropna().to_numpy(float)
    if row is first or not len(difference):
        return dict.fromkeys(("auroc_difference", "auroc_difference_low", "auroc_difference_high"), np.nan)
    low, high = bootstrap_interval(difference, np.random.default_rng(0))
    return {
        "auroc_difference": float(difference.mean()),
        "auroc_difference_low": low,
        "auroc_difference_high": high,
    }


def tabulate_tests(tests: Mapping[Combination, Sequence[Path]]) -> pd.DataFrame:
    """Scores of final heads on other data, one row per combination, averaged over its seeds.

    Parameters
    ----------
    tests
        Folders of scores, one a seed.

    Returns
    -------
    encoder, features, head, seeds, persons, auroc, event.sensitivity, sample.f1 (means over persons), false_alarms
    (in all), background_hours, alarmed: the share in alarm of background and of recordings without labels; of
    ``auroc`` and ``alarmed`` also NAME_sd, the sample sd over seeds.
    """
    rows = []
    for combination, paths in tests.items():
        seeds = pd.DataFrame([_measure_test(path) for path in paths])
        spread = {f"{name}_sd": seeds[name].std(ddof=1) for name in ("auroc", "alarmed")}
        rows.append({**vars(combination), "seeds": len(paths), **seeds.mean(), **spread})
    return pd.DataFrame(rows).astype({"persons": int})


def _measure_test(path: Path) -> dict[str, float]:
    scores, time_in_alarm = read_metrics(path)
    alarms = sum_alarms(scores, time_in_alarm)
    is_labelled = len(scores) > 0
    return {
        "persons": alarms.persons,
        **{column: float(scores[column].mean()) for column in _TESTED},
        "false_alarms": alarms.false_alarms if is_labelled else np.nan,
        "background_hours": alarms.labelled_hours if is_labelled else np.nan,
        "alarmed": alarms.alarmed_share,
    }
