"""Counts in tables: whole numbers of one head, with a decimal where they are means over seeds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.report.files import write_metrics
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


def test_columns_of_files_do_not_depend_on_the_background(tmp_path: Path) -> None:
    columns = []
    for hours, note in ((1, "2.0 h of background: too little for a rate, which needs 24 h"), (12, None)):
        persons = PERSONS.assign(seconds=3600.0 * hours, ictal_seconds=0.0)
        write_metrics(tmp_path, persons, summarise(persons, np.random.default_rng(0)), {})
        table = pd.read_csv(tmp_path / "metrics.csv")
        assert set(table["fp_per_day_note"].astype(object).where(table["fp_per_day_note"].notna(), None)) == {note}
        columns.append(list(table.columns))
    assert columns[0] == columns[1]
    assert "event.fp_per_day" in columns[0]
