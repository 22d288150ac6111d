"""What tests of sweeps share: a small grid, and all that a finished run holds."""

from typing import Any

import torch

from heads.models.saved import load_head
from heads.run_folder import Run

GRID: dict[str, Any] = {
    "lr": (1e-2, 1e-5),
    "hidden": (4, 6),
    "filters": (4,),
    "seed": (0, 1),
    "epochs": (2,),
    "batch_windows": (16,),
    "precision": ("float32",),
}


def contents(run: Run) -> dict[str, bytes]:
    """All that a run holds but the order of metadata in its heads, which safetensors leaves open."""
    paths = [*run.path.glob("folds/*/*"), *run.path.glob("predictions/**/*.npy"), run.path / "sweep.csv"]
    found = {str(path.relative_to(run.path)): path.read_bytes() for path in paths if path.suffix != ".safetensors"}
    return found | {result.fold.name: head_bytes(run, result.fold.name) for result in run.folds}


def head_bytes(run: Run, fold: str) -> bytes:
    head, _, threshold = load_head(run.fold_path(fold) / "head.safetensors")
    values = torch.cat([value.flatten() for value in head.state_dict().values()])
    return values.numpy().tobytes() + repr(threshold).encode()
