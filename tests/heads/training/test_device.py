"""All that a training computes with lies on its device.

Where there is no GPU, torch's ``meta`` device stands in for one: it has shapes and no numbers, and refuses what a
GPU would refuse, tensors of two devices in one operation and numpy without a copy. What is copied from it to the
processor are made-up numbers.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import store
from heads.dataset import StoreDataset
from heads.folds import make_folds
from heads.inference import predict_persons
from heads.models.registry import HEADS
from heads.training.plan import StackPlan, initial_head
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from tests.benchmarks.full_size import write_store
from tests.helpers.stores import SPEC
from tests.helpers.training import SETTINGS

META = torch.device("meta")
SPECS = {
    "latents": SPEC,
    "codes": replace(SPEC, features="codes", dtype="uint8", dims=2),
}


@pytest.fixture(autouse=True)
def _copies_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def to_cpu(tensor: Tensor) -> Tensor:
        return torch.linspace(0.1, 0.9, tensor.numel()).reshape(tensor.shape).to(tensor.dtype)

    def to(tensor: Tensor, *given: Any, **named: Any) -> Tensor:
        wanted = [torch.device(value) for value in given if isinstance(value, str | torch.device)]
        if tensor.device == META and wanted and wanted[0].type == "cpu":
            return to_cpu(tensor)
        return plain_to(tensor, *given, **named)

    plain_to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "cpu", to_cpu)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: False)  # of "is anything missing?"
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: 0.0)  # of "is all finite?"


@pytest.mark.parametrize("features", SPECS)
@pytest.mark.parametrize("changes", [*({"head": name} for name in HEADS), {"pooling": "max"}], ids=str)
def test_a_training_and_its_predictions_are_of_one_device(
    tmp_path: Path, changes: dict[str, str], features: str
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    write_store(folder, SPECS[features], persons=5, recordings=2, recording_s=120)
    dataset = StoreDataset(store.open(folder))
    settings = replace(SETTINGS, epochs=2, **changes)
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all")]
    results = train_stacked(trials, dataset, META, tmp_path / "checkpoint.pt")
    assert [len(result.history) for result in results] == [2] * len(trials)
    assert all(result.validation for result in results)
    head = initial_head(StackPlan(trials).heads[0], dataset)
    assert predict_persons(head, ["01"], dataset, META)
