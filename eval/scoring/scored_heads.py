"""What scores were made from: a hash in ``metrics.json`` tells whether it is still the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eval.scoring.choice import METHOD, POSTPROCESSING, TRIED
from eval.scoring.tested import read_tested
from heads.run_folder import FoldResult, Run
from store.runtime.errors import os_errors

SCORED = "scored"  # the entry


def hash_scored(config: Mapping[str, Any], heads: Iterable[FoldResult]) -> str:
    """Hash of the recorded store, of the files of each tested head, and of the methods that choose and count."""
    is_run = read_tested(config) is None
    files = sorted(
        [hash_file(path) for path in (*list_files(result), result.path / POSTPROCESSING) if path.is_file()]
        for result in heads
        if result.fold.test or not is_run
    )
    content = [config["store"].get("identities"), files, METHOD, TRIED, version("timescoring")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_scored_heads(run: Run) -> list[FoldResult] | None:
    """Heads of a folder of scores as they are now; None if it is of other data and their run is not there.

    Raises
    ------
    UserError
        If a fold, or the run whose heads were tested on other data, is damaged.
    """
    tested = read_tested(run.config)
    if tested is None:
        return [result for result in run.folds if result.fold.test]
    path = Path(str(tested.get("run")))
    if not (path / "config.json").is_file():
        return None
    trained = Run.open(path)
    return [result for result in trained.folds if trained.head_name(result) in tested["heads"]]


def list_files(result: FoldResult) -> list[Path]:
    """Files of a head: its fold, and its weights if they are there."""
    return [path for path in (result.path / "fold.json", result.head_path) if path.is_file()]


def hash_file(path: Path) -> str:
    """sha256 of a file."""
    with os_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
