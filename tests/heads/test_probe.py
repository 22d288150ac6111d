"""Linear probes from a store to a run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

import heads.closed_form.leave_one_out
import store
from heads.closed_form.leave_one_out import STRENGTHS
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import StoreDataset
from heads.probe import ProbeCommand, main, probe
from tests.helpers.stores import write_subject


@pytest.mark.parametrize("statistics", ["mean", "mean-std"])
def test_a_run_holds_what_scikit_learn_predicts(
    make_store: Callable[..., Path], tmp_path: Path, statistics: str
) -> None:
    opened = store.open(make_store(persons=4, lengths_s=(120,)))
    run = probe(ProbeCommand(store=opened.path, out=tmp_path / "run", statistics=statistics))
    pooled, labels = {}, {}
    for info in opened.recordings:
        frames = opened.latents(info).reshape(info.seconds, 2, 15)
        parts = [frames.mean(1), np.log(np.hypot(frames.std(1), 1e-3))][: 1 + (statistics != "mean")]
        pooled[info.person], labels[info.person] = np.concatenate(parts, 1), opened.labels(info)
    for result, info in zip(run.folds, opened.recordings, strict=True):
        strength = STRENGTHS[result.best_epoch - 1]
        others = [person for person in opened.persons if person != info.person]
        train = np.concatenate([pooled[person] for person in others])
        scaler = StandardScaler().fit(train)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=strength / (1 + strength))
        lda.fit(scaler.transform(train), np.concatenate([labels[person] for person in others]))
        wanted = expit(lda.decision_function(scaler.transform(pooled[info.person])))
        np.testing.assert_allclose(run.probabilities(info), wanted, atol=1e-4)
        assert {i.person for i in opened.recordings if i.name in result.validation_probabilities()} == set(
            result.fold.validation
        )


@pytest.mark.parametrize("method", ["ridge", "lda", "logistic"])
def test_features_of_the_tested_person_choose_nothing(tmp_path: Path, method: str) -> None:
    folds = []
    for folder, signal in (("a", 1.5), ("b", 40.0)):
        for number, person in enumerate(("01", "02", "03", "04")):
            write_subject(tmp_path / folder, person, (80,), number, signal if person == "02" else 1.5)
        run = probe(ProbeCommand(store=tmp_path / folder, out=tmp_path / f"run-{folder}", method=method))
        folds.append({result.fold.name: result for result in run.folds})
    one, two = (found["02"] for found in folds)
    assert one.best_epoch == two.best_epoch
    assert one.threshold == pytest.approx(two.threshold, abs=1e-6)
    for entry, other in zip(one.history, two.history, strict=True):
        assert entry["validation_auroc"] == pytest.approx(other["validation_auroc"], abs=1e-9)
    assert folds[0]["03"].history != folds[1]["03"].history


def test_seconds_are_pooled_in_order(make_store: Callable[..., Path]) -> None:
    opened = store.open(make_store(persons=2, lengths_s=(38, 50)))
    seconds = PooledSeconds(StoreDataset(opened), "mean")
    x = np.concatenate([block.numpy() for block, _ in seconds.blocks("02")])
    own = [info for info in opened.recordings if info.person == "02"]
    wanted = [opened.latents(info).reshape(-1, 2, 15).mean(1)[: info.seconds] for info in own]
    np.testing.assert_allclose(x, np.concatenate(wanted), rtol=1e-6, atol=1e-6)
    labels = np.concatenate([y.numpy() for _, y in seconds.blocks("02")])
    np.testing.assert_array_equal(labels, np.concatenate([opened.labels(info) for info in own]))


def test_what_does_not_fit_in_memory_is_refused(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(heads.closed_form.leave_one_out, "_LOGISTIC_BYTES", 1000)
    path = make_store(persons=3, lengths_s=(40,))
    assert main(["--store", str(path), "--out", str(tmp_path / "run"), "--method", "logistic"]) == 2
    assert "logistic regression keeps all seconds in memory" in capsys.readouterr().err
    assert main(["--store", str(path), "--out", str(tmp_path / "lda")]) == 0
    assert "fold 02: strength" in capsys.readouterr().out
