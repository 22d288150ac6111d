"""python -m heads.train: train the heads of one fold, of all, or the final one."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from heads.dataset import Windows
from heads.device_features import DeviceFeatures
from heads.folds import Fold, make_folds
from heads.inference import predict_recordings
from heads.models.registry import Head
from heads.run_folder import FoldResult, Run
from heads.training.stacked import train_group
from heads.training.trials import Slot, Trained, TrainSettings, split_groups
from store import Store
from store import open as open_store
from store.runtime.atomic import write_bytes
from store.runtime.cli import run as run_command
from store.runtime.device import choose_device
from store.runtime.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Settings(TrainSettings):
    """The command line of ``python -m heads.train``."""

    store: Path
    """Folder of the store."""
    fold: str
    """A person to test on, "all" for leave-one-person-out, "final" to train on everyone for use."""
    out: Path | None = None
    """Run folder; runs/STORE-HEAD if not given. Finished folds in it are kept."""
    device: str = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" takes a GPU if there is one."""


def train(settings: Settings) -> tuple[Run, list[FoldResult]]:
    """Train the folds that the run folder does not yet hold; the run and the folds that were asked for.

    Raises
    ------
    StoreError
        If the store cannot be used.
    UserError
        If the fold cannot be built, the run folder belongs to other settings, or training diverges.
    """
    store = open_store(settings.store)
    windows = Windows(store)
    folds = make_folds(windows.counts(), settings.fold.removeprefix("sub-"))
    device = torch.device(choose_device(settings.device))
    out = settings.out or Path("runs") / f"{settings.store.resolve().name}-{settings.head}"
    chosen = TrainSettings(**{name: getattr(settings, name) for name in TrainSettings.__dataclass_fields__})
    chosen.check()
    run = Run.create(out, run_config(dataclasses.asdict(chosen), store))
    finished = {result.fold.name for result in run.folds}
    todo = [fold for fold in folds if fold.name not in finished]
    failures = []
    for slots in split_groups([Slot(fold, chosen) for fold in todo], windows):
        trained = _train_slots(slots, windows, run, device)
        for slot, result in zip(slots, trained, strict=True):
            kept = result
            if slot.fold.name == "final" and not result.failure:
                everyone = Fold("final", (), (), windows.persons)
                last = Slot(everyone, dataclasses.replace(chosen, epochs=result.best_epoch))
                (again,) = _train_slots([last], windows, run, device)
                kept = dataclasses.replace(result, head=again.head, failure=again.failure)
            if kept.failure:
                failures.append(f"fold {slot.fold.name}: {kept.failure}")
            else:
                write_fold(run, slot, kept, windows, device, judged=result.head)
    for path in run.path.glob("training-*.pt"):
        path.unlink()
    if failures:
        raise UserError(f"{run.path}: the other folds are finished, but {'; '.join(failures)}")
    return run, [result for result in run.folds if result.fold.name in {fold.name for fold in folds}]


def run_config(settings: dict[str, Any], store: Store) -> dict[str, Any]:
    """What ``config.json`` holds: settings, the store's identity and versions."""
    return {
        "settings": settings,
        "store": {
            "path": str(store.path.resolve()),
            "spec": dataclasses.asdict(store.spec),
            "checksums": store.checksums,
            "provenance": store.provenance,
        },
        "versions": {name: version(name) for name in ("braincodec-seizure", "torch", "numpy", "scikit-learn")},
    }


def _train_slots(slots: Sequence[Slot], windows: Windows, run: Run, device: torch.device) -> list[Trained]:
    identity = json.dumps([dataclasses.asdict(slot) for slot in slots])
    checkpoint = run.path / f"training-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.pt"
    title = slots[0].fold.name if len(slots) == 1 else f"{len(slots)} folds"
    with tqdm(desc=title, unit=" windows x heads", unit_scale=True, disable=None) as bar:
        return train_group(slots, windows, device, checkpoint, bar.update)


def write_fold(
    run: Run, slot: Slot, trained: Trained, windows: Windows, device: torch.device, judged: Head | None = None
) -> None:
    """Write head, then predictions in float32, then the file that marks the fold as finished.

    Validation persons are predicted by ``judged``, if the head that is kept was trained on them.
    """
    fold = slot.fold
    result = FoldResult(fold, run.fold_path(fold.name), trained.best_epoch, trained.threshold, trained.history)
    metadata = {
        "settings": json.dumps(dataclasses.asdict(slot.settings), sort_keys=True),
        "spec": windows.store.spec.to_json(),
        "threshold": repr(trained.threshold),
    }
    tensors = {name: value.contiguous() for name, value in trained.head.state_dict().items()}
    content = safetensors.torch.save(tensors, metadata)  # save_file would hide it from other users
    write_bytes(result.head_path, content)
    result.write_validation(_predict(judged or trained.head, fold.validation, windows, device))
    found = _predict(trained.head, fold.test, windows, device)
    for info in windows.recordings:
        if info.name in found:
            run.write_probabilities(info, found[info.name])
    run.finish_fold(result)


def _predict(
    head: Head, persons: Sequence[str], windows: Windows, device: torch.device
) -> dict[str, NDArray[np.float32]]:
    """Seizure probability of each second of the persons' recordings: name -> ``(T,)``."""
    state = {name: value[None].to(device) for name, value in head.state_dict().items()}
    features = DeviceFeatures(windows, head, device)
    found = (predict_recordings(head, state, windows, features, person) for person in persons)
    return {name: values[0] for person in found for name, values in person.items()}


def _command(settings: Settings) -> None:
    run, results = train(settings)
    for result in results:
        scores = [entry["validation_auroc"] for entry in result.history]
        print(
            f"fold {result.fold.name}: best epoch {result.best_epoch} of {len(scores)}, "
            f"validation AUROC {max(scores):.3f}, threshold {result.threshold:.3f}"
        )
    print(f"run in {run.path}; score it with: python -m eval {run.path}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m heads.train``."""
    return run_command(
        _command,
        Settings,
        argv,
        prog="python -m heads.train",
        description="Train heads on the features of a store.",
    )


if __name__ == "__main__":
    sys.exit(main())
