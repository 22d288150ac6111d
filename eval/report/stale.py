"""Reports and comparisons that are of other scores than a folder holds now."""

from pathlib import Path

from eval.scoring.choice import POSTPROCESSING
from store.runtime.errors import os_errors

FIGURES = (
    *("sensitivity", "persons", "f1", "roc", "precision-recall", "reliability", "probabilities", "loss"),
    "validation",
)
_SCORES = ("metrics", "seizures", "false_alarms", "operating_curve", "time_in_alarm")
_TABLES = ("scores", "heads", "seeds", "sensitivity_at_rates")


def remove_report(path: Path) -> None:
    """Remove the report of a folder of scores, and its figures; eval can always write them again."""
    figures = path / "figures"
    drawn = (figures / f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png"))
    for file in (path / "report.html", *drawn, *figures.glob("timeline-*.svg")):
        file.unlink(missing_ok=True)


def remove_scores(path: Path) -> None:
    """Remove what was written for a test on other data; what somebody put beside it stays.

    ``config.json``, ``metrics.json`` and the report of the folder stay too, until the new ones replace them.
    """
    with os_errors(path):
        written = [
            *(path / f"{name}.csv" for name in _SCORES),
            *(path / "tables" / f"{name}.{kind}" for name in _TABLES for kind in ("csv", "md", "tex")),
            *(path / "folds").glob(f"**/{POSTPROCESSING}"),
            *(path / "predictions").glob("**/*_events.tsv"),
        ]
        for head in (path / "heads").glob("*/"):
            remove_scores(head)
            remove_report(head)
            written.append(head / "metrics.json")
        for file in written:
            file.unlink(missing_ok=True)
        for name in ("tables", "folds", "predictions", "heads"):
            _remove_empty_folders(path / name)


def _remove_empty_folders(path: Path) -> None:
    for folder in sorted([path, *path.glob("**/*/")], reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def list_made_before(path: Path) -> list[Path]:
    """What earlier scores of a folder were used for: comparisons, controls, and the page of its study."""
    studies = [folder for folder in path.resolve().parents if (folder / "study.json").is_file()]
    places = (path / "comparison", path / "controls", *(folder / "study.html" for folder in studies))
    return [place for place in places if place.exists()]
