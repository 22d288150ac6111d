"""What is chosen for a person: by predictions for all others, made by heads that saw neither."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import store
from heads.dataset import StoreDataset
from heads.folds import Fold, Inner, make_folds
from heads.inference import best_threshold, predict_persons, predict_recordings
from heads.models.head import Head
from heads.training.plan import StackedHead, StackPlan, order_heads
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.reader import open_file
from store.writer import relabel_file
from tests.helpers.stores import write_subject
from tests.helpers.training import CPU, INNER, SETTINGS, assert_chose_the_same, assert_same, train


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("pooling", ["max", "max-std"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_held_out_features_change_nothing(tmp_path: Path, precision: str, pooling: str, inner: Inner) -> None:
    """Noise in place of the tested person's features leaves all that is chosen for it bit-identical.

    Also where other folds train on it in the same pass, as long as none stops.
    """
    settings = replace(SETTINGS, precision=precision, pooling=pooling)
    write_with_noise_in_02(tmp_path)
    (one,), (two,) = (train(tmp_path / folder, settings, tmp_path, "02", inner) for folder in "ab")
    assert_chose_the_same(one, two)
    every, other = (train(tmp_path / folder, settings, tmp_path, "all", inner) for folder in "ab")
    assert {len(result.history) for result in (*every, *other)} == {settings.epochs}
    assert_chose_the_same(every[1], other[1])
    assert not torch.equal(every[2].head.out.weight, other[2].head.out.weight)
    assert every[2].history != other[2].history


@pytest.mark.parametrize("inner", INNER)
def test_held_out_features_decide_by_rounding_alone_when_other_folds_stop(tmp_path: Path, inner: Inner) -> None:
    """The sums of fewer heads are computed in another order."""
    settings = replace(SETTINGS, filters=24, epochs=8, patience=1)
    write_with_noise_in_02(tmp_path)
    every, other = (train(tmp_path / folder, settings, tmp_path, "all", inner) for folder in "ab")
    assert [len(result.history) for result in every] != [len(result.history) for result in other]
    one, two = every[1], other[1]
    assert_same(one, two, rtol=1e-4, atol=1e-5)
    assert one.best_epoch == two.best_epoch
    assert one.threshold == pytest.approx(two.threshold, abs=1e-5)
    assert one.validation is not None
    assert two.validation is not None
    for name, values in one.validation.items():
        np.testing.assert_allclose(two.validation[name], values, atol=1e-5)


def write_with_noise_in_02(folder: Path) -> None:
    """Write two stores, "a" and "b", that differ in the features of person 02."""
    for name, signal, seed in (("a", 1.5, 1), ("b", 40.0, 101)):
        for number, person in enumerate(("01", "02", "03", "04")):
            own = (seed, signal) if person == "02" else (number, 1.5)
            write_subject(folder / name, person, (120, 90), *own)


@pytest.mark.parametrize("inner", INNER)
def test_labels_of_the_tested_person_enter_nothing_of_its_fold(tmp_path: Path, inner: Inner) -> None:
    """Other seconds are seizure, in the same windows, which leaves the common order of windows as it is."""
    for folder in "ab":
        for number, person in enumerate(("01", "02", "03", "04")):
            write_subject(tmp_path / folder, person, (120, 90), number)
    file = open_file(tmp_path / "b" / "sub-02.h5")
    labels = file.labels.copy()
    labels[20:35] = 1 - np.arange(15) % 2  # windows keep a seizure second each
    relabel_file(tmp_path / "b" / "sub-02.h5", recordings=file.recordings, labels=labels, dataset=file.dataset)
    one, two = (train(tmp_path / folder, SETTINGS, tmp_path, "all", inner) for folder in "ab")
    assert_chose_the_same(one[1], two[1])
    assert one[2].history != two[2].history


@pytest.mark.parametrize("inner", INNER[1:])
def test_inner_heads_choose_together_what_single_trainings_would(
    make_store: Callable[..., Path], tmp_path: Path, inner: Inner
) -> None:
    """Each inner head trained alone, for all epochs and for the chosen ones; then the head on all others."""
    settings = replace(SETTINGS, epochs=4, patience=99, lr=1e-2)
    path = make_store(persons=4, signal=1.0)
    dataset = StoreDataset(store.open(path))
    for fold, nested in zip(
        make_folds(dataset.label_counts(), "all", inner), train(path, settings, tmp_path, inner=inner), strict=True
    ):
        assert nested.validation is not None
        scores = np.zeros((len(fold.inner), settings.epochs))
        inner_folds = [Fold("inner", fold.test, split.validation, split.train) for split in fold.splits]
        for number, alone in enumerate(inner_folds):
            (result,) = train_stacked(
                [Trial(alone, settings)], dataset, CPU, tmp_path / f"{fold.name}-{number}.pt"
            )
            scores[number] = [entry["validation_auroc"] for entry in result.history]
        sizes = [len(group) for group in fold.inner]
        wanted = np.average(scores, axis=0, weights=sizes)
        found = [entry["validation_auroc"] for entry in nested.history]
        np.testing.assert_allclose(found, wanted, atol=2e-3)
        assert nested.best_epoch == 1 + int(np.argmax(found))
        chosen = replace(settings, epochs=nested.best_epoch)
        for number, alone in enumerate(inner_folds):
            last = replace(alone, validation=())
            (result,) = train_stacked(
                [Trial(last, chosen)], dataset, CPU, tmp_path / f"{fold.name}-{number}-last.pt"
            )
            for name, values in predict_persons(result.head, alone.validation, dataset, CPU).items():
                np.testing.assert_allclose(nested.validation[name], values, atol=1e-4)
        whole = Fold(fold.name, fold.test, (), fold.train)
        (result,) = train_stacked([Trial(whole, chosen)], dataset, CPU, tmp_path / f"{fold.name}-whole.pt")
        assert_same(nested, result, rtol=1e-4, atol=1e-5)
        labels = np.concatenate(
            [dataset.labels_of(i) for p in fold.validation for i, _ in dataset.recordings_of(p)]
        )
        predicted = [nested.validation[i.name] for p in fold.validation for i, _ in dataset.recordings_of(p)]
        assert nested.threshold == best_threshold(labels, np.concatenate(predicted))


def test_a_person_without_seizures_is_predicted_and_has_no_say_in_the_epoch(tmp_path: Path) -> None:
    for number, person in enumerate(("01", "02", "03", "04")):
        write_subject(tmp_path / "store", person, (120, 90), number)
    file = open_file(tmp_path / "store" / "sub-04.h5")
    infos = [replace(info, events=()) for info in file.recordings]
    relabel_file(file.path, recordings=infos, labels=np.zeros_like(file.labels), dataset=file.dataset)
    (result,) = train(tmp_path / "store", SETTINGS, tmp_path, "01", 4)
    assert result.validation is not None
    assert {name[4:6] for name in result.validation} == {"02", "03", "04"}
    assert all(np.isfinite(entry["validation_auroc"]) for entry in result.history)


def test_neighbours_in_the_stack_train_on_much_the_same_persons(make_store: Callable[..., Path]) -> None:
    dataset = StoreDataset(store.open(make_store(persons=8)))
    folds = make_folds(dataset.label_counts(), "all", 4)
    plan = StackPlan([Trial(fold, replace(SETTINGS, seed=seed)) for seed in (0, 1) for fold in folds])

    def changes(heads: Sequence[StackedHead]) -> int:
        return sum(len({*one.train} ^ {*other.train}) for one, other in itertools.pairwise(heads))

    trial_after_trial = [plan.heads[number] for number in plan.needed(range(len(plan.own)))]
    assert len(trial_after_trial) == len(plan.heads)
    assert changes(plan.heads) < 0.6 * changes(trial_after_trial)
    assert order_heads(plan.heads) == list(range(len(plan.heads)))
    for number, trial in enumerate(plan.own):
        seed, fold = divmod(number, len(folds))
        assert plan.heads[trial] == StackedHead(folds[fold].train, replace(SETTINGS, seed=seed))
        for split in folds[fold].splits:
            (inner,) = {plan.choosing[number][person] for person in split.validation}
            assert plan.heads[inner].train == split.train


def test_pairs_train_one_head_for_two_folds(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=4)
    dataset = StoreDataset(store.open(path))
    trials = [Trial(fold, SETTINGS) for fold in make_folds(dataset.label_counts(), "all", "pairs")]
    plan = StackPlan(trials)
    assert len(plan.heads) == 4 + 6
    assert plan.choosing[0]["02"] == plan.choosing[1]["01"]
    for trial, together in zip(trials, train(path, SETTINGS, tmp_path, inner="pairs"), strict=True):
        (alone,) = train_stacked([trial], dataset, CPU, tmp_path / f"{trial.fold.name}.pt")
        assert_same(together, alone, rtol=1e-4, atol=1e-5)
        assert together.best_epoch == alone.best_epoch


def test_a_head_that_folds_keep_from_one_epoch_predicts_once(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = StoreDataset(store.open(make_store()))
    heads: dict[str, int] = {}

    def count(head: Head, state: Mapping[str, Tensor], *rest: Any) -> dict[str, Any]:
        heads[rest[-1]] = len(state["mean"])
        return predict_recordings(head, state, *rest)

    monkeypatch.setattr("heads.training.stacked.predict_recordings", count)
    settings = replace(SETTINGS, epochs=1)
    trials = [Trial(fold, settings) for fold in make_folds(dataset.label_counts(), "all", 2)]
    results = train_stacked(trials, dataset, CPU, tmp_path / "together.pt")
    plan = StackPlan(trials)
    rows = {person: plan.rows_predicting(person) for person in dataset.persons}
    assert heads == {person: len({plan.kept[row][1] for row in rows[person]}) for person in dataset.persons}
    assert sum(heads.values()) < sum(map(len, rows.values()))
    for trial, together in zip(trials, results, strict=True):
        (alone,) = train_stacked([trial], dataset, CPU, tmp_path / f"{trial.fold.name}.pt")
        assert together.validation.keys() == alone.validation.keys()
        for name, values in together.validation.items():
            np.testing.assert_allclose(values, alone.validation[name], atol=1e-5)
