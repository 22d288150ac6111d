"""What logistic regression is fitted to: groups of persons, and samples of long recordings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import store
from heads.closed_form import logistic_folds
from heads.closed_form.electrodes import PooledElectrodes
from heads.closed_form.logistic_folds import fit_logistic_folds
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import StoreDataset
from heads.folds import LabelCounts, split_persons
from tests.helpers.stores import SPEC


@pytest.mark.parametrize("number", [2, 3, 4, 11, 22])
def test_every_model_knows_a_seizure(number: int) -> None:
    counts = {f"{person:02}": LabelCounts(int(person in (0, number // 2)), 100) for person in range(number)}
    groups = split_persons(counts, 4)
    assert sorted(person for group in groups for person in group) == sorted(counts)
    assert len(groups) == min(4, number)
    for group in groups:
        assert any(counts[person].ictal for person in counts if person not in group)


def test_many_background_seconds_are_sampled(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = StoreDataset(store.open(make_store(persons=3, lengths_s=(300, 200))))
    seconds = PooledElectrodes(dataset, tmp_path)
    fold = dataset.folds("02")
    (full,) = fit_logistic_folds(seconds, fold)
    monkeypatch.setattr(logistic_folds, "_MOST_BACKGROUND", 200)
    rows = logistic_folds.thin_background(seconds, "02", 470)
    assert (int((rows.y == 1).sum()), int((rows.y == 0).sum())) == (30, 157)
    assert rows.weights.sum().item() == pytest.approx(np.sqrt(500), rel=1e-6)
    assert rows.weights[rows.y == 1].unique().item() == pytest.approx(1 / np.sqrt(500), rel=1e-6)
    (sampled,) = fit_logistic_folds(seconds, fold)
    scores = [seconds.scores("02", one)[1][:, 0] for one in map(_models, (full, sampled))]
    assert np.corrcoef(*scores)[0, 1] > 0.98
    assert not np.allclose(*scores)


def test_classes_weigh_the_same_at_every_stride(make_store: Callable[..., Path]) -> None:
    for stride_s in (4, 1):
        path = make_store(persons=3, spec=replace(SPEC, stride_s=stride_s), name=f"stride-{stride_s}")
        seconds = PooledSeconds(StoreDataset(store.open(path)), "mean")
        rows = logistic_folds.thin_background(seconds, "02", 180)
        assert [rows.count[rows.y == label].sum().item() for label in (0, 1)] == [180, 30]


def _models(fitted: logistic_folds.FittedFold) -> logistic_folds.LinearModels:
    weight, bias = (value.detach().double() for value in fitted.head.out.parameters())
    return logistic_folds.LinearModels(weight.mT, bias, torch.zeros_like(weight.mT))
