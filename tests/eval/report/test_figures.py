"""Figures of runs at the ends of their scales."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from eval.report.comparison import draw_comparison
from eval.report.figures import draw_persons, draw_sensitivity
from eval.scoring.background import Background
from eval.scoring.scores import HEADLINE

DAYS = Background(100.0)


def scores(alarms: float) -> pd.DataFrame:
    persons = pd.DataFrame({column: [0.8, 1.0] for column in HEADLINE.values()}, index=["01", "02"])
    return persons.assign(**{"event.fp_per_day": alarms, "event.fp": alarms})


def summary(persons: pd.DataFrame) -> pd.DataFrame:
    rows = {"mean": persons.mean(), "ci95_low": persons.min(), "ci95_high": persons.max()}
    return pd.DataFrame(rows).T


def labels(figure: Figure, panel: int, axis: str) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for text in getattr(figure.axes[panel], f"get_{axis}ticklabels")()]


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [(0.5, ["0", "0.2", "0.4"]), (20.0, ["0", "1", "2", "5", "10", "20"]), (200.0, ["0", "1", "10", "100"])],
)
def test_false_alarms_begin_at_none_and_have_ticks_to_read_them_by(alarms: float, expected: list[str]) -> None:
    persons = scores(alarms)
    curve = {"fp_per_day": [0.0, alarms], "sensitivity": [0.2, 0.8], "f1": [0.1, 0.9]}
    drawn = [
        (draw_persons(persons, summary(persons), DAYS), -1, "x"),
        (draw_sensitivity(pd.DataFrame(curve, index=[0.9, 0.5]), summary(persons), DAYS), 0, "x"),
        (
            draw_comparison({"a": persons, "b": persons}, {"event FP/day": "event.fp_per_day", "AUROC": "auroc"}),
            0,
            "y",
        ),
    ]
    for figure, panel, axis in drawn:
        low, high = getattr(figure.axes[panel], f"get_{axis}lim")()
        assert low == 0
        assert high >= max(1, alarms)
        assert labels(figure, panel, axis)[: len(expected)] == expected
