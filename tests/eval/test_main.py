"""Scoring a run folder: files, table, warnings, errors."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import store
from eval.__main__ import main
from eval.scoring.events import Detections
from heads.folds import Fold
from heads.run_folder import FoldResult, Run, describe_run
from store import Event, FeatureSpec, RecordingInfo
from store.writer import write_file

SPEC = FeatureSpec(
    "bandpower", "", "latents", "float16", 256, 4, 4, 256, 4, 1, ("FZ-CZ", "CZ-PZ"), "none", "float32"
)
# person: recordings drawn as reference and predicted timeline, 10 s a character
PERSONS = {
    "01": [("____####________", "____##__________"), ("________________", "______________#_")],
    "02": [("__####__________", "________________")],
    "03": [("________________", "________________")],
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of three finished folds and a final one, with its store."""
    for person, timelines in PERSONS.items():
        _write_subject(tmp_path / "store", person, timelines)
    features = store.open(tmp_path / "store")
    run = Run.create(tmp_path / "run", describe_run({"head": "linear", "seed": 0}, features))
    for person in PERSONS:
        validation = "02" if person == "01" else "01"
        train = tuple(sorted(PERSONS.keys() - {person, validation}))
        _finish(run, Fold(person, (person,), (validation,), train))
    _finish(run, Fold("final", (), ("01",), ("02", "03")))
    for info in features.recordings:
        _, predicted = PERSONS[info.person][int(info.name[-2:])]
        run.write_probabilities(info, _probabilities(predicted))
    return run


def _seconds(timeline: str) -> np.ndarray:
    return np.repeat([mark == "#" for mark in timeline], 10)


def _write_subject(path: Path, person: str, timelines: list[tuple[str, str]]) -> None:
    infos = []
    for number, (reference, _) in enumerate(timelines):
        onset, length = reference.find("#") * 10, reference.count("#") * 10
        events = (Event(onset, length, "sz"),) if length else ()
        name = f"sub-{person}_ses-01_task-szMonitoring_run-{number:02}"
        start = "2000-01-01T00:00:00"
        infos.append(
            RecordingInfo(
                name, person, person, number * 40, 40, number * 160, 160, 160.0, start, (True, True), events
            )
        )
    labels = np.concatenate([_seconds(reference) for reference, _ in timelines]).astype(np.uint8)
    blocks = [np.full((40, *SPEC.shape), int(person), np.float32) for _ in timelines]
    provenance = {"encoder": {"persons_seen": ["02", "99"]}}
    write_file(path / f"sub-{person}.h5", SPEC, infos, labels, blocks, provenance)


def _finish(run: Run, fold: Fold) -> None:
    """Finish a fold whose head knows its validation persons well: 0.5 parts what it says of them."""
    history = (
        {"epoch": 1, "loss": 0.7, "validation_auroc": 0.9},
        {"epoch": 2, "loss": 0.5, "validation_auroc": 0.8},
    )
    result = FoldResult(fold, run.fold_path(fold.name), 1, 0.5, history)
    said = {
        f"sub-{person}_ses-01_task-szMonitoring_run-{number:02}": _probabilities(reference)
        for person in fold.validation
        for number, (reference, _) in enumerate(PERSONS[person])
    }
    result.write_validation(said)
    run.finish_fold(result)


def _probabilities(timeline: str) -> np.ndarray:
    return np.where(_seconds(timeline), 0.75, 0.25).astype(np.float32)


def _read(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run.path / "metrics.json").read_text())
    return content


def _fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run a command that must fail; return its one line."""
    assert main([str(arg) for arg in argv]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_metrics_are_those_of_the_timelines(run: Run) -> None:
    assert main([str(run.path), "--no-report"]) == 0
    content = _read(run)
    assert list(content["persons"]) == ["01", "02", "03"]
    assert content["persons"]["01"]["event"] == pytest.approx(
        {"sensitivity": 1.0, "precision": 0.5, "f1": 2 / 3, "fp_per_day": 270.0}
    )
    assert content["persons"]["02"]["event"] == {
        "sensitivity": 0.0,
        "precision": None,
        "f1": 0.0,
        "fp_per_day": 0.0,
    }
    assert content["persons"]["03"]["auroc"] is None
    assert content["persons"]["02"]["seconds"] == 160
    assert content["persons"]["02"]["ictal_seconds"] == 40
    assert content["mean"]["event"]["sensitivity"] == 0.5
    assert content["defined"]["event"]["sensitivity"] == 2


def test_means_and_sds_are_those_of_szcore_evaluation(run: Run) -> None:
    """Figures of szcore-evaluation 0.0.7 for these predictions and references, its sds times sqrt(n / (n - 1))."""
    main([str(run.path), "--no-report"])
    content = _read(run)
    wanted = {
        "mean": {"event": (0.5, 0.5, 1 / 3, 90.0), "sample": (0.25, 2 / 3, 0.2857142857, 900.0)},
        "sd": {
            "event": (0.5**0.5, None, 2**0.5 / 3, 155.8845727),
            "sample": (0.125**0.5, None, 0.4040610178, 1558.845727),
        },
    }
    for row, groups in wanted.items():
        for group, figures in groups.items():
            assert tuple(content[row][group].values()) == pytest.approx(figures)


def test_the_same_run_gives_the_same_metrics(run: Run) -> None:
    main([str(run.path), "--no-report"])
    first = _read(run)
    main([str(run.path), "--no-report"])
    assert _read(run) == first


def test_no_report_of_other_scores_stays(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run.path)]) == main([str(run.path), "--no-report"]) == 0
    page, figures = run.path / "report.html", run.path / "figures"
    assert page.is_file()
    (run.path / "comparison").mkdir()
    (figures / "mine.svg").touch()
    path = next(run.path.rglob("sub-01*run-00_probabilities.npy"))
    np.save(path, np.load(path)[::-1])
    capsys.readouterr()
    assert main([str(run.path), "--no-report"]) == 0
    out = capsys.readouterr().out
    assert f"Of the scores before: {run.path / 'comparison'}; give their commands again." in out
    assert f"Removed: {page} and its figures, of other scores" in out
    assert not page.exists()
    assert [file.name for file in figures.iterdir()] == ["mine.svg"]


def test_events_lie_at_the_bids_path(run: Run) -> None:
    main([str(run.path), "--no-report"])
    files = sorted(path.relative_to(run.path) for path in run.path.rglob("*_events.tsv"))
    assert len(files) == 4
    stem = "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00"
    assert files[0] == Path("predictions") / f"{stem}_events.tsv"
    text = (run.path / files[0]).read_text()
    assert text.splitlines()[1:] == ["40.00\t20.00\tsz\t0.75\tn/a\t2000-01-01 00:00:00\t160.00"]
    assert Detections.from_tsv((run.path / files[-1]).read_text(), "x").events == ()


def test_csv_has_a_row_a_person_then_mean_sd_and_interval(run: Run) -> None:
    main([str(run.path), "--no-report"])
    with open(run.path / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["person"] for row in rows] == ["01", "02", "03", "mean", "sd", "ci95_low", "ci95_high"]
    assert rows[0]["seconds"] == "320"
    assert rows[1]["event.precision"] == ""
    assert float(rows[3]["event.sensitivity"]) == 0.5
    assert [rows[0][f"event.{name}"] for name in ("tp", "fn", "fp")] == ["1", "0", "1"]
    assert [float(row["auroc"]) for row in rows[5:]] == _read(run)["ci95"]["auroc"]
    assert float(rows[0]["event.fp_per_day"]) == 270
    notes = {row["fp_per_day_note"] for row in rows}
    assert notes == {"0.2 h of background: too little for a rate, which needs 24 h"}
    background_s = [float(row["seconds"]) - float(row["ictal_seconds"]) for row in rows[:3]]
    assert _read(run)["background_hours"] == pytest.approx(sum(background_s) / 3600)


def test_table_shows_persons_summary_and_where_the_files_are(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(run.path), "--no-report"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run.path}: 3 of 3 persons tested"
    assert lines[1].startswith("AUROC 0.616 (0.500 to 0.732); event sensitivity 0.500 (0.000 to 1.000)")
    assert lines[1].endswith("; 1 false alarm in 0.2 h of background: too little for a rate, which needs 24 h")
    table = lines[3:13]
    assert len({len(line) for line in table}) == 1
    assert [line.split("  ")[0] for line in table] == [
        "person",
        "01",
        "02",
        "03",
        "mean",
        "sd",
        "95 % from",
        "95 % to",
        "persons",
        "sum",
    ]
    assert table[1].split()[1:] == [
        "0.09",
        "40",
        "0.732",
        "0.396",
        "0.109",
        *("1", "0", "1"),
        "1.000",
        "0.500",
        "0.667",
        "0.571",
    ]
    assert table[3].split()[1:] == ["0.04", "0", "-", "-", "0.062", *"000", *"----"]
    assert table[8].split()[1:] == ["3", "3", "2", "2", "3", "3", "3", "3", "2", "1", "2", "2"]
    assert table[4].split()[6:9] == ["0.3"] * 3  # a mean of counts is no whole number
    assert table[9].split()[1:] == ["0.18", "80", *"111"]
    assert str(run.path / "metrics.json") in lines[-3]
    assert str(run.path / "seizures.csv") in lines[-2]
    assert str(run.path / "predictions") in lines[-1]


def test_warnings_name_little_background_and_persons_seen(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(run.path), "--no-report"])
    out = capsys.readouterr().out
    assert "warning: 3 of 3 persons have less than 1 h of background (0.2 h in all): false-alarm rates" in out
    assert "warning: AUROC, AUPRC, sensitivity undefined for person 03 (no seizure): left out of the means" in out
    assert "warning: only 3 tested persons: means and intervals say little about new persons" in out
    assert "warning: the encoder saw persons of these names in pretraining: 02; if they are the tested" in out


def test_scores_that_were_there_before_are_named_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    line = "\nScored before, and the scores are the same.\n"
    main([str(run.path), "--no-report"])
    assert line not in capsys.readouterr().out
    main([str(run.path), "--no-report"])
    assert line in capsys.readouterr().out
    (run.fold_path("02") / "fold.json").unlink()
    main([str(run.path), "--no-report"])
    assert line not in capsys.readouterr().out


def test_only_finished_folds_are_scored(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (run.fold_path("02") / "fold.json").unlink()
    main([str(run.path), "--no-report"])
    out = capsys.readouterr().out
    assert ": 2 of 3 persons tested" in out
    assert "in pretraining" not in out
    assert list(_read(run)["persons"]) == ["01", "03"]


def test_a_moved_store_is_named_by_an_option(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store").rename(tmp_path / "moved")
    assert (
        f"{tmp_path / 'store'}: no such store, but the run was trained on it; if it has moved, give --store"
        in (_fails(capsys, run.path))
    )
    assert main([str(run.path), "--no-report", "--store", str(tmp_path / "moved")]) == 0


def test_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run here" in _fails(capsys, tmp_path)
    assert "no such folder" in _fails(capsys, tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'}: a file, not a run folder" in _fails(capsys, tmp_path / "file")


def test_a_missing_store_is_an_error(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such store" in _fails(capsys, run.path, "--store", tmp_path / "nowhere")


def test_post_processing_is_chosen_for_every_fold(run: Run) -> None:
    main([str(run.path), "--no-report"])
    for name in ("01", "02", "03", "final"):
        content = json.loads((run.fold_path(name) / "postprocessing.json").read_text())
        chosen = [content[key] for key in ("threshold", "hysteresis_ratio", "smoothing_s", "min_duration_s")]
        assert chosen == [0.5, 1.0, 1, 1]
        assert content["validation"]["event"] == {"f1": 1.0, "fp_per_day": 0.0}
        assert 0.5 in content["tried"]["threshold"]


def test_a_final_fold_alone_gets_its_post_processing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for person in PERSONS:
        (run.fold_path(person) / "fold.json").unlink()
    assert main([str(run.path)]) == 0
    assert "post-processing is chosen; no finished fold has a test person" in capsys.readouterr().out
    assert (run.fold_path("final") / "postprocessing.json").is_file()
    assert not (run.path / "metrics.json").exists()


def test_a_run_without_finished_folds_is_an_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for path in run.path.glob("folds/*/fold.json"):
        path.unlink()
    command = run.command_for("all")
    assert f"--store {run.config['store']['path']} --fold all --out {run.path}" in command
    assert f"{run.path}: no finished fold; {command} makes them" in _fails(capsys, run.path)


def test_missing_validation_predictions_are_an_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (run.fold_path("02") / "validation.npz").unlink()
    assert "02/validation.npz: no validation predictions" in _fails(capsys, run.path)


def test_a_missing_prediction_is_an_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(run.path.rglob("sub-02*_probabilities.npy"))
    path.unlink()
    assert f"{path}: no prediction" in _fails(capsys, run.path)


def test_a_prediction_that_is_not_finite_is_an_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(run.path.rglob("sub-02*_probabilities.npy"))
    np.save(path, np.full(160, np.nan, np.float32))
    error = _fails(capsys, run.path)
    assert f"{path}: damaged (160 values are not probabilities from 0 to 1, the first is nan); remove" in error


@pytest.mark.parametrize("side", ["test", "validation"])
def test_a_fold_of_persons_that_the_store_does_not_hold_is_an_error(
    run: Run, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    path = run.fold_path("02") / "fold.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), side: ["77"]}))
    assert f"{path}: names persons that" in (error := _fails(capsys, run.path))
    assert "does not hold (77); train the fold again" in error


def test_workers_choose_the_same(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    written = [*(run.path / "folds" / name / "postprocessing.json" for name in PERSONS), run.path / "metrics.json"]
    assert main([str(run.path), "--no-report"]) == 0
    alone = [path.read_bytes() for path in written]
    assert main([str(run.path), "--no-report", "--jobs", "2"]) == 0
    assert [path.read_bytes() for path in written] == alone
    assert main([str(run.path), "--no-report", "--jobs", "0"]) == 2
    assert "--jobs 0: not usable; allowed: 1 and more" in capsys.readouterr().err


def test_a_store_that_names_no_versions_is_scored_and_reported(run: Run) -> None:
    config = json.loads((run.path / "config.json").read_text())
    config["store"]["provenance"].pop("versions", None)
    del config["versions"]
    (run.path / "config.json").write_text(json.dumps(config))
    assert main([str(run.path)]) == 0
    assert "not on record" in (run.path / "report.html").read_text()


def test_a_damaged_file_of_a_run_is_one_line_or_does_no_harm(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of each kind that scoring reads, cut off, emptied, and filled with other content."""
    fold = run.fold_path("02")
    for path in (
        run.path / "config.json",
        fold / "fold.json",
        fold / "validation.npz",
        next(run.path.rglob("sub-02*_probabilities.npy")),
    ):
        content = path.read_bytes()
        for damage in (b"", content[: len(content) // 2], b"[]", b"null", b"\x93NUMPY\xff", b'{"store": 1}'):
            path.write_bytes(damage)
            capsys.readouterr()
            status = main([str(run.path), "--no-report"])
            error = capsys.readouterr().err
            assert (status, error.count("\n")) in ((0, 0), (2, 1)), f"{path}: {error}"
        path.write_bytes(content)
