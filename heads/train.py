"""python -m heads.train: train the heads of one fold, of all, or the final one."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import safetensors.torch
import torch
from tqdm import tqdm

from heads.data import Windows
from heads.folds import Fold, make_folds
from heads.fused import Slot, Trained, TrainSettings, train_group
from heads.predict import predict_recordings
from heads.runs import FoldResult, Run, write_aside
from store import Store
from store import open as open_store
from store.cli import choose_device
from store.cli import run as run_command

_GROUP_BYTES = 1 << 30  # of the largest activation of a group


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


def train(settings: Settings) -> Run:
    """Train the folds that the run folder does not yet hold.

    Raises
    ------
    StoreError
        If the store cannot be used.
    ValueError
        If the fold cannot be built, the run folder belongs to other settings, or training diverges.
    """
    store = open_store(settings.store)
    windows = Windows(store)
    folds = make_folds(windows.counts(), settings.fold)
    device = torch.device(choose_device(settings.device))
    out = settings.out or Path("runs") / f"{settings.store.resolve().name}-{settings.head}"
    run = Run.create(out, _config(settings, store))
    finished = {result.fold.name for result in run.folds}
    todo = [fold for fold in folds if fold.name not in finished]
    for group in _groups(todo, settings, store):
        _train_folds(group, settings, windows, run, device)
    return run


def _config(settings: Settings, store: Store) -> dict[str, object]:
    chosen = dataclasses.asdict(settings)
    return {
        "settings": {
            name: value for name, value in chosen.items() if name not in ("store", "fold", "out", "device")
        },
        "store": {
            "path": str(settings.store.resolve()),
            "spec": dataclasses.asdict(store.spec),
            "checksums": store.checksums,
            "provenance": store.provenance,
        },
        "versions": {name: version(name) for name in ("braincodec-seizure", "torch", "numpy", "scikit-learn")},
    }


def _groups(folds: Sequence[Fold], settings: Settings, store: Store) -> list[list[Fold]]:
    """Split the folds so that a group's largest activation, ``(B, F, K * filters)`` float32, stays bounded."""
    slot_bytes = settings.batch_windows * store.spec.frames * settings.filters * 4
    size = max(1, _GROUP_BYTES // slot_bytes)
    return [list(folds[start : start + size]) for start in range(0, len(folds), size)]


def _train_folds(
    folds: Sequence[Fold], settings: Settings, windows: Windows, run: Run, device: torch.device
) -> None:
    trained = _train_slots([Slot(fold, settings) for fold in folds], windows, run, device)
    for fold, result in zip(folds, trained, strict=True):
        if fold.name == "final":
            everyone = Fold("final", (), (), windows.persons)
            epochs = dataclasses.replace(settings, epochs=result.best_epoch)
            (last,) = _train_slots([Slot(everyone, epochs)], windows, run, device)
            result = dataclasses.replace(result, head=last.head)
        _write_fold(fold, result, settings, windows, run, device)
    for path in run.path.glob("training-*.pt"):
        path.unlink()


def _train_slots(slots: Sequence[Slot], windows: Windows, run: Run, device: torch.device) -> list[Trained]:
    identity = json.dumps([dataclasses.asdict(slot.fold) for slot in slots])
    checkpoint = run.path / f"training-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.pt"
    title = slots[0].fold.name if len(slots) == 1 else f"{len(slots)} folds"
    with tqdm(desc=title, unit=" windows x heads", unit_scale=True, disable=None) as bar:
        return train_group(slots, windows, device, checkpoint, bar.update)


def _write_fold(
    fold: Fold, trained: Trained, settings: Settings, windows: Windows, run: Run, device: torch.device
) -> None:
    """Write head, then predictions, then the file that marks the fold as finished."""
    result = FoldResult(fold, run.fold_path(fold.name), trained.best_epoch, trained.threshold, trained.history)
    metadata = {
        "settings": json.dumps(run.config["settings"], sort_keys=True),
        "spec": windows.store.spec.to_json(),
        "threshold": repr(trained.threshold),
    }
    tensors = {name: value.contiguous() for name, value in trained.head.state_dict().items()}
    write_aside(result.head_path, lambda path: safetensors.torch.save_file(tensors, path, metadata))
    state = {name: value[None].to(device) for name, value in tensors.items()}
    for person in fold.test:
        found = predict_recordings(trained.head, state, windows, person, device)
        for info, _ in windows.recordings_of(person):
            run.write_probabilities(info, found[info.name][0])
    run.finish_fold(result)


def _command(settings: Settings) -> None:
    run = train(settings)
    for result in run.folds:
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
