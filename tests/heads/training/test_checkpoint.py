"""States of trainings that others may have written, or that were cut off."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heads.training.checkpoint import load_checkpoint, save_checkpoint
from store.runtime.errors import UserError

FRESH: dict[str, Any] = {
    "data": "of the store",
    "parameters": torch.zeros(2, 3),
    "best_state": torch.zeros(2, 3),
    "best_epoch": [1, 1],
    "best_score": [0.5, 0.5],
    "running": [0, 1],
    "history": [[{"epoch": 1}], [{"epoch": 1}]],
    "errors": [None, None],
    "epoch": 1,
}


def load(path: Path) -> dict[str, Any] | None:
    return load_checkpoint(path, FRESH, torch.device("cpu"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "training-1.pt", FRESH)
    return tmp_path / "training-1.pt"


def test_what_was_saved(path: Path) -> None:
    state = load(path)
    assert state is not None
    assert state["history"] == FRESH["history"]


def test_other_data_or_data_not_known(path: Path) -> None:
    save_checkpoint(path, {**FRESH, "data": "of another"})
    assert load(path) is None
    save_checkpoint(path, {name: value for name, value in FRESH.items() if name != "data"})
    assert load(path) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_cut_off(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"training-1.pt: not the state of this training \(.+\); remove the file"):
        load(path)


def test_without_its_beginning(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 2 :])
    with pytest.raises(UserError, match="not the state of this training"):
        load(path)


def test_an_archive_that_unpacks_to_more_than_it_holds(path: Path) -> None:
    packed = path.with_name("training-2.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) + bytes(1 << 20))
    with pytest.raises(UserError, match=r"training-2.pt: not the state .*unpacks to \d+ bytes, the file has \d+"):
        load(packed)


def test_code_is_not_run(path: Path) -> None:
    class Calls:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(path.with_name("pwned")),)

    torch.save({**FRESH, "epoch": Calls()}, path)
    with pytest.raises(UserError, match="not the state of this training"):
        load(path)
    assert not path.with_name("pwned").exists()


def test_what_cannot_be_opened_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.pt: no such file or folder"):
        load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"running": [1, 0]}, "running is not a list of its heads"),
        ({"parameters": torch.zeros(2, 4)}, r"parameters is torch.float32 \(2, 4\), expected \(2, 3\)"),
        ({"best_score": [0.5]}, "best_score has 1 entries, expected 2"),
        ({"epoch": -1}, "epoch is -1, expected a count"),
        ({"history": [[{"epoch": "1"}], [{"epoch": 1}]]}, "history holds no numbers"),
        ({"best_epoch": [1, None]}, "best_epoch is not a number"),
    ],
)
def test_values_that_no_training_writes_are_named(path: Path, change: dict[str, Any], reason: str) -> None:
    save_checkpoint(path, {**FRESH, **change})
    with pytest.raises(UserError, match=rf"not the state of this training \({reason}\); remove the file"):
        load(path)


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda tensor: tensor.fill_(torch.nan)])
def test_tensors_that_hold_no_finite_numbers(path: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    save_checkpoint(path, {**FRESH, "parameters": change(torch.zeros(2, 3))})
    with pytest.raises(UserError, match=r"not the state of this training \(parameters holds no finite numbers\)"):
        load(path)
