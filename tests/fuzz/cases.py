"""All kinds of cases: how they are drawn and how they are checked."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from tests.fuzz import checkpoints, edf, events, formats, links, participants, runs, stores, trainings, trees


@dataclass(frozen=True)
class Kind:
    """A kind of input."""

    cases: SearchStrategy[Any]
    check: Callable[[Any, Path], None]
    in_tests: int  # cases that `make test` runs

    def run(self, case: Any) -> None:
        """Check a case in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            self.check(case, Path(folder))


KINDS = {
    "events": Kind(events.cases(), events.check, 30),
    "participants": Kind(participants.cases(), participants.check, 20),
    "trees": Kind(trees.cases(), trees.check, 30),
    "edf": Kind(edf.cases(), edf.check, 20),
    "formats": Kind(formats.cases(), formats.check, 20),
    "links": Kind(links.cases(), links.check, 10),
    "stores": Kind(stores.cases(), stores.check, 25),
    "checkpoints": Kind(checkpoints.cases(), checkpoints.check, 15),
    "trainings": Kind(trainings.cases(), trainings.check, 10),
    "runs": Kind(runs.cases(), runs.check, 20),
}
