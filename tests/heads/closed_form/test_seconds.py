"""The features of seconds that linear classifiers take."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch

import store
from heads.closed_form.ridge_lda import fit_ridge_lda
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import StoreDataset
from heads.inference import predict_persons
from tests.helpers.stores import SPEC, write_subject


@pytest.mark.parametrize("statistics", ["mean", "mean-std"])
def test_predictions_of_models_are_those_of_their_heads(
    make_store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, statistics: str
) -> None:
    """Also of windows that overlap, of more than one block, and without an electrode."""
    monkeypatch.setattr("heads.closed_form.seconds._BLOCK_WINDOWS", 16)
    spec = replace(SPEC, stride_s=2)
    path = make_store(persons=3, lengths_s=(61, 90), spec=spec)
    write_subject(path, "04", (75,), seed=9, spec=spec, mask=(True, False, True))
    dataset = StoreDataset(store.open(path))
    seconds = PooledSeconds(dataset, statistics)
    moments = reduce(add, (seconds.moments(person) for person in dataset.persons))
    models = fit_ridge_lda(moments, [0.01, 1.0], "ridge")
    for person in dataset.persons:
        predicted = seconds.predict(person, models)
        for row in range(2):
            head = seconds.as_head(models, row)
            by_head = predict_persons(head, [person], dataset, torch.device("cpu"))
            assert predicted.keys() == by_head.keys()
            for name, values in by_head.items():
                np.testing.assert_allclose(predicted[name][row], values, atol=1e-5)


@pytest.mark.parametrize("stride_s", [1, 2, 3, 4])
def test_each_second_counts_once_with_its_mean_over_windows(
    make_store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, stride_s: int
) -> None:
    monkeypatch.setattr("heads.closed_form.seconds._BLOCK_WINDOWS", 8)
    opened = store.open(make_store(persons=2, lengths_s=(61, 45), spec=replace(SPEC, stride_s=stride_s)))
    dataset = StoreDataset(opened)
    seconds = PooledSeconds(dataset, "mean")
    wanted, labels = [], []
    for info, _ in dataset.recordings_of("02"):
        pooled = opened.latents(info).reshape(info.windows, 4, 2, 15).mean(2)
        for second in range(info.seconds):
            held = [(w, second - w * stride_s) for w in range(info.windows) if 0 <= second - w * stride_s < 4]
            wanted.append(np.mean([pooled[at] for at in held], 0))
        labels += opened.labels(info).tolist()
    x, y = (torch.cat(part) for part in zip(*seconds.blocks("02"), strict=True))
    np.testing.assert_allclose(x, wanted, atol=1e-5)
    assert y.tolist() == labels
    count = dataset.label_counts()["02"]
    assert seconds.moments("02").count.tolist() == [count.background, count.ictal]
    models = fit_ridge_lda(seconds.moments("02"), [0.01], "ridge")
    assert seconds.scores("02", models)[0].tolist() == labels
