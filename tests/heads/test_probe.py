"""Linear probes from a store to a run."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import heads.closed_form.electrodes
import heads.training.finish
import store
from heads.closed_form.electrodes import PooledElectrodes
from heads.closed_form.leave_one_out import STRENGTHS, FittedFold, fit_closed_form
from heads.closed_form.logistic_folds import fit_logistic_folds
from heads.closed_form.ridge_lda import fit_ridge_lda
from heads.closed_form.seconds import PooledSeconds
from heads.dataset import StoreDataset
from heads.folds import Inner
from heads.inference import best_threshold, predict_persons
from heads.models.saved import load_head
from heads.probe import ProbeCommand, main, probe
from heads.run_folder import Run
from heads.settings import MemoryOption
from heads.training.trials import Trial
from tests.helpers.stores import SPEC, write_subject


@pytest.mark.parametrize("statistics", ["mean", "mean-std"])
def test_a_run_holds_what_scikit_learn_predicts(
    make_store: Callable[..., Path], tmp_path: Path, statistics: str
) -> None:
    opened = store.open(make_store(persons=4, lengths_s=(120,)))
    run, _ = probe(ProbeCommand(store=(opened.path,), out=tmp_path / "run", method="lda", statistics=statistics))
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
        for other in opened.recordings:  # inner models are fitted without the person that they predict
            if other.person != info.person:
                rest = [person for person in others if person != other.person]
                values = np.concatenate([pooled[person] for person in rest])
                lda.fit(scaler.fit(values).transform(values), np.concatenate([labels[person] for person in rest]))
                wanted = expit(lda.decision_function(scaler.transform(pooled[other.person])))
                np.testing.assert_allclose(result.validation_probabilities()[other.name], wanted, atol=1e-4)


@pytest.mark.parametrize("method", ["ridge", "lda", "logistic"])
@pytest.mark.parametrize("other", [40.0, 1e8, 1e12])
def test_features_of_the_tested_person_choose_nothing(tmp_path: Path, method: str, other: float) -> None:
    folds, spec = [], replace(SPEC, dtype="float32")
    for folder, signal in (("a", 1.5), ("b", other)):
        for number, person in enumerate(("01", "02", "03", "04")):
            own = signal if person == "02" else 1.5
            write_subject(tmp_path / folder, person, (80,), number, own, spec)
        out, statistics = tmp_path / f"run-{folder}", "mean"
        run, _ = probe(ProbeCommand(store=(tmp_path / folder,), out=out, method=method, statistics=statistics))
        folds.append({result.fold.name: result for result in run.folds})
    one, two = (found["02"] for found in folds)
    assert one.best_epoch == two.best_epoch
    assert one.threshold == pytest.approx(two.threshold, abs=1e-6)
    for entry, again in zip(one.history, two.history, strict=True):
        assert entry["validation_auroc"] == pytest.approx(again["validation_auroc"], abs=1e-9)
    for name, values in one.validation_probabilities().items():
        np.testing.assert_allclose(two.validation_probabilities()[name], values, atol=1e-6)
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
    path = make_store(persons=3, lengths_s=(40,))
    arguments = ["--store", str(path), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(MemoryOption, "kept_bytes", 1000)
    assert main([*arguments, "--method", "logistic"]) == 2
    assert "logistic regression keeps the seconds it is fitted to in memory" in capsys.readouterr().err
    assert main([*arguments, "--method", "lda", "--out", str(tmp_path / "lda")]) == 2
    assert "the sums over 3 persons of products of 15 features take 0.0 GB" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*arguments, "--method", "lda", "--out", str(tmp_path / "lda")]) == 0
    assert "fold 02: strength" in capsys.readouterr().out


@pytest.mark.parametrize("inner", ["pairs", "one"])
def test_the_threshold_is_the_best_for_what_choosing_models_predict(tmp_path: Path, inner: Inner) -> None:
    for number, person in enumerate(("01", "02", "03", "04")):
        write_subject(tmp_path, person, (60, 40), number, spec=replace(SPEC, stride_s=2))
    dataset = StoreDataset(store.open(tmp_path))
    seconds = PooledSeconds(dataset, "mean")
    moments = {person: seconds.moments(person) for person in dataset.persons}
    for fitted in fit_closed_form(seconds, dataset.folds("all", inner), "lda"):
        labels, values = [], []
        for person in sorted({*dataset.persons} - {*fitted.fold.test}):
            rest = [moments[one] for one in dataset.persons if one not in (person, *fitted.fold.test)]
            model = fit_ridge_lda(reduce(add, rest), STRENGTHS, "lda").select(fitted.best)
            predicted = seconds.predict(person, model)
            for info, _ in dataset.recordings_of(person):
                labels.append(dataset.labels_of(info))
                values.append(predicted[info.name][0])
        wanted = best_threshold(np.concatenate(labels), np.concatenate(values))
        assert fitted.threshold == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("selection", ["all", "final"])
@pytest.mark.parametrize("inner", ["pairs", "one"])
def test_with_little_memory_discriminant_analysis_is_the_same(
    make_store: Callable[..., Path], selection: str, inner: Inner
) -> None:
    dataset = StoreDataset(store.open(make_store(persons=4, lengths_s=(60, 40))))
    folds = dataset.folds(selection, inner)
    together, one_by_one = (
        list(fit_closed_form(PooledSeconds(dataset, "mean", some), folds, "lda", some)) for some in (1 << 30, 1)
    )
    require_same_folds(together, one_by_one)


def test_with_little_memory_logistic_regression_is_the_same(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    dataset = StoreDataset(store.open(make_store(persons=4, lengths_s=(60, 40))))
    seconds, folds = PooledElectrodes(dataset, tmp_path), dataset.folds("all", 2)
    rows = 4 * seconds.size * 400  # so that scores of each model are computed alone
    together, one_by_one = (list(fit_logistic_folds(seconds, folds, some)) for some in (1 << 30, rows))
    require_same_folds(together, one_by_one)


def require_same_folds(some: list[FittedFold], others: list[FittedFold]) -> None:
    for one, other in zip(some, others, strict=True):
        assert (one.fold, one.best) == (other.fold, other.best)
        assert one.threshold == pytest.approx(other.threshold, rel=1e-6)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-12, atol=0, equal_nan=True)
        for mine, theirs in ((one.validation, other.validation), (one.test, other.test)):
            assert mine.keys() == theirs.keys()
            for name, values in mine.items():
                np.testing.assert_array_equal(values, theirs[name])


def plain_statistics(latents: np.ndarray, seconds: int, present: list[int]) -> np.ndarray:
    """The default statistics of a recording's windows without overlap, ``(T, P)``, as they are described."""
    frames = latents.reshape(-1, 2, *latents.shape[2:])[:seconds, :, present]
    values = np.log(frames.std(1) + 0.05)
    pooled = np.concatenate([values.mean(1), values.max(1), values.std(1)], 1)
    return np.array([pooled[max(0, second - 2) : second + 3].mean(0) for second in range(seconds)])


def plain_fit(persons: list[tuple[np.ndarray, np.ndarray]], c: float) -> Pipeline:
    x, y = (np.concatenate(parts) for parts in zip(*persons, strict=True))
    weights = np.concatenate([np.full(len(labels), len(labels) ** -0.5) for _, labels in persons])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8))
    return model.fit(x, y, logisticregression__sample_weight=weights)


def test_the_default_is_a_logistic_regression_of_scikit_learn(tmp_path: Path) -> None:
    for number, (person, length, mask) in enumerate(
        (("01", 62, (1, 1, 1)), ("02", 120, (1, 0, 1)), ("03", 90, (1, 1, 1)), ("04", 50, (0, 0, 1)))
    ):
        write_subject(tmp_path / "store", person, (length, 50), number, mask=[bool(one) for one in mask])
    opened = store.open(tmp_path / "store")
    run, results = probe(ProbeCommand(store=(opened.path,), out=tmp_path / "run"))
    values, data = {}, {}
    for person in opened.persons:
        infos = [info for info in opened.recordings if info.person == person]
        for info in infos:
            values[info.name] = plain_statistics(
                opened.latents(info), info.seconds, np.flatnonzero(info.channel_mask).tolist()
            )
        labels = np.concatenate([opened.labels(info) for info in infos])
        data[person] = np.concatenate([values[info.name] for info in infos]), labels
    for result in results:
        (tested,) = result.fold.test
        others = [person for person in opened.persons if person != tested]
        for entry in result.history:  # as many persons as groups: each is predicted by the other two
            models = {p: plain_fit([data[o] for o in others if o != p], entry["C"]) for p in others}
            aurocs = [
                roc_auc_score(data[p][1], model.decision_function(data[p][0])) for p, model in models.items()
            ]
            assert entry["validation_auroc"] == pytest.approx(np.mean(aurocs), abs=2e-3)
            losses = [log_loss(data[p][1], model.predict_proba(data[p][0])) for p, model in models.items()]
            assert entry["validation_log_loss"] == pytest.approx(np.mean(losses), abs=1e-4)
        best = result.history[result.best_epoch - 1]
        assert best["validation_log_loss"] == min(entry["validation_log_loss"] for entry in result.history)
        kept = plain_fit([data[person] for person in others], best["C"])
        assert list(result.fold.validation) == others
        for info in opened.recordings:
            if info.person == tested:
                wanted = kept.predict_proba(values[info.name])[:, 1]
                np.testing.assert_allclose(run.probabilities(info), wanted, atol=1e-4)
            else:
                without = plain_fit([data[person] for person in others if person != info.person], best["C"])
                wanted = without.predict_proba(values[info.name])[:, 1]
                np.testing.assert_allclose(result.validation_probabilities()[info.name], wanted, atol=1e-4)


def test_ctrl_c_keeps_finished_folds(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ProbeCommand(store=(make_store(persons=3, lengths_s=(60,)),), out=tmp_path / "run")
    write = heads.training.finish.write_fold

    def interrupt(run: Run, trial: Trial, *rest: object) -> None:
        if trial.fold.name == "02":
            raise KeyboardInterrupt
        write(run, trial, *rest)

    monkeypatch.setattr(heads.training.finish, "write_fold", interrupt)
    with pytest.raises(KeyboardInterrupt):
        probe(command)
    (first,) = Run.open(tmp_path / "run").folds
    before = first.head_path.stat().st_mtime_ns
    monkeypatch.setattr(heads.training.finish, "write_fold", write)
    _, results = probe(command)
    assert [result.fold.name for result in results] == ["01", "02", "03"]
    assert first.head_path.stat().st_mtime_ns == before
    monkeypatch.setattr(heads.closed_form.electrodes, "PooledElectrodes", None)  # a finished run needs no features
    capsys.readouterr()
    assert len(probe(command)[1]) == 3
    assert capsys.readouterr().out == f"nothing to fit: all of the folds are in {tmp_path / 'run'}\n"


@pytest.mark.parametrize("method", ["logistic", "lda"])
def test_the_final_head_knows_everyone(make_store: Callable[..., Path], tmp_path: Path, method: str) -> None:
    path = make_store(persons=4, lengths_s=(60,))
    _, (result,) = probe(ProbeCommand(store=(path,), fold="final", out=tmp_path / "run", method=method))
    assert result.fold.test == ()
    assert len(result.validation_probabilities()) == len(result.fold.validation) == 4
    opened = store.open(path)
    head, _, _ = load_head(result.head_path)
    everyone = predict_persons(head, opened.persons, StoreDataset(opened), torch.device("cpu"))
    labels = np.concatenate([opened.labels(info) for info in opened.recordings])
    assert roc_auc_score(labels, np.concatenate([everyone[info.name] for info in opened.recordings])) > 0.7


def test_the_former_spelling_is_read(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    arguments = ["--store", str(path), "--out", str(tmp_path / "run"), "--method", "lda"]
    assert main([*arguments, "--statistics", "mean-deviation"]) == 0
    assert Run.open(tmp_path / "run").config["settings"]["statistics"] == "mean-std"
