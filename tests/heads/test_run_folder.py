"""A run folder follows its store and belongs to one training."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import store
from eval.__main__ import main as evaluate
from heads.dataset import INVALID, StoreDataset
from heads.folds import make_folds
from heads.run_folder import Run, describe_run
from heads.train import main as train
from store.reader import open_file
from store.runtime.errors import UserError
from store.writer import relabel_file, write_file
from tests.helpers.processes import PROCESSES, start, wait
from tests.helpers.runs import MAINS, commands
from tests.helpers.stores import SPEC, recording, rename_person, write_subject


def relabel(path: Path, shift: int = 0) -> None:
    """Write a subject anew, its labels shifted as a corrected data set would have them."""
    file = open_file(path)
    relabel_file(path, recordings=file.recordings, labels=np.roll(file.labels, shift))


@pytest.mark.parametrize("command", MAINS)
def test_changed_labels_stop_a_run_and_name_its_folds(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    arguments = commands(path, run)[command]
    assert MAINS[command](arguments) == 0
    before = (run / "folds" / "01" / "fold.json").read_bytes()
    relabel(path / "sub-02.h5", shift=5)
    capsys.readouterr()
    assert MAINS[command](arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "folds 01, 02, 03" in line
    assert "sub-02_ses-01_task-szMonitoring_run-00: labels" in line
    assert "--retrain" in line
    assert evaluate([str(run), "--no-report"]) == 2
    assert "run-00: labels); this affects folds 01, 02, 03" in capsys.readouterr().err
    assert MAINS[command]([*arguments, "--retrain"]) == 0
    (aside,) = run.glob("folds-before-*")
    assert (aside / "folds" / "01" / "fold.json").read_bytes() == before
    assert len(list(aside.glob("predictions/**/*.npy"))) == 3
    assert evaluate([str(run), "--no-report"]) == 0
    assert MAINS[command](arguments) == 0
    assert len(list(run.glob("folds-before-*"))) == 1


def test_another_person_is_a_change(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = make_store(persons=4, lengths_s=(60,)), tmp_path / "run"
    assert train(commands(path, run)["train"]) == 0
    rename_person(path / "sub-02.h5", "01")
    assert train(commands(path, run)["train"]) == 2
    assert "sub-02_ses-01_task-szMonitoring_run-00: person" in capsys.readouterr().err


def test_a_new_person_concerns_what_trains_on_everybody_else(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(commands(path, run)["train"]) == 0
    write_subject(path, "04", (60,), 9)
    assert evaluate([str(run), "--no-report"]) == 0
    assert train(commands(path, run)["train"]) == 2
    assert "folds 01, 02, 03 were trained on a store or persons that differ" in capsys.readouterr().err


def test_the_same_content_written_anew_is_no_change(make_store: Callable[..., Path], tmp_path: Path) -> None:
    """Fingerprints, provenance and the file's own checksum stay outside of the identity."""
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(commands(path, run)["train"]) == 0
    relabel_file(
        path / "sub-02.h5",
        recordings=open_file(path / "sub-02.h5").recordings,
        labels=open_file(path / "sub-02.h5").labels,
        sources={},
        left_out=(),
        participant={"age": "30"},
        dataset="CHB-MIT",
    )
    before = {file: file.stat().st_mtime_ns for file in run.glob("folds/*/*")}
    assert train(commands(path, run)["train"]) == 0
    assert {file: file.stat().st_mtime_ns for file in run.glob("folds/*/*")} == before


def test_a_run_of_the_first_version_goes_on_after_its_store_gained_fingerprints(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(commands(path, run)["train"]) == 0
    config = json.loads((run / "config.json").read_text())
    del config["store"]["identities"], config["store"]["recordings"]
    (run / "config.json").write_text(json.dumps(config))
    relabel(path / "sub-02.h5")
    assert evaluate([str(run), "--no-report"]) == 0
    assert train(commands(path, run)["train"]) == 0
    assert "identities" in json.loads((run / "config.json").read_text())["store"]
    (run / "config.json").write_text(json.dumps(config))
    relabel(path / "sub-02.h5", shift=5)
    assert train(commands(path, run)["train"]) == 2
    assert "(sub-02: content); choose another --out, or --retrain" in capsys.readouterr().err


def test_recordings_without_labels_train_and_choose_nothing(tmp_path: Path) -> None:
    for number, person in enumerate(("01", "02", "03", "04")):
        write_subject(tmp_path / "store", person, (60, 80), number)
    file = open_file(tmp_path / "store" / "sub-02.h5")
    labels = file.labels.copy()
    labels[60:] = 0
    infos = [file.recordings[0], replace(file.recordings[1], labelled=False, events=())]
    relabel_file(file.path, recordings=infos, labels=labels, sources={}, left_out=(), participant={}, dataset="")
    dataset = StoreDataset(store.open(tmp_path / "store"))
    unlabelled = dataset.first_window[infos[1].name] + np.arange(infos[1].windows)
    assert (dataset.labels[unlabelled] == INVALID).all()
    assert dataset.label_counts()["02"].background == 45
    assert not np.isin(dataset.epoch_windows(1, None), unlabelled).any()
    out = tmp_path / "run"
    assert train(commands(tmp_path / "store", out)["train"]) == 0
    assert len(Run.open(out).probabilities(infos[1])) == 80


def test_names_of_persons_stay_in_the_run(tmp_path: Path) -> None:
    persons = {"01": "../../out", "02": "final", "03": "site/1", "04": "é"}
    for number, (subject, person) in enumerate(persons.items()):
        write_subject(tmp_path / "store", subject, (60,), number)
        rename_person(tmp_path / "store" / f"sub-{subject}.h5", person)
    run = tmp_path / "runs" / "run"
    assert train(commands(tmp_path / "store", run)["train"]) == 0
    assert train([*commands(tmp_path / "store", run)["train"], "--fold", "final"]) == 0
    names = {path.name for path in (run / "folds").iterdir()}
    assert names == {"%2E.%2F..%2Fout", "%66inal", "final", "site%2F1", "%C3%A9"}
    assert {result.fold.test for result in Run.open(run).folds} == {
        (),
        *((person,) for person in persons.values()),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "store"]
    assert evaluate([str(run), "--no-report"]) == 0
    counts = StoreDataset(store.open(tmp_path / "store")).label_counts()
    assert make_folds(counts, "site/1") == make_folds(counts, "site%2F1")


def _refuse(number: int, *paths: Path) -> None:
    raise OSError(number, os.strerror(number), *paths[:1])


def _create(path: Path, lr: float, no_links: int | None, barrier: Any, results: Any) -> int:
    if no_links is not None:
        os.link = partial(_refuse, no_links)
    config = {"settings": {"head": "linear", "lr": lr}, "store": CONFIG_STORE}
    barrier.wait()
    try:
        Run.create(path, config)
        results.put((lr, ""))
    except UserError as error:
        results.put((lr, str(error)))
    return 0


CONFIG_STORE = {
    "path": "store",
    "spec": json.loads(SPEC.to_json()),
    "checksums": {},
    "provenance": {"encoder": {}},
}


@pytest.mark.parametrize("no_links", [None, errno.EPERM, errno.ENOTSUP])  # of exFAT, of network file systems
def test_of_two_trainings_with_unlike_settings_one_wins(tmp_path: Path, no_links: int | None) -> None:
    for number in range(10 if no_links is None else 3):
        path, results, barrier = tmp_path / str(number), PROCESSES.Queue(), PROCESSES.Barrier(3)
        log = tmp_path / "log"
        processes = [start(log, _create, path, lr, no_links, barrier, results) for lr in (0.1, 0.2, 0.3)]
        assert [wait(process) for process in processes] == [0, 0, 0], log.read_text()
        answers = dict(results.get() for _ in processes)
        (winner,) = [lr for lr, error in answers.items() if not error]
        assert Run.open(path).config["settings"]["lr"] == winner
        for lr, error in answers.items():
            assert lr == winner or f"settings.lr is {winner}, wanted {lr}" in error
        assert {entry.name for entry in path.iterdir()} - {".lock"} == {"config.json"}


def test_a_folder_of_something_else_is_refused(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = make_store(persons=3, lengths_s=(60,)), tmp_path / "thesis"
    out.mkdir()
    (out / "training-notes.pt").write_text("mine")
    assert train(commands(path, out)["train"]) == 2
    assert (
        f"{out}: holds training-notes.pt and no run; choose another --out, or --force" in capsys.readouterr().err
    )
    assert [entry.name for entry in out.iterdir()] == ["training-notes.pt"]
    assert train([*commands(path, out)["train"], "--force"]) == 0
    assert (out / "training-notes.pt").read_text() == "mine"
    assert train([*commands(path, path)["train"], "--force"]) == 2
    assert "or a link to it; give another folder to write to" in capsys.readouterr().err


def test_a_probe_without_the_store_says_so(tmp_path: Path) -> None:
    info = recording(0, 60)
    write_file(
        tmp_path / "store" / "sub-01.h5",
        SPEC,
        [info],
        np.zeros(60, np.uint8),
        iter([np.zeros((15, *SPEC.shape))]),
        {"encoder": {"name": "random"}, "versions": {}},
    )
    opened = store.open(tmp_path / "store")
    run = Run.create(tmp_path / "run", describe_run({"head": "linear"}, opened))
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(ValueError, match="no such store"):
        run.open_store()


def test_a_run_is_shown_in_a_line() -> None:
    run = Run(Path("runs/a"), {"settings": {"head": "linear", "seed": [0, 1]}, "store": {"recordings": {}}})
    assert [repr(each) for each in (run, run.of_seed(1))] == [
        "<Run runs/a: linear head>",
        "<Run runs/a: linear head, seed 1>",
    ]
