"""What chooses heads: AUROC of many at once, and the threshold."""

import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from heads.dataset import INVALID
from heads.device_features import DeviceFeatures
from heads.inference import aurocs, best_threshold, mean_auroc, predict_windows
from heads.models.spatial_fusion import SpatialFusionHead
from heads.settings import HeadSettings
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("decimals", [1, 7])
def test_aurocs_are_scikit_learns_also_with_ties(decimals: int) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.3).astype(np.int8)
    scores = (rng.random((5, 200)) + 0.2 * labels).round(decimals).astype(np.float32)
    np.testing.assert_allclose(aurocs(labels, scores), [roc_auc_score(labels, one) for one in scores], rtol=1e-12)


def test_a_score_that_is_nan_counts_as_zero() -> None:
    labels = np.array([0, 1, 0, 1], np.int8)
    scores = np.array([[0.2, np.nan, 0.3, 0.9]], np.float32)
    assert aurocs(labels, scores) == roc_auc_score(labels, np.nan_to_num(scores[0]))


def test_the_mean_auroc_is_over_persons_with_both_labels() -> None:
    rng = np.random.default_rng(0)
    labels = {"a0": rng.integers(-1, 2, 50), "a1": np.zeros(20, int), "b0": rng.integers(0, 2, 40)}
    labels["c0"] = np.ones(9, int)
    predicted = {name: rng.random(len(of_one)).astype(np.float32) for name, of_one in labels.items()}
    dataset = SimpleNamespace(
        recordings_of=lambda person: [(SimpleNamespace(name=name), None) for name in labels if name[0] == person],
        labels_of=lambda info: labels[info.name],
    )
    a = np.concatenate([labels["a0"], labels["a1"]])
    a_scores = np.concatenate([predicted["a0"], predicted["a1"]])[a != INVALID]
    wanted = [roc_auc_score(a[a != INVALID], a_scores), roc_auc_score(labels["b0"], predicted["b0"])]
    assert mean_auroc(dataset, ("a", "b", "c"), predicted) == pytest.approx(np.mean(wanted), abs=1e-12)
    assert np.isnan(mean_auroc(dataset, ("c",), predicted))


def test_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.3).astype(np.uint8)
    probabilities = np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0, 1).astype(np.float32)
    found = f1_score(labels, probabilities >= np.float32(best_threshold(labels, probabilities)))
    assert found == pytest.approx(max(f1_score(labels, probabilities >= t) for t in probabilities))


@pytest.mark.parametrize("decimals", [1, 2, 7])
def test_best_threshold_is_to_the_last_bit_that_of_scikit_learns_curve(decimals: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        labels = (rng.random(50) < rng.uniform(0, 1)).astype(np.int8)
        labels[0] = 1
        probabilities = np.clip(rng.normal(0.3 + 0.3 * labels, 0.3), 0, 1).round(decimals).astype(np.float32)
        precision, recall, thresholds = precision_recall_curve(labels, probabilities)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best_threshold(labels, probabilities) == thresholds[f1[:-1].argmax()]


def test_training_loads_no_scikit_learn() -> None:
    """It takes as long to load as torch."""
    code = (
        "import sys, heads.training.stacked, heads.training.finish; print({'sklearn', 'scipy'} & {*sys.modules})"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert finished.stdout == "set()\n", finished.stderr


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_what_a_head_predicts_does_not_depend_on_others(count: int) -> None:
    """Also not in its last bit, so that a fold that is resumed alone ends as in its group."""
    head = SpatialFusionHead(HeadSettings(), (4, 18, 6), 4)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(5, *value.shape, generator=generator) - 0.5 for name, value in head.state_dict().items()
    }
    x = torch.rand(301, 4, 18, 6, generator=generator)
    only_take = SimpleNamespace(take=lambda windows, out=None: x[windows])
    features = cast(DeviceFeatures, only_take)
    together = predict_windows(head, state, features, np.arange(301))
    fewer = predict_windows(head, {name: value[:count] for name, value in state.items()}, features, np.arange(301))
    assert (fewer == together[:count]).all()
