"""Two hundred cases of `python -m tests.fuzz`, the same each time."""

from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase

from tests.fuzz.cases import KINDS


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("default")  # commands say them on stderr, where the cases judge them
def test_every_case_ends_well_or_in_one_clear_line(name: str) -> None:
    kind = KINDS[name]

    @hypothesis.settings(
        max_examples=kind.in_tests,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(kind.cases)
    def cases(case: Any) -> None:
        kind.run(case)

    cases()


def test_two_hundred_cases() -> None:
    assert sum(kind.in_tests for kind in KINDS.values()) == 200
