"""Many heads together against one at a time, and against plain PyTorch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

import store
from heads.dataset import StoreDataset
from heads.folds import Fold, Inner, make_folds
from heads.models.registry import HEADS, make_head
from heads.ops.blocks import full_blocks
from heads.training.stacked import StackedTrainer, train_stacked
from heads.training.trials import Trial, TrialResult
from store.reader import open_file
from store.writer import relabel_file
from tests.helpers.stores import SPEC, write_subject
from tests.helpers.training import CPU, INNER, SETTINGS, assert_chose_the_same, assert_same, train


def test_free_memory_is_given_back_every_few_steps(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr("heads.training.stacked._RELEASE_STEPS", 3)
    monkeypatch.setattr("heads.training.stacked.release_free_memory", lambda: given_back.append(trainer.step))
    dataset = StoreDataset(store.open(make_store()))
    fold = make_folds(dataset.label_counts(), "all")[0]
    trainer = StackedTrainer([Trial(fold, replace(SETTINGS, batch_windows=8))], dataset, CPU)
    trainer.run_epoch(lambda count: None)
    assert given_back == list(range(3, trainer.step + 1, 3))
    assert given_back


@pytest.mark.parametrize("changes", [*({"head": name} for name in HEADS), {"pooling": "max"}], ids=str)
def test_a_trial_among_many_equals_the_trial_alone(
    make_store: Callable[..., Path], tmp_path: Path, changes: dict[str, str]
) -> None:
    path = make_store()
    settings = replace(SETTINGS, **changes)
    for together, person in zip(train(path, settings, tmp_path), ("01", "02", "03", "04", "05"), strict=True):
        (alone,) = train(path, settings, tmp_path, person)
        assert_same(together, alone, rtol=1e-4, atol=1e-5)
        assert together.best_epoch == alone.best_epoch
        assert together.threshold == pytest.approx(alone.threshold, abs=1e-4)


@pytest.mark.parametrize("pooling", ["max", "max-std", "max-std-electrodes"])
def test_folds_that_hold_out_anyone_equal_each_alone(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    """Held-out persons at random, also equal ones, and blocks down to a window."""
    monkeypatch.setattr("heads.ops.blocks._FEWEST_WINDOWS", 1)
    dataset = StoreDataset(store.open(make_store()))
    rng = np.random.default_rng(3)
    settings = replace(SETTINGS, pooling=pooling, epochs=2)
    trials = []
    for number in range(7):
        test, validation, *train = rng.permutation(dataset.persons).tolist()
        fold = Fold(str(number), (test,), (validation,), tuple(sorted(train[: rng.integers(1, 4)])))
        trials += [Trial(fold, replace(settings, seed=seed)) for seed in range(1 + number % 2)]
    together = train_stacked(trials, dataset, CPU, tmp_path / "together.pt")
    monkeypatch.setattr(
        "heads.models.spatial_fusion.partition_windows", lambda trains: full_blocks(*trains.T.shape)
    )
    for number, trial in enumerate(trials):
        (alone,) = train_stacked([trial], dataset, CPU, tmp_path / f"{number}.pt")
        assert_same(together[number], alone, rtol=1e-4, atol=1e-5)


def test_trials_of_unlike_rates_equal_each_alone(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heads.training.stacked._CACHED_HEADS", 4)  # the step goes through them in two parts
    dataset = StoreDataset(store.open(make_store()))
    (fold,) = make_folds(dataset.label_counts(), "02")
    variants = [
        SETTINGS,
        replace(SETTINGS, lr=1e-2),
        replace(SETTINGS, weight_decay=0.5),
        replace(SETTINGS, dropout=0.6),
        replace(SETTINGS, seed=7),
        replace(SETTINGS, clip_norm=0.01),
    ]
    together = train_stacked([Trial(fold, one) for one in variants], dataset, CPU, tmp_path / "together.pt")
    for number, settings in enumerate(variants):
        (alone,) = train_stacked([Trial(fold, settings)], dataset, CPU, tmp_path / f"{number}.pt")
        assert_same(together[number], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_a_trial_equals_a_plain_loop_with_torch_adamw(
    make_store: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    """nn modules, torch.optim.AdamW and clip_grad_norm_, batches without the persons that are held out."""
    settings = replace(
        SETTINGS, head=name, dropout=0.0, clip_norm=0.5, weight_decay=0.3, positive_weight=2.0, patience=99
    )
    path = make_store(signal=3.0)
    (trained,) = train(path, replace(settings, epochs=2), tmp_path, "02")
    dataset = StoreDataset(store.open(path))
    (fold,) = make_folds(dataset.label_counts(), "02")
    head = make_head(settings, SPEC.shape, 4, settings.seed)
    rows = np.isin(dataset.person, [dataset.persons.index(person) for person in fold.train])
    values = dataset.features(np.flatnonzero(rows)).reshape(-1, *SPEC.shape[1:]).astype(np.float64)
    head.mean.copy_(torch.from_numpy(values.mean(0)))
    head.scale.copy_(torch.from_numpy(1 / values.std(0)))
    decayed = [value for key, value in head.named_parameters() if not key.endswith("bias")]
    others = [value for key, value in head.named_parameters() if key.endswith("bias")]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.lr,
    )
    untrained = {key: value.clone() for key, value in head.state_dict().items()}
    states = []
    for epoch in range(1, 3):
        order = dataset.epoch_windows(epoch, settings.background_per_seizure)
        for start in range(0, len(order), settings.batch_windows):
            batch = order[start : start + settings.batch_windows]
            batch = np.sort(batch[rows[batch]])
            labels = torch.from_numpy(dataset.labels[batch])
            logits = head(torch.from_numpy(dataset.features(batch)))
            there = labels >= 0
            loss = binary_cross_entropy_with_logits(
                logits[there], labels[there].float(), pos_weight=torch.tensor(2.0)
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), settings.clip_norm)
            optimizer.step()
        states.append({key: value.clone() for key, value in head.state_dict().items()})
    for key, value in trained.head.state_dict().items():
        wanted, initial = states[trained.best_epoch - 1][key].double(), untrained[key].double()
        assert (value.double() - wanted).norm() <= 3e-3 * (wanted - initial).norm(), key


def test_validation_features_do_not_train(tmp_path: Path) -> None:
    """Person 03 validates fold 02: its features may change the choice, not the weights of the last epoch."""
    settings = replace(SETTINGS, epochs=1)
    for folder, signal in (("a", 1.5), ("b", -9.0)):
        for number, person in enumerate(("01", "02", "03", "04")):
            write_subject(tmp_path / folder, person, (120, 90), number, signal if person == "03" else 1.5)
    (one,), (two,) = (train(tmp_path / folder, settings, tmp_path, "02") for folder in "ab")
    assert_same(one, two, rtol=0, atol=0)
    assert one.history != two.history


def test_a_strong_signal_is_learnt_and_the_best_epoch_kept(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    settings = replace(SETTINGS, epochs=12)
    for trained in train(make_store(signal=3.0), settings, tmp_path):
        scores = [entry["validation_auroc"] for entry in trained.history]
        assert max(scores) > 0.95
        assert trained.best_epoch == 1 + int(np.argmax(scores))


@pytest.mark.parametrize("inner", INNER)
def test_patience_stops_a_trial_and_the_group(
    make_store: Callable[..., Path], tmp_path: Path, inner: Inner
) -> None:
    settings = replace(SETTINGS, epochs=50, patience=2, lr=1e-30)
    for trained in train(make_store(), settings, tmp_path, inner=inner):
        assert (trained.best_epoch, len(trained.history)) == (1, 3)


@pytest.mark.parametrize("inner", INNER)
def test_a_killed_training_resumes_to_the_same_weights(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: Inner
) -> None:
    monkeypatch.setattr("heads.training.stacked._SAVE_EVERY_S", 0.0)
    monkeypatch.setattr("heads.training.stacked._SAVING_SHARE", np.inf)
    path = make_store()
    unbroken = train(path, SETTINGS, tmp_path, inner=inner)
    dataset = StoreDataset(store.open(path))
    trials = [Trial(fold, SETTINGS) for fold in make_folds(dataset.label_counts(), "all", inner)]
    count = 0

    def kill(done: int) -> None:
        nonlocal count
        count += 1
        if count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stacked(trials, dataset, CPU, tmp_path / "killed.pt", kill)
    assert torch.load(tmp_path / "killed.pt", weights_only=True)["epoch"] in (1, 2)
    for one, two in zip(unbroken, train_stacked(trials, dataset, CPU, tmp_path / "killed.pt"), strict=True):
        assert_chose_the_same(one, two)


@pytest.mark.parametrize("changed", ["labels", "features"])
def test_a_checkpoint_of_other_data_is_not_resumed(
    make_store: Callable[..., Path], tmp_path: Path, changed: str
) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    trials = [Trial(fold, SETTINGS) for fold in make_folds(StoreDataset(store.open(path)).label_counts(), "01")]
    (before,) = train_stacked(trials, StoreDataset(store.open(path)), CPU, tmp_path / "kept.pt")
    if changed == "labels":
        file = open_file(path / "sub-02.h5")
        relabel_file(file.path, recordings=file.recordings, labels=np.roll(file.labels, 20))
    else:
        write_subject(path, "02", (60,), 9)
    dataset = StoreDataset(store.open(path))
    (anew,) = train_stacked(trials, dataset, CPU, tmp_path / "new.pt")
    for _ in range(2):  # the second goes on from what the first wrote
        (again,) = train_stacked(trials, dataset, CPU, tmp_path / "kept.pt")
        assert_chose_the_same(again, anew)
    assert not torch.equal(before.head.out.weight, anew.head.out.weight)


@pytest.mark.parametrize(("every_s", "writes"), [(0.0, 3), (3600.0, 1)])
def test_short_epochs_are_not_saved_but_the_last_is(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_s: float,
    writes: int,
) -> None:
    monkeypatch.setattr("heads.training.stacked._SAVE_EVERY_S", every_s)
    monkeypatch.setattr("heads.training.stacked._SAVING_SHARE", np.inf)
    written = []
    monkeypatch.setattr("heads.training.stacked.save_checkpoint", lambda path, state: written.append(path))
    train(make_store(persons=3), SETTINGS, tmp_path, "01")
    assert len(written) == writes


def test_same_seed_same_weights_other_seed_others(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3)
    (one,), (two,) = (train(path, SETTINGS, tmp_path, "01") for _ in range(2))
    assert_same(one, two, rtol=0, atol=0)
    (other,) = train(path, replace(SETTINGS, seed=1), tmp_path, "01")
    assert not torch.equal(one.head.out.weight, other.head.out.weight)


def test_a_diverging_trial_fails_and_the_others_finish(make_store: Callable[..., Path], tmp_path: Path) -> None:
    dataset = StoreDataset(store.open(make_store(persons=3)))
    (fold,) = make_folds(dataset.label_counts(), "01")
    trials = [
        Trial(fold, SETTINGS),
        Trial(fold, replace(SETTINGS, lr=1e30)),
        Trial(fold, replace(SETTINGS, seed=1)),
    ]
    good, failed, other = train_stacked(trials, dataset, CPU, tmp_path / "group.pt")
    assert failed.error == "training diverged in epoch 1; lower lr"
    for number, one in ((0, good), (2, other)):
        (alone,) = train_stacked([trials[number]], dataset, CPU, tmp_path / f"{number}.pt")
        assert one.error is None
        assert len(one.history) == SETTINGS.epochs
        assert_same(one, alone, rtol=1e-4, atol=1e-5)


def test_a_best_epoch_of_infinite_predictions_fails(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may be finite, and what a head makes of them not."""
    real = StackedTrainer.results

    def results(self: StackedTrainer) -> list[TrialResult]:
        self.best_state[0] = 3e38
        return real(self)

    monkeypatch.setattr(StackedTrainer, "results", results)
    failed, *others = train(make_store(persons=3), SETTINGS, tmp_path)
    assert failed.error == "predictions of the best epoch are not finite; lower lr"
    assert not any(other.error for other in others)
