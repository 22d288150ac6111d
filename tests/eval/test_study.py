"""A study on synthetic EEG: what it does, skips, keeps and goes on with, and what its table holds."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eval.scoring.scored_heads
from eval.scoring import standard_test
from eval.study import outcome, work
from eval.study.__main__ import main
from eval.study.jobs import list_jobs
from extract import publishing
from heads import probe, train
from tests.helpers.studies import make_bids, study_arguments

LINEAR, PROBE = "bandpower-latents-linear/seeds-0-1", "bandpower-latents-probe"


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bids(tmp_path_factory.mktemp("study") / "eeg")


@pytest.fixture(scope="module")
def other_bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another data set, of which one recording has no events file."""
    folder = make_bids(tmp_path_factory.mktemp("other") / "eeg", "--seed", "1")
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "Siena", "BIDSVersion": "1.8.0"}))
    next(folder.glob("sub-02/**/*_events.tsv")).unlink()
    return folder


@pytest.fixture(scope="module")
def finished(bids: Path, other_bids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "study"
    assert main(study_arguments(bids, out, "--test-bids", str(other_bids), "--unlabelled")) == 0
    return out


@pytest.fixture
def study_folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def read_auroc(folder: Path, scores: str) -> dict[str, float]:
    persons = json.loads((folder / "runs" / scores / "metrics.json").read_text())["persons"]
    return {person: row["auroc"] for person, row in persons.items()}


def test_the_table_is_the_mean_over_persons_of_scores_averaged_over_seeds(finished: Path) -> None:
    table = pd.read_csv(finished / "study.csv")
    assert table[["encoder", "features", "head", "seeds", "persons"]].to_numpy().tolist() == [
        ["bandpower", "latents", "linear", 2, 3],
        ["bandpower", "latents", "probe", 1, 3],
    ]
    first, second, probe = (
        read_auroc(finished, scores) for scores in (f"{LINEAR}/seed-0", f"{LINEAR}/seed-1", PROBE)
    )
    averaged = {person: (first[person] + second[person]) / 2 for person in first}
    assert table["auroc"].tolist() == pytest.approx([np.mean([*averaged.values()]), np.mean([*probe.values()])])
    spread = np.std([np.mean([*first.values()]), np.mean([*second.values()])], ddof=1)
    assert table["auroc_sd"].tolist() == pytest.approx([spread, np.nan], nan_ok=True)
    cells = [line.split(" | ")[5] for line in (finished / "tables" / "scores.md").read_text().splitlines()[2:]]
    assert cells == [f"{spread:.3f}", "-"]
    difference = np.mean([probe[person] - averaged[person] for person in probe])
    assert np.isnan(table["auroc_difference"][0])
    assert table["auroc_difference"][1] == pytest.approx(difference)
    assert table["auroc_low"][0] <= table["auroc"][0] <= table["auroc_high"][0]


def test_tables_for_a_paper_and_the_page_hold_the_same_numbers(finished: Path) -> None:
    row = pd.read_csv(finished / "study.csv").iloc[1]
    cell = f"{row['auroc']:.3f} ({row['auroc_low']:.3f} to {row['auroc_high']:.3f})"
    for path in ("tables/scores.md", "tables/auroc.md"):
        assert cell in (finished / path).read_text()
    page = (finished / "study.html").read_text()
    interval = f"{row['auroc_low']:.3f} to {row['auroc_high']:.3f}"
    assert f"<td>{row['auroc']:.3f}<br><small>{interval}</small></td>" in page
    assert not re.findall(r'(?:src|xlink:href)="(?!#)', page)
    links = [link for link in re.findall(r'href="([^"#]+)"', page)]
    assert len(links) == 2
    assert all((finished / link).is_file() for link in links)


def test_what_weakens_the_scores_is_on_the_page_once(finished: Path) -> None:
    page = (finished / "study.html").read_text()
    text = "only 3 tested persons: means and intervals say little about new persons"
    assert page.count(f"<li>{text}</li>") == 1


def test_a_head_that_the_command_names_is_tested_on_other_data(
    bids: Path, other_bids: Path, tmp_path: Path
) -> None:
    given = ["--bids", str(bids), "--out", str(tmp_path / "study"), "--encoders", "bandpower"]
    given += ["--features", "latents", "--heads", "heads.models.linear:LinearHead", "--seeds", "0"]
    assert main([*given, "--test-bids", str(other_bids), "--unlabelled"]) == 0


def share_in_alarm(folder: Path) -> float:
    """Share in alarm of background and of the recording without labels, from scores on other data."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["persons"]) == {"01", "03"}
    assert set(metrics["time_in_alarm"]) == {"02"}
    alarmed_s = sum(row["sample"]["fp_per_day"] * row["seconds"] / 86400 for row in metrics["persons"].values())
    background_s = sum(row["seconds"] - row["ictal_seconds"] for row in metrics["persons"].values())
    unlabelled = metrics["time_in_alarm"]["02"]
    alarmed_s += unlabelled["alarmed"] * unlabelled["hours"] * 3600
    return float(alarmed_s / (background_s + unlabelled["hours"] * 3600))


def test_heads_trained_on_everyone_are_tested_on_other_data(finished: Path) -> None:
    table = pd.read_csv(finished / "tables" / "tests.csv")
    assert table["head"].tolist() == ["linear", "probe"]
    assert table["seeds"].tolist() == [2, 1]
    assert table["persons"].tolist() == [3, 3]  # one of them without labels
    tested = finished / "runs" / LINEAR / "test"
    shares = [share_in_alarm(tested / "heads" / f"final-seed-{seed}") for seed in (0, 1)]
    assert table["in alarm"][0] == f"{100 * np.mean(shares):.1f} % (sd {100 * np.std(shares, ddof=1):.1f} %)"
    assert table["in alarm"][1] == f"{100 * share_in_alarm(finished / 'runs' / PROBE / 'test'):.1f} %"
    share_in_alarm(tested)  # the mean over seeds has the same persons


def test_a_tested_person_seen_in_pretraining_is_named_without_labels_too(
    study_folder: Path, bids: Path, other_bids: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study_folder / "runs" / PROBE / "test" / "config.json"
    config = json.loads(path.read_text())
    config["store"]["provenance"]["encoder"]["persons_seen"] = {"Siena": ["02"]}
    path.write_text(json.dumps(config))
    assert main(study_arguments(bids, study_folder, "--test-bids", str(other_bids), "--unlabelled")) == 0
    assert "on other data: bandpower latents, probe: the encoder saw persons of these" in capsys.readouterr().out


def test_what_does_not_exist_is_named(
    finished: Path, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "<li>bandpower, features codes: " in (finished / "study.html").read_text()
    out = str(tmp_path / "study")
    assert main(["--bids", str(bids), "--out", out, "--encoders", "bandpower", "--features", "codes"]) == 2
    assert "no combination is left: bandpower, features codes: " in capsys.readouterr().err


def test_given_again_it_computes_and_writes_nothing(
    study_folder: Path, bids: Path, other_bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times(study_folder)

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("computed again")

    for module, name in (
        (publishing, "encode_recordings"),
        (publishing, "encode_recording"),
        (train, "_train_group"),
        (probe, "_fit"),
        (work, "score_and_choose"),
        (standard_test.StandardTest, "score"),
        (outcome, "write_csv"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert main(study_arguments(bids, study_folder, "--test-bids", str(other_bids), "--unlabelled")) == 0
    assert times(study_folder) == before


def test_a_seed_that_is_added_costs_that_seed_alone(
    study_folder: Path, bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def record(group: Any, *args: Any) -> Any:
        trained.extend((trial.fold.name, trial.settings.seed) for trial in group)
        return train_group(group, *args)

    train_group = train._train_group
    monkeypatch.setattr(train, "_train_group", record)
    before = times(study_folder / "runs")
    assert main([*study_arguments(bids, study_folder), "2"]) == 0
    assert trained == [("01", 2), ("02", 2), ("03", 2)]
    after = times(study_folder / "runs")
    assert {path: after[path] for path in before} == before
    table = pd.read_csv(study_folder / "study.csv")
    assert table["seeds"].tolist() == [3, 1]
    scores = [f"{LINEAR}/seed-0", f"{LINEAR}/seed-1", "bandpower-latents-linear/seed-2"]
    means = [np.mean([*read_auroc(study_folder, one).values()]) for one in scores]
    assert table["auroc"][0] == pytest.approx(np.mean(means))
    assert table["auroc_sd"][0] == pytest.approx(np.std(means, ddof=1))


def test_a_seed_that_is_added_to_earlier_heads_has_their_context(study_folder: Path, bids: Path) -> None:
    path = study_folder / "runs" / LINEAR / "config.json"
    config = json.loads(path.read_text())
    assert config["settings"].pop("context_s") == 5
    path.write_text(json.dumps(config))
    assert main([*study_arguments(bids, study_folder), "2"]) == 0
    added = path.parents[1] / "seed-2" / "config.json"
    assert json.loads(added.read_text())["settings"]["context_s"] == 1


def test_one_of_the_seeds_that_are_there_is_read_alone(study_folder: Path, bids: Path) -> None:
    assert main([*study_arguments(bids, study_folder)[:-2], "1"]) == 0
    table = pd.read_csv(study_folder / "study.csv")
    assert table["seeds"][0] == 1
    assert table["auroc"][0] == pytest.approx(np.mean([*read_auroc(study_folder, f"{LINEAR}/seed-1").values()]))


def test_inner_is_passed_on_and_kept(
    study_folder: Path, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_inner(folder: Path, run: str) -> Any:
        return json.loads((folder / "runs" / run / "config.json").read_text())["settings"]["inner"]

    assert read_inner(study_folder, LINEAR) == 4
    assert main(study_arguments(bids, study_folder, "--inner", "one")) == 2
    assert "holds a study with --inner 4; repeat that, or give a new folder" in capsys.readouterr().err
    out = tmp_path / "pairs"
    assert main(study_arguments(bids, out, "--inner", "pairs")) == 0
    assert main([*study_arguments(bids, out), "2"]) == 0
    runs = (LINEAR, "bandpower-latents-linear/seed-2")
    assert [read_inner(out, run) for run in runs] == ["pairs", "pairs"]


def test_heads_of_one_class_name_have_runs_of_their_own() -> None:
    heads = ("first.heads:Head", "second.heads:Head")
    jobs = list(list_jobs(Path("runs"), [("random", "latents")], heads, (0,), {}))
    assert [str(job.path) for job in jobs] == [
        "runs/random-latents-first.heads.Head/seed-0",
        "runs/random-latents-second.heads.Head/seed-0",
    ]


@pytest.mark.parametrize("step", ["extract", "train", "probe", "score_and_choose", "write_results"])
def test_broken_off_it_goes_on(
    step: str, finished: Path, bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C when a step begins, the second time if it comes twice; then the same scores as in one go."""
    whole: Callable[..., Any] = getattr(work, step)
    calls = []

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        calls.append(step)
        if len(calls) == (1 if step in ("extract", "train", "probe") else 2):
            raise KeyboardInterrupt
        return whole(*args, **kwargs)

    monkeypatch.setattr(work, step, interrupt)
    assert main(study_arguments(bids, tmp_path / "study")) == 130
    monkeypatch.undo()
    assert main(study_arguments(bids, tmp_path / "study")) == 0
    assert (tmp_path / "study" / "study.csv").read_bytes() == (finished / "study.csv").read_bytes()


@pytest.mark.parametrize("changed", ["fold.json", "postprocessing.json", "method"])
def test_scores_of_another_state_are_made_anew(
    study_folder: Path, bids: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    run = study_folder / "runs" / PROBE
    report, path = run / "report.html", run / "folds" / "01" / changed
    before = report.stat().st_mtime_ns
    assert main(study_arguments(bids, study_folder)) == 0
    assert report.stat().st_mtime_ns == before
    if changed == "method":
        monkeypatch.setattr(eval.scoring.scored_heads, "METHOD", 1000)
    else:
        path.write_bytes(path.read_bytes() + b" ")
    assert main(study_arguments(bids, study_folder)) == 0
    assert report.stat().st_mtime_ns > before


def test_persons_that_left_the_tested_data_set_are_still_refused(
    bids: Path, other_bids: Path, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store of the tested data set still has them."""
    shutil.rmtree(study_folder / "test-stores")
    shutil.copytree(study_folder / "stores", study_folder / "test-stores")
    other = Path(shutil.copytree(other_bids, study_folder.parent / "renamed"))
    shutil.copy(bids / "dataset_description.json", other)
    for path in sorted(other.rglob("*sub-0*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.replace("sub-0", "sub-9")))
    participants = other / "participants.tsv"
    participants.write_text(participants.read_text().replace("sub-0", "sub-9"))
    assert main(study_arguments(bids, study_folder, "--test-bids", str(other), "--unlabelled")) == 2
    assert "holds training persons 01, 02, 03 too" in capsys.readouterr().err


def test_what_changed_in_the_tested_data_set_is_scored_anew(
    study_folder: Path, bids: Path, other_bids: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(other_bids, tmp_path / "eeg"))
    shutil.rmtree(changed / "sub-03")
    shutil.rmtree(study_folder / "test-stores")
    tested = study_folder / "runs" / LINEAR / "test"
    (tested / "heads" / "notes.txt").touch()
    assert len([*tested.rglob("sub-03*_events.tsv")]) == 2
    assert main(study_arguments(bids, study_folder, "--test-bids", str(changed), "--unlabelled")) == 0
    assert pd.read_csv(study_folder / "tables" / "tests.csv")["persons"].tolist() == [2, 2]
    assert not [*tested.rglob("sub-03*")]
    assert (tested / "heads" / "notes.txt").is_file()


def test_a_folder_of_something_else_is_refused(
    bids: Path, other_bids: Path, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(study_arguments(other_bids, study_folder)) == 2
    assert "holds a study of " in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    assert main(study_arguments(bids, tmp_path / "full")) == 2
    assert "holds notes.txt and no study; give a new folder" in capsys.readouterr().err
    assert main(study_arguments(bids, study_folder / "runs" / PROBE)) == 2
    assert "holds a run; give another folder" in capsys.readouterr().err
    assert main(study_arguments(bids, bids / "studies")) == 2
    assert "is in the data set" in capsys.readouterr().err
