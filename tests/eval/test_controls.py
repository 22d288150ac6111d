"""Controls: each is seen to hold on sound data, and to fail where it should."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from eval import controls
from eval.__main__ import main as evaluate
from eval.controls import main
from eval.scoring import identity_audit, shuffled_labels, standard_test
from eval.scoring.alarms import Alarms, average_alarms, measure_alarms
from eval.scoring.identity_audit import PersonSeconds, audit_identity
from eval.scoring.shuffled_labels import (
    ShuffledDataset,
    chance_deviation,
    expect_mean_auroc,
    score_shuffled,
)
from heads.closed_form import logistic_folds
from heads.dataset import INVALID, StoreDataset
from heads.inference import predict_persons
from heads.probe import main as probe
from heads.run_folder import Run
from heads.train import main as train
from store import open as open_store
from store.runtime.errors import UserError
from tests.helpers.scored import make_results, record
from tests.helpers.stores import SPEC, unlabel, write_subject

CPU = torch.device("cpu")


def test_labels_are_shuffled_within_each_person(make_store: Callable[..., Path]) -> None:
    store = open_store(make_store(3))
    before, after = StoreDataset(store), ShuffledDataset(store, np.random.default_rng(0))
    assert after.label_counts() == before.label_counts()
    for info in store.recordings:
        assert (before.labels_of(info) != after.labels_of(info)).any()
        assert (after.labels_of(info) != INVALID).all()
    assert (before.labels == INVALID).tolist() == (after.labels == INVALID).tolist()
    again = ShuffledDataset(store, np.random.default_rng(0))
    assert (again.labels == after.labels).all()


@pytest.mark.parametrize("kind", ["probe", "linear"])
def test_heads_find_no_shuffled_labels(kind: str, make_store: Callable[..., Path], tmp_path: Path) -> None:
    """1,600 seconds of 4 persons put chance within 0.05 of a half."""
    store, out = make_store(4, lengths_s=(200, 200), signal=3.0), tmp_path / "run"
    arguments = ["--store", str(store), "--fold", "all", "--out", str(out)]
    assert (probe(arguments) if kind == "probe" else train([*arguments, "--head", "linear", "--epochs", "3"])) == 0
    auroc = score_shuffled(Run.open(out), open_store(store), CPU, np.random.default_rng(0))["auroc"]
    assert sorted(auroc.index) == ["01", "02", "03", "04"]
    assert abs(auroc.mean() - 0.5) < 0.05


def scored_run(store: Path, out: Path) -> Path:
    for fold in ("all", "final"):
        assert probe(["--store", str(store), "--method", "lda", "--fold", fold, "--out", str(out)]) == 0
    assert evaluate([str(out), "--no-report"]) == 0
    return out


@pytest.fixture
def run(make_store: Callable[..., Path], tmp_path: Path) -> Path:
    return scored_run(make_store(4), tmp_path / "run")


def test_a_leak_is_noticed(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Heads that know the labels of the tested person."""

    def leak(head: Any, persons: Any, dataset: Any, device: Any) -> dict[str, Any]:
        infos = [info for info in dataset.recordings if info.person in persons]
        return {info.name: dataset.labels_of(info).astype(np.float32) for info in infos}

    monkeypatch.setattr(shuffled_labels, "predict_persons", leak)
    assert main([str(run)]) == 1
    leaking = r"AUROC 1\.000 \(1\.000 to 1\.000\) \(expected: 0\.4\d\d to 0\.5\d\d\) NOT AS EXPECTED"
    assert re.search(leaking, capsys.readouterr().out)
    first = json.loads((run / "controls" / "controls.json").read_text())[0]
    assert first["holds"] is False
    assert first["values"] == {"auroc": 1.0, "persons": 4}


def test_chance_is_that_of_shuffling() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = (np.arange(60) < 7).astype(int), rng.integers(0, 8, 60) / 8  # with ties
    aurocs = [roc_auc_score(rng.permutation(labels), probabilities) for _ in range(2000)]
    assert chance_deviation(labels, probabilities) == pytest.approx(np.std(aurocs), rel=0.05)
    assert chance_deviation(labels, np.full(60, 0.5)) == 0


def test_sound_runs_of_few_persons_are_as_expected(make_store: Callable[..., Path], tmp_path: Path) -> None:
    """Most lie without a half plus or minus 0.03; 99 of 100 lie within what is expected."""
    store, out = make_store(3), tmp_path / "run"
    assert probe(["--store", str(store), "--method", "lda", "--out", str(out)]) == 0
    run, opened = Run.open(out), open_store(store)
    drawn = [score_shuffled(run, opened, CPU, np.random.default_rng(seed)) for seed in range(40)]
    off = [abs(scores["auroc"].mean() - 0.5) for scores in drawn]
    half = [expect_mean_auroc(scores["chance_sd"])[1] - 0.5 for scores in drawn]
    assert np.mean(np.array(off) > 0.03) > 0.3
    assert np.sum(np.array(off) > half) <= 2


def test_without_a_person_of_both_labels_nothing_is_expected() -> None:
    control = controls._check_shuffled(pd.DataFrame({"auroc": [], "chance_sd": []}))
    assert (control.holds, control.expected, control.values) == (None, "", {"auroc": None, "persons": 0})
    assert "no tested person has both labels" in control.line


def test_a_sweep_is_refused(make_store: Callable[..., Path], tmp_path: Path) -> None:
    store = make_store(3)
    run = Run(tmp_path / "run", {"settings": {"head": ["linear"], "random": None}})
    with pytest.raises(UserError, match=r"a sweep or another kind of run; give one of python -m heads\.train"):
        score_shuffled(run, open_store(store), CPU, np.random.default_rng(0))


def test_a_training_that_diverges_on_shuffled_labels_names_its_fold(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    run = Run(tmp_path / "run", {"settings": {"head": "spatial-fusion", "lr": 1e30, "epochs": 1}})
    why = r"(training diverged in epoch 1|predictions of the best epoch are not finite); lower lr"
    with pytest.raises(UserError, match=rf"fold 01 with shuffled labels: {why}"):
        score_shuffled(run, open_store(make_store(3)), CPU, np.random.default_rng(0))


def seconds(offset: float, rng: np.random.Generator, number: int = 200) -> PersonSeconds:
    """Seconds of a person who differs from others by an offset, in which seizure adds 1 to one feature."""
    y = (np.arange(number) % 4 == 0).astype(int)
    x = rng.normal(size=(number, 3)) + offset
    x[:, 0] += 2 * y
    return PersonSeconds(x, y)


def test_much_background_is_thinned_and_seizures_are_kept(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(make_store(2, (120,)))
    whole = identity_audit.read_seconds(store, tmp_path)["01"]
    monkeypatch.setattr(logistic_folds, "_MOST_BACKGROUND", 8)
    thinned = identity_audit.read_seconds(store, tmp_path)["01"]
    assert [(one.y == label).sum() for one in (whole, thinned) for label in (0, 1)] == [105, 15, 8, 15]
    np.testing.assert_array_equal(thinned.x[thinned.y == 1], whole.x[whole.y == 1])
    np.testing.assert_array_equal(thinned.x[thinned.y == 0], whole.x[whole.y == 0][::14])


def test_a_person_without_labelled_seconds_is_left_out(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(4, (120,))
    unlabel(path / "sub-02.h5")
    seconds = identity_audit.read_seconds(open_store(path), tmp_path)
    assert list(seconds) == ["01", "03", "04"]
    assert list(audit_identity(seconds).scores.index) == ["01", "03", "04"]


def test_persons_who_differ_are_told_apart_and_the_difference_can_be_removed() -> None:
    rng = np.random.default_rng(0)
    audit = audit_identity({name: seconds(10 * number, rng) for number, name in enumerate("abcd")})
    assert audit.accuracy == 1
    assert audit.chance == 0.25
    assert audit.scores.loc[list("abcd"), "removed"].mean() > 0.9
    same = audit_identity({name: seconds(0, rng) for name in "abcd"})
    assert abs(same.accuracy - 0.25) < 0.1


def test_removed_seconds_have_no_mean_and_no_scale() -> None:
    one = seconds(5, np.random.default_rng(0)).standardised()
    assert one.x.mean(0) == pytest.approx(np.zeros(3))
    assert one.x.std(0) == pytest.approx(np.ones(3))
    flat = PersonSeconds(np.full((4, 1), 2.0), np.zeros(4, int)).standardised()
    assert flat.x.tolist() == [[0]] * 4


def test_the_audit_needs_background_of_two_persons() -> None:
    with pytest.raises(UserError, match="1 person with 20 s of background; the audit needs two or more"):
        audit_identity({"a": seconds(0, np.random.default_rng(0)), "b": seconds(0, np.random.default_rng(0), 16)})


def test_alarms_of_several_heads_have_a_sample_sd_and_those_of_one_head_none() -> None:
    one, other = Alarms(1, 0, 0, 0.0, 2.0, 0.1), Alarms(1, 0, 0, 0.0, 2.0, 0.3)
    assert average_alarms([one]).spread is None
    assert average_alarms([one, other]).describe().endswith("(mean over 2 seeds, sd 7.1 %)")


def test_alarms_are_counted_on_persons_that_no_pretraining_saw() -> None:
    """Of a and c: 100 of 3,600 s in seizure, 60 of 3,500 in alarm outside of it; b was seen."""
    recordings = {
        "a": {"1": record([(100, 200)], [(150, 210), (1000, 1050)], 1800)},
        "b": {"2": record([], [(0, 1000)], 1000)},
        "c": {"3": record([], [], 1800)},
    }
    results = make_results(recordings, persons_seen=["b"])
    alarms = measure_alarms(results)
    assert (alarms.persons, alarms.left_out, alarms.false_alarms) == (2, 1, 1)
    assert alarms.alarmed_share == pytest.approx(60 / 3500)
    unlabelled = replace(
        results,
        recordings={"a": recordings["a"]},
        persons=results.persons.loc[["a"]],
        unlabelled={"b": recordings["c"], "c": recordings["b"]},
    )
    alarms = measure_alarms(unlabelled)
    assert alarms.labelled_hours == pytest.approx(1700 / 3600)
    assert alarms.hours == pytest.approx(2700 / 3600)
    assert alarms.alarmed_share == pytest.approx(1060 / 2700)


def test_twin_and_other_people_are_told(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = scored_run(make_store(4, spec=replace(SPEC, encoder="braincodec")), tmp_path / "run")
    twin = scored_run(make_store(4, signal=0.1, name="twin-store"), tmp_path / "twin")
    for number in range(2):
        spec = replace(SPEC, encoder="braincodec")
        write_subject(tmp_path / "other", f"{number + 11}", (120,), 20 + number, spec=spec)
    capsys.readouterr()
    arguments = [str(run), "--twin", str(twin), "--on", str(tmp_path / "other")]
    status = main(arguments)
    out = capsys.readouterr().out
    written = json.loads((run / "controls" / "controls.json").read_text())
    assert [control["name"] for control in written] == [
        "labels shuffled within persons",
        "telling persons apart",
        "each person's mean and scale removed",
        "untrained twin",
        "on other",
    ]
    assert status == int(any(control["holds"] is False for control in written))
    assert written[3]["values"]["run"] > written[3]["values"]["twin"]
    assert written[3]["holds"] is True
    assert written[4]["values"]["persons"] == 2
    assert "on other: 2 persons, 0.1 h: " in out
    assert "| on other | 2 persons" in (run / "controls" / "controls.md").read_text()


def test_all_heads_predict_on_the_device_that_is_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []
    write_subject(tmp_path / "other", "11", (120,), 20)

    def record_device(head: Any, persons: Any, dataset: Any, device: torch.device) -> Any:
        devices.append(str(device))
        return predict_persons(head, persons, dataset, device)

    for module in (shuffled_labels, standard_test):
        monkeypatch.setattr(module, "predict_persons", record_device)
    main([str(run), "--on", str(tmp_path / "other"), "--device", "cpu:0"])
    assert devices == ["cpu:0"] * 5  # four folds, the final head


def test_given_again_only_what_is_new_is_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_subject(tmp_path / "other", "11", (120,), 20)
    path, calls = run / "controls" / "controls.json", []

    def count(module: ModuleType, name: str) -> Callable[..., Any]:
        whole = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            calls.append(name)
            return whole(*arguments)

        return counted

    made = {"score_shuffled": shuffled_labels, "audit_identity": identity_audit, "measure_alarms": controls}
    for name, module in made.items():
        monkeypatch.setattr(module, name, count(module, name))
    status = main([str(run)])
    first = json.loads(path.read_text())
    assert main([str(run), "--on", str(tmp_path / "other")]) == status
    assert calls == [*made]
    whole = path.read_bytes()
    assert json.loads(whole)[:3] == first
    assert main([str(run), "--on", str(tmp_path / "other")]) == status
    assert len(calls) == 3
    assert path.read_bytes() == whole
    main([str(run), "--seed", "1"])
    assert calls[3:] == ["score_shuffled"]


def test_what_was_found_on_others_is_kept_while_the_run_is_the_same(
    run: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = scored_run(make_store(4, signal=0.1, name="twin-store"), tmp_path / "twin")
    write_subject(tmp_path / "other", "11", (120,), 20)
    status = main([str(run), "--twin", str(twin), "--on", str(tmp_path / "other")])
    files = [run / "controls" / name for name in ("controls.json", "controls.md")]
    before = [path.read_bytes() for path in files]
    capsys.readouterr()
    assert main([str(run)]) == status
    out = capsys.readouterr().out
    assert [path.read_bytes() for path in files] == before
    assert "untrained twin: AUROC" in out
    assert "on other: 1 person" in out
    assert "none is given" not in out
    result = next(iter(Run.open(run).folds))
    (result.path / "fold.json").write_text(json.dumps(json.loads((result.path / "fold.json").read_text())))
    assert evaluate([str(run), "--no-report"]) == 0
    main([str(run)])
    names = [control["name"] for control in json.loads(files[0].read_text())]
    assert names == [
        "labels shuffled within persons",
        "telling persons apart",
        "each person's mean and scale removed",
    ]


def test_the_store_of_a_run_may_have_moved(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = pd.DataFrame({"auroc": [0.5], "chance_sd": [0.1]}, ["04"])
    monkeypatch.setattr(shuffled_labels, "score_shuffled", lambda *arguments: scores)
    (tmp_path / "store").rename(tmp_path / "moved")
    assert main([str(run)]) == 2
    assert "no such store, but the run was trained on it; if it has moved, give --store" in capsys.readouterr().err
    assert main([str(run), "--store", str(tmp_path / "moved")]) == 0


def test_a_given_split_that_has_changed_is_shuffled_again(
    make_store: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, out, calls = tmp_path / "split.tsv", tmp_path / "run", []
    rows = ["person\tsplit", "01\ttrain", "02\ttrain", "03\tvalidation", "04\ttest", ""]
    split.write_text("\n".join(rows))
    arguments = ["--store", str(make_store(4)), "--method", "lda", "--split", str(split), "--out", str(out)]
    assert probe(arguments) == 0
    assert evaluate([str(out), "--no-report"]) == 0

    def record_split(*_: Any) -> pd.DataFrame:
        calls.append(split.read_text())
        return pd.DataFrame({"auroc": [0.5], "chance_sd": [0.1]}, ["04"])

    monkeypatch.setattr(shuffled_labels, "score_shuffled", record_split)
    assert main([str(out)]) == main([str(out)]) == 0
    assert len(calls) == 1
    split.write_text("\n".join(rows).replace("02\ttrain", "02\tvalidation"))
    assert main([str(out)]) == 0
    assert len(calls) == 2


def test_broken_off_it_keeps_what_was_done(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(identity_audit, "audit_identity", interrupt)
    assert main([str(run)]) == 130
    monkeypatch.undo()
    monkeypatch.setattr(shuffled_labels, "score_shuffled", interrupt)
    main([str(run)])
    written = json.loads((run / "controls" / "controls.json").read_text())
    assert [control["name"] for control in written] == [
        "labels shuffled within persons",
        "telling persons apart",
        "each person's mean and scale removed",
    ]


def test_a_run_of_several_seeds_has_controls(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = make_store(4), tmp_path / "run"
    for fold in ("all", "final"):
        arguments = ["--store", str(store), "--fold", fold, "--out", str(out), "--head", "linear", "--epochs", "2"]
        assert train([*arguments, "--seed", "0", "2"]) == 0
    assert evaluate([str(out), "--no-report"]) == 0
    write_subject(tmp_path / "other", "11", (120,), 20)
    main([str(out), "--on", str(tmp_path / "other")])
    assert re.search(
        r"on other: 1 person, 0.0 h: [\d.]+ % of the time in alarm \(mean over 2 seeds, sd [\d.]+ %\)",
        capsys.readouterr().out,
    )


def test_mistakes_are_told_before_anything_is_trained(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shuffled_labels, "score_shuffled", lambda *arguments: pytest.fail("trained"))
    write_subject(tmp_path / "seen", "11", (120,), 20, encoder={"persons_seen": {"": ["11"]}})
    for arguments, message in {
        ("--seed", "-1"): "--seed -1: not usable; allowed: 0 and more",
        ("--device", "abacus"): "device abacus: not usable here",
        ("--twin", str(tmp_path / "nowhere")): "nowhere: no such folder",
        ("--on", str(tmp_path / "nowhere")): "nowhere",
        (
            "--on",
            str(tmp_path / "seen"),
        ): "seen: the encoder saw all of its persons in pretraining; give a",
    }.items():
        assert main([str(run), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    (run / "controls").mkdir()
    (run / "controls" / "controls.json").write_text("[1]")
    assert main([str(run)]) == 2
    assert "controls.json: damaged" in capsys.readouterr().err


def test_what_is_no_twin_and_no_other_people_is_refused(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(4, spec=replace(SPEC, encoder="bandpower"))
    run = scored_run(store, tmp_path / "run")
    other = scored_run(store, tmp_path / "again")
    assert main([str(run), "--twin", str(other)]) == 2
    assert "its encoder is bandpower; a twin has --encoder random" in capsys.readouterr().err
    assert main([str(run), "--out", str(store)]) == 2
    assert "holds a feature store; give another folder" in capsys.readouterr().err
    assert main([str(run), "--on", str(store)]) == 2
    assert "holds training persons 01, 02, 03, 04 of" in capsys.readouterr().err


def test_a_twin_of_other_settings_is_refused(
    run: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = scored_run(
        make_store(4, signal=0.1, name="twin-store", spec=replace(SPEC, stride_s=2)), tmp_path / "twin"
    )
    config = json.loads((twin / "config.json").read_text())
    config["settings"]["method"] = "ridge"
    (twin / "config.json").write_text(json.dumps(config))
    assert main([str(run), "--twin", str(twin)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"{twin}: no twin of {run} (method is 'ridge', not 'lda'; features' stride_s is 2, not 4); extract" in line
    )


def test_without_a_twin_it_says_how_to_make_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(run)])
    assert "untrained twin: not given; extract the data set with --encoder random" in capsys.readouterr().out
