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

from eval.study import __main__ as study
from eval.study.__main__ import main
from extract.demo import main as demo

COMBINATIONS = ("bandpower-latents-linear/seed-0", "bandpower-latents-linear/seed-1", "bandpower-latents-probe")


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "eeg"
    assert demo([str(folder), "--persons", "3", "--recordings", "1", "--minutes", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def other_bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another data set, of which one recording has no events file."""
    folder = tmp_path_factory.mktemp("other") / "eeg"
    assert demo([str(folder), "--persons", "3", "--recordings", "1", "--minutes", "1", "--seed", "1"]) == 0
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "Siena", "BIDSVersion": "1.8.0"}))
    next(folder.glob("sub-02/**/*_events.tsv")).unlink()
    return folder


def arguments(bids: Path, out: Path, *more: str) -> list[str]:
    given = ["--bids", str(bids), "--out", str(out), "--encoders", "bandpower", "--features", "latents", "codes"]
    return [*given, "--heads", "linear", "probe", "--seeds", "0", "1", *more]


@pytest.fixture(scope="module")
def finished(bids: Path, other_bids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "study"
    assert main(arguments(bids, out, "--test-bids", str(other_bids), "--unlabelled")) == 0
    return out


@pytest.fixture
def study_folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def read_auroc(folder: Path, job: str) -> dict[str, float]:
    persons = json.loads((folder / "runs" / job / "metrics.json").read_text())["persons"]
    return {person: row["auroc"] for person, row in persons.items()}


def test_the_table_is_the_mean_over_persons_of_scores_averaged_over_seeds(finished: Path) -> None:
    table = pd.read_csv(finished / "study.csv")
    assert table[["encoder", "features", "head", "seeds", "persons"]].to_numpy().tolist() == [
        ["bandpower", "latents", "linear", 2, 3],
        ["bandpower", "latents", "probe", 1, 3],
    ]
    first, second, probe = (read_auroc(finished, job) for job in COMBINATIONS)
    averaged = {person: (first[person] + second[person]) / 2 for person in first}
    assert table["auroc"].tolist() == pytest.approx([np.mean([*averaged.values()]), np.mean([*probe.values()])])
    spread = np.std([np.mean([*first.values()]), np.mean([*second.values()])])
    assert table["auroc_sd"].tolist() == pytest.approx([spread, 0])
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
    assert len(links) == 3
    assert all((finished / link).is_file() for link in links)


def test_heads_trained_on_everyone_are_tested_on_other_data(finished: Path) -> None:
    table = pd.read_csv(finished / "tables" / "tests.csv")
    assert table["head"].tolist() == ["linear", "linear", "probe"]
    assert table["persons"].tolist() == [3, 3, 3]  # one of them without labels
    metrics = json.loads((finished / "runs" / COMBINATIONS[2] / "test" / "metrics.json").read_text())
    assert set(metrics["persons"]) == {"01", "03"}
    assert set(metrics["time_in_alarm"]) == {"02"}
    alarmed_s = sum(row["sample"]["fp_per_day"] * row["seconds"] / 86400 for row in metrics["persons"].values())
    background_s = sum(row["seconds"] - row["ictal_seconds"] for row in metrics["persons"].values())
    unlabelled = metrics["time_in_alarm"]["02"]
    alarmed_s += unlabelled["alarmed"] * unlabelled["hours"] * 3600
    share = alarmed_s / (background_s + unlabelled["hours"] * 3600)
    assert table["in alarm"][2] == f"{100 * share:.1f} %"


def test_what_does_not_exist_is_named(
    finished: Path, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "<li>bandpower codes: " in (finished / "study.html").read_text()
    out = str(tmp_path / "study")
    assert main(["--bids", str(bids), "--out", out, "--encoders", "bandpower", "--features", "codes"]) == 2
    assert "no combination is left: bandpower codes: " in capsys.readouterr().err


def test_given_again_it_computes_nothing(
    study_folder: Path, bids: Path, other_bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times(study_folder)

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("scored again")

    monkeypatch.setattr(study, "score_run", refuse)
    monkeypatch.setattr(study, "prepare_test", refuse)
    assert main(arguments(bids, study_folder, "--test-bids", str(other_bids), "--unlabelled")) == 0
    after = times(study_folder)
    changed = {Path(path).relative_to(study_folder).parts[0] for path in after if after[path] != before.get(path)}
    assert changed == {"study.csv", "study.html", "tables", "figures"}


@pytest.mark.parametrize("step", ["extract", "train", "probe", "score_run", "write_scores"])
def test_broken_off_it_goes_on(
    step: str, finished: Path, bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C when a step begins, the second time if it comes twice; then the same scores as in one go."""
    whole: Callable[..., Any] = getattr(study, step)
    calls = []

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        calls.append(step)
        if len(calls) == (1 if step in ("extract", "probe") else 2):
            raise KeyboardInterrupt
        return whole(*args, **kwargs)

    monkeypatch.setattr(study, step, interrupt)
    assert main(arguments(bids, tmp_path / "study")) == 130
    monkeypatch.undo()
    assert main(arguments(bids, tmp_path / "study")) == 0
    assert (tmp_path / "study" / "study.csv").read_bytes() == (finished / "study.csv").read_bytes()


def test_scores_older_than_a_fold_are_made_anew(study_folder: Path, bids: Path) -> None:
    run = study_folder / "runs" / COMBINATIONS[2]
    report = run / "report.html"
    before = report.stat().st_mtime_ns
    (run / "folds" / "01" / "fold.json").touch()
    assert main(arguments(bids, study_folder)) == 0
    assert report.stat().st_mtime_ns > before


def test_a_recording_that_cannot_be_used_stops_it(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(bids, tmp_path / "eeg"))
    next(folder.glob("sub-02/**/*.edf")).write_bytes(b"0" * 300)
    assert main(arguments(folder, tmp_path / "study")) == 2
    assert "1 recording cannot be used, the first: sub-02" in capsys.readouterr().err


def test_persons_of_the_training_data_are_not_tested(
    bids: Path, finished: Path, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(study_folder / "test-stores")
    shutil.rmtree(study_folder / "runs" / COMBINATIONS[0] / "test")
    assert main(arguments(bids, study_folder, "--test-bids", str(bids))) == 2
    assert "persons 01, 02, 03 are training persons too; give a data set of other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--heads", "linear", "linaer"], "head 'linaer' is unknown (did you mean linear?); allowed: "),
        (["--heads", "no_such_module:Head"], "no_such_module"),
        (["--heads", "extract.demo:SAMPLE_RATE_HZ"], "give a subclass of heads.models.head.Head"),
        (["--encoders", "bandpower", "bandpwoer"], "bandpwoer"),
        (["--features", "codes"], "no combination is left: bandpower codes: "),
        (["--seeds", "0", "-1"], "--seed -1: not usable; allowed: 0 and more"),
        (["--device", "abacus"], "device abacus: not usable here"),
        (["--jobs", "0"], "--jobs 0: not usable; allowed: 1 and more"),
        (["--bids", "nowhere"], "nowhere: no such folder"),
        (["--test-bids", "nowhere"], "nowhere: no such folder"),
        (["--bids", "empty"], "empty: no EEG in this folder"),
        (["--bids", "unnamed"], "unnamed: no recording of a person; python -m extract --check says why"),
    ],
)
def test_a_mistake_leaves_no_folder(
    options: list[str],
    message: str,
    bids: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unnamed" / "sub-01" / "eeg").mkdir(parents=True)
    (tmp_path / "unnamed" / "sub-01" / "eeg" / "first.edf").touch()
    given = ["--bids", str(bids), "--out", "study", "--encoders", "bandpower", *options]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("option", ["encoders", "features", "heads", "seeds"])
def test_an_empty_list_is_refused(
    option: str, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bids", str(bids), "--out", str(tmp_path / "study"), f"--{option}"]) == 2
    assert f"--{option}: nothing given" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_a_folder_of_something_else_is_refused(
    bids: Path, other_bids: Path, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(other_bids, study_folder)) == 2
    assert "holds a study of " in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    assert main(arguments(bids, tmp_path / "full")) == 2
    assert "holds notes.txt and no study; give a new folder" in capsys.readouterr().err
    assert main(arguments(bids, study_folder / "runs" / COMBINATIONS[2])) == 2
    assert "holds a run; give another folder" in capsys.readouterr().err
    assert main(arguments(bids, bids / "studies")) == 2
    assert "is in the data set" in capsys.readouterr().err
