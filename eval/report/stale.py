"""Reports and comparisons that are of other scores than a folder holds now."""

from pathlib import Path

FIGURES = (
    *("sensitivity", "persons", "f1", "roc", "precision-recall", "reliability", "probabilities", "loss"),
    "validation",
)


def remove_report(path: Path) -> None:
    """Remove the report of a folder of scores, and its figures; eval can always write them again."""
    figures = path / "figures"
    drawn = (figures / f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png"))
    for file in (path / "report.html", *drawn, *figures.glob("timeline-*.svg")):
        file.unlink(missing_ok=True)


def list_made_before(path: Path) -> list[Path]:
    """What earlier scores of a folder were used for: comparisons, controls, and the page of its study."""
    studies = [folder for folder in path.resolve().parents if (folder / "study.json").is_file()]
    places = (path / "comparison", path / "controls", *(folder / "study.html" for folder in studies))
    return [place for place in places if place.exists()]
