"""The commands that make a run of a small store, each quickly."""

from pathlib import Path

from heads.probe import main as probe
from heads.sweep import main as sweep
from heads.train import main as train

QUICK = ("--epochs", "1", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu")
MAINS = {"train": train, "sweep": sweep, "probe": probe}


def commands(path: Path, out: Path) -> dict[str, list[str]]:
    """Arguments of each command."""
    where = ["--store", str(path), "--out", str(out)]
    return {"train": [*where, "--fold", "all", *QUICK], "sweep": [*where, *QUICK], "probe": where}
