"""What chooses heads: AUROC of many at once, and the threshold."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from heads.inference import aurocs, best_threshold


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


def test_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.3).astype(np.uint8)
    probabilities = np.clip(rng.normal(0.3 + 0.3 * labels, 0.2), 0, 1).astype(np.float32)
    found = f1_score(labels, probabilities >= np.float32(best_threshold(labels, probabilities)))
    assert found == pytest.approx(max(f1_score(labels, probabilities >= t) for t in probabilities))
