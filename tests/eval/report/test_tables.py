"""Counts in tables: whole numbers of one head, with a decimal where they are means over seeds."""

import numpy as np
import pandas as pd
import pytest

from eval.report.tables import format_scores
from eval.scoring.background import Background
from eval.scoring.scores import SCORES, summarise

PERSONS = pd.DataFrame(0.5, index=["01", "02"], columns=list(SCORES)).assign(seconds=3600.0, ictal_seconds=60.0)


@pytest.mark.parametrize(
    ("false_alarms", "cells"),
    [
        ((1.0, 2.0), {"01": "1", "02": "2", "mean": "1.5", "sum": "3"}),
        ((1 / 3, 2.0), {"01": "0.3", "02": "2.0", "mean": "1.2", "sum": "2.3"}),
    ],
)
def test_means_of_counts_are_not_rounded(false_alarms: tuple[float, float], cells: dict[str, str]) -> None:
    persons = PERSONS.assign(**{"event.tp": 1.0, "event.fn": 0.0, "event.fp": false_alarms})
    table = format_scores(persons, summarise(persons, np.random.default_rng(0)), Background(1.0))
    assert table.loc[list(cells), "FP"].to_dict() == cells
