"""Heads of a run tested on another store: who may be tested, what is written, what is refused."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import store
from eval.__main__ import main
from eval.scoring.scored_runs import read_scored_run
from heads.run_folder import Run
from heads.train import main as train
from store.writer import relabel_file
from tests.helpers.stores import SPEC, write_subject

QUICK = ("--epochs", "6", "--lr", "0.01", "--filters", "4", "--hidden", "4")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run with every fold and a final one, and a store of other persons."""
    root = tmp_path_factory.mktemp("standard")
    for number in range(4):
        write_subject(root / "train", f"{number + 1:02}", (120, 90), number)
    for number in range(3):
        write_subject(root / "other", f"{number + 11}", (150, 60), 10 + number)
    for fold in ("all", "final"):
        arguments = ("--store", str(root / "train"), "--fold", fold, "--out", str(root / "run"), *QUICK)
        assert train(arguments) == 0
    assert main([str(root / "run"), "--no-report"]) == 0
    return root


def score_on(root: Path, out: Path, *more: str, store_name: str = "other") -> int:
    return main([str(root / "run"), "--on", str(root / store_name), "--out", str(out), *more])


def copy_run_and_store(root: Path, to: Path) -> None:
    """Copy the run and the store that it is scored on, to change them."""
    for name in ("run", "other"):
        shutil.copytree(root / name, to / name)


def refused(
    capsys: pytest.CaptureFixture[str], root: Path, out: Path, *more: str, store_name: str = "other"
) -> str:
    assert score_on(root, out, *more, store_name=store_name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "metrics.json").read_text())
    return content


def label(path: Path, dataset: str, labelled: bool = True) -> None:
    """Give the files of a store a data set, and their recordings events or none."""
    for file in sorted(path.glob("*.h5")):
        opened = store.open(path).file_of(file.stem.removeprefix("sub-"))
        rows = [
            replace(info, labelled=labelled, events=info.events if labelled else ()) for info in opened.recordings
        ]
        labels = opened.labels if labelled else np.zeros_like(opened.labels)
        relabel_file(file, recordings=rows, labels=labels, dataset=dataset)


def test_the_final_head_is_scored_on_every_person(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert score_on(root, out) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{out}: 3 of 3 persons tested")
    content = read(out)
    assert list(content["persons"]) == ["11", "12", "13"]
    assert content["mean"]["auroc"] > 0.6
    for name in ("report.html", "metrics.csv", "seizures.csv", "false_alarms.csv", "tables/scores.tex"):
        assert (out / name).is_file()
    assert len(list((out / "predictions").rglob("*_events.tsv"))) == 6
    post = "folds/final/postprocessing.json"
    assert (out / post).read_bytes() == (root / "run" / post).read_bytes()


def test_every_head_is_scored_then_their_mean_and_spread(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score_on(root, tmp_path, "--fold", "all", "--no-report") == 0
    heads = {name: read(tmp_path / "heads" / name) for name in ("01", "02", "03", "04")}
    content = read(tmp_path)
    aurocs = [head["mean"]["auroc"] for head in heads.values()]
    assert [content["heads"][name]["auroc"] for name in heads] == aurocs
    assert content["heads"]["sd"]["auroc"] == pytest.approx(np.std(aurocs, ddof=1))
    person = [head["persons"]["11"]["event"]["f1"] for head in heads.values()]
    assert content["persons"]["11"]["event"]["f1"] == pytest.approx(np.mean(person))
    assert "mean over 4 heads; AUROC" in capsys.readouterr().out


def test_scores_on_other_data_compare(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "final", tmp_path / "all"
    assert score_on(root, first, "--no-report") == score_on(root, second, "--fold", "all", "--no-report") == 0
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 0
    out = capsys.readouterr().out
    assert "3 persons; differences are from final" in out
    assert f"final: spatial-fusion head on random latents, trained in {root / 'run'}" in out
    assert main(["compare", str(root / "run"), str(first)]) == 2
    assert "persons 01, 02, 03, 04, 11, 12, 13 are tested either here or in" in capsys.readouterr().err


def test_the_same_store_gives_the_scores_of_the_run(root: Path, tmp_path: Path) -> None:
    """Each head on the person that its fold tests: the oracle of the way through another store."""
    more = ("--fold", "all", "--no-report", "--allow-training-persons")
    assert score_on(root, tmp_path, *more, store_name="train") == 0
    for person, scores in read(root / "run")["persons"].items():
        found = read(tmp_path / "heads" / person)["persons"][person]
        assert found["event"] == scores["event"]
        assert found["auroc"] == pytest.approx(scores["auroc"], abs=1e-6)


def test_training_persons_are_refused_unless_asked_for(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = refused(capsys, root, tmp_path / "out", store_name="train")
    assert f"{root / 'train'}: holds training persons 01, 02, 03, 04 of {root / 'run'}; leave" in refusal
    assert refusal.endswith("leave them out of the store, or add --allow-training-persons")
    assert not (tmp_path / "out").exists()
    assert score_on(root, tmp_path / "out", "--no-report", "--allow-training-persons", store_name="train") == 0
    assert "persons of the training data are scored: 01, 02, 03, 04" in capsys.readouterr().out


def test_a_person_is_one_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        for seed, name in enumerate(("train", "other")):
            write_subject(tmp_path / name, f"{number + 1:02}", (120, 90), 10 * seed + number)
    label(tmp_path / "train", "CHB-MIT Scalp EEG Database")
    label(tmp_path / "other", "Siena")
    arguments = ("--store", str(tmp_path / "train"), "--fold", "final", "--out", str(tmp_path / "run"), *QUICK)
    assert train(arguments) == 0
    assert main([str(tmp_path / "run")]) == 0
    assert score_on(tmp_path, tmp_path / "out", "--no-report") == 0
    label(tmp_path / "other", "CHB-MIT clips")
    refusal = refused(capsys, tmp_path, tmp_path / "again")
    assert "holds training persons 01, 02, 03, 04 of" in refusal
    assert "by name alone" not in refusal


def test_a_training_person_is_known_by_its_features(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = tmp_path / "renamed"
    write_subject(renamed, "anna", (120, 90), 1)  # as person 02 of the training data
    write_subject(renamed, "berta", (120, 90), 31)
    arguments = [str(root / "run"), "--on", str(renamed), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert f"renamed: holds training person anna of {root / 'run'}; leave" in capsys.readouterr().err
    write_subject(renamed, "anna", (120, 90), 30)
    write_subject(renamed, "02", (120, 90), 32)
    assert main(arguments) == 2
    assert f"renamed: holds training person 02 of {root / 'run'}, by name alone, as" in capsys.readouterr().err


def test_scores_without_labels_do_not_compare(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "other", tmp_path / "unlabelled")
    label(tmp_path / "unlabelled", "", labelled=False)
    outs = [str(tmp_path / name) for name in ("one", "two")]
    for out in outs:
        assert main([str(root / "run"), "--on", str(tmp_path / "unlabelled"), "--out", out, "--no-report"]) == 0
    labelled = tmp_path / "labelled"
    assert score_on(root, labelled, "--no-report") == 0
    capsys.readouterr()
    for pair in (outs, [str(labelled), outs[0]]):
        assert main(["compare", *pair]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{outs[0]}: none of its tested recordings is labelled, so that it has no scores to compare" in line
    assert not (tmp_path / "one" / "comparison").exists()


def test_unlabelled_recordings_give_the_time_in_alarm_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_run_and_store(root, tmp_path)
    label(tmp_path / "other", "", labelled=False)
    out = tmp_path / "out"
    assert score_on(tmp_path, out) == 0
    text = capsys.readouterr().out
    first, second, *_ = text.splitlines()
    assert first == f"{out}: no tested recording is labelled"
    assert second.startswith("6 unlabelled recordings of 3 persons, 0.2 h: ")
    scores = ", ".join(str(out / name) for name in ("metrics.json", "metrics.csv", "time_in_alarm.csv"))
    assert f"\nScores: {scores}\nEvents: {out / 'predictions'}" in text
    content = read(out)
    assert content["persons"] == {}
    assert content["mean"]["auroc"] is None
    events = [pd.read_table(path) for path in (out / "predictions").rglob("sub-11*_events.tsv")]
    alarmed_s = sum(table.loc[table["eventType"] == "sz", "duration"].sum() for table in events)
    assert content["time_in_alarm"]["11"] == {
        "recordings": 2,
        "hours": 210 / 3600,
        "alarmed": pytest.approx(alarmed_s / 210),
    }
    page = (out / "report.html").read_text()
    assert "Unlabelled recordings: time in alarm" in page
    assert "No recording is labelled, so errors are unknown." in page
    assert "No recording is labelled, so there are no scores." in page
    assert "No seizure was missed" not in page
    assert "shown above" not in page
    assert page.count("_run-00 (no labels)</figcaption>") == page.count("_run-01 (no labels)</figcaption>") == 3
    assert "_run-01" in (out / "figures" / "timeline-11.svg").read_text()


def test_the_timelines_of_a_person_show_recordings_without_labels_too(root: Path, tmp_path: Path) -> None:
    copy_run_and_store(root, tmp_path)
    file = store.open(tmp_path / "other").file_of("11")
    rows = [replace(info, labelled=number > 0, events=()) for number, info in enumerate(file.recordings)]
    relabel_file(file.path, recordings=rows, labels=np.zeros_like(file.labels), dataset="")
    assert score_on(tmp_path, tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("(no labels)") == 1
    assert "6 recordings of 3 persons, 0.2 h" in page


@pytest.mark.parametrize("labelled", [(), ("11",)])
def test_the_time_in_alarm_of_several_heads_is_their_mean_with_its_spread(
    labelled: tuple[str, ...], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_run_and_store(root, tmp_path)
    label(tmp_path / "other", "", labelled=False)
    for person in labelled:
        shutil.copy(root / "other" / f"sub-{person}.h5", tmp_path / "other")
    out = tmp_path / "out"
    assert score_on(tmp_path, out, "--fold", "all", "--no-report") == 0
    heads = [read(out / "heads" / name)["time_in_alarm"] for name in ("01", "02", "03", "04")]
    shares = [
        sum(row["alarmed"] * row["hours"] for row in head.values()) / sum(row["hours"] for row in head.values())
        for head in heads
    ]
    content = read(out)
    person = [head["12"]["alarmed"] for head in heads]
    assert content["time_in_alarm"]["12"]["alarmed"] == pytest.approx(np.mean(person))
    assert [content["heads"][name]["alarmed"] for name in ("01", "mean", "sd")] == pytest.approx(
        [shares[0], np.mean(shares), np.std(shares, ddof=1)]
    )
    text = capsys.readouterr().out
    assert re.search(rf"mean over 4 heads; .*: {100 * np.mean(shares):.1f} % of the time in alarm", text)
    table = pd.read_csv(out / "tables" / "heads.csv", index_col=0)
    assert table["in alarm"]["sd"] == f"{100 * np.std(shares, ddof=1):.1f} %"
    assert ("AUROC" in table) == bool(labelled)
    assert list(read_scored_run(out).scores.index) == list(labelled)


def test_another_spec_is_refused_with_the_field(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "run", tmp_path / "run")
    write_subject(tmp_path / "other", "11", (120, 90), 0, spec=replace(SPEC, stride_s=2))
    refusal = refused(capsys, tmp_path, tmp_path / "out")
    assert f"{tmp_path / 'other'}: stride_s is 2, wanted 4 as for" in refusal


def test_a_folder_of_something_else_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{root / 'run'}: holds a run; choose another folder" in refused(capsys, root, root / "run")
    assert score_on(root, tmp_path, "--no-report") == 0
    assert score_on(root, tmp_path, "--no-report") == 0
    refusal = refused(capsys, root, tmp_path, "--fold", "all")
    assert f"{tmp_path}: holds scores of the head in use of {root / 'run'} on {root / 'other'}; choose" in refusal
    assert main([str(tmp_path)]) == 2
    command = f"python -m eval {root / 'run'} --on {root / 'other'} --out {tmp_path}"
    assert capsys.readouterr().err.endswith(f"{tmp_path}: holds scores on other data; repeat {command}\n")


def test_after_a_change_of_the_store_it_is_repeated(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_run_and_store(root, tmp_path)
    out = tmp_path / "out"
    assert score_on(tmp_path, out, "--fold", "all", "--no-report") == 0
    (out / "notes.txt").touch()
    file = store.open(tmp_path / "other").file_of("11")
    relabel_file(file.path, recordings=file.recordings, labels=np.roll(file.labels, 5))
    (tmp_path / "other" / "sub-13.h5").unlink()
    capsys.readouterr()
    assert score_on(tmp_path, out, "--fold", "all", "--no-report") == 0
    text = capsys.readouterr().out
    assert text.startswith(
        f"{out}: replaces the scores before; store changed: sub-11_ses-01_task-szMonitoring_run"
    )
    assert "_run-00: labels, " in text
    assert "_run-00: gone and 1 more\n" in text
    assert [*read(out)["persons"]] == ["11", "12"]
    assert not list(out.rglob("sub-13*"))
    assert (out / "notes.txt").is_file()


def test_after_a_move_of_run_and_store_it_is_repeated(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert score_on(root, out, "--no-report") == 0
    copy_run_and_store(root, tmp_path)
    assert score_on(tmp_path, out, "--no-report") == 0
    assert "the scores are the same" in capsys.readouterr().out
    write_subject(tmp_path / "other", "14", (60,), 40)
    assert score_on(tmp_path, out, "--no-report") == 0
    assert f"holds scores of the head in use of {tmp_path / 'run'} on" in refused(capsys, root, out)


def test_after_other_post_processing_it_is_repeated(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_run_and_store(root, tmp_path)
    out = tmp_path / "out"
    assert score_on(tmp_path, out, "--no-report") == 0
    path = tmp_path / "run" / "folds" / "final" / "postprocessing.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_duration_s": 20}))
    capsys.readouterr()
    assert score_on(tmp_path, out, "--no-report") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{out}: replaces the scores before; heads, post-processing or scoring changed\n")


def test_options_that_do_not_go_together_are_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root / "run"), "--on", str(root / "other")]) == 2
    assert "--on needs --out DIR" in capsys.readouterr().err
    for more in (["--out", str(tmp_path)], ["--fold", "all"], ["--allow-training-persons"]):
        assert main([str(root / "run"), *more]) == 2
        assert "go with --on STORE" in capsys.readouterr().err


def test_a_run_without_the_head_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    shutil.copytree(root / "other", tmp_path / "other")
    (run / "folds" / "final" / "postprocessing.json").unlink()
    assert re.search(
        r"final/postprocessing.json: post-processing is not chosen yet; python -m eval",
        refused(capsys, tmp_path, tmp_path / "out"),
    )
    shutil.rmtree(run / "folds" / "final")
    command = Run.open(run).command_for("final")
    assert f"--store {root / 'train'} --fold final --out {run}" in command
    assert f"no finished final fold; {command} makes one" in refused(capsys, tmp_path, tmp_path / "out")
