"""A run folder follows its store, belongs to one training, and what is damaged in it is one line."""

import contextlib
import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import store
from eval.__main__ import main as evaluate
from heads.dataset import INVALID, StoreDataset
from heads.folds import Fold, make_folds
from heads.models.saved import load_head
from heads.probe import main as probe
from heads.run_folder import FoldResult, Run, describe_run
from heads.sweep import main as sweep
from heads.train import main as train
from store.reader import open_file
from store.runtime.errors import UserError
from store.writer import relabel_file, write_file
from tests.helpers.stores import SPEC, recording, write_subject

QUICK = ("--epochs", "1", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu")


def relabel(path: Path, **changes: Any) -> None:
    """Change labels or person of a subject as a corrected data set would."""
    file = open_file(path)
    labels = file.labels.copy()
    if shift := changes.pop("shift", 0):
        labels = np.roll(labels, shift)
    infos = [replace(info, **changes) for info in file.recordings]
    relabel_file(path, recordings=infos, labels=labels, sources={}, left_out=(), participant={}, dataset="")


def commands(path: Path, out: Path) -> dict[str, list[str]]:
    where = ["--store", str(path), "--out", str(out)]
    return {"train": [*where, "--fold", "all", *QUICK], "sweep": [*where, *QUICK], "probe": where}


MAINS = {"train": train, "sweep": sweep, "probe": probe}


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
    assert "run-00: labels), which concerns folds 01, 02, 03" in capsys.readouterr().err
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
    relabel(path / "sub-02.h5", person="01")
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
        relabel(tmp_path / "store" / f"sub-{subject}.h5", person=person)
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


def _create(path: Path, lr: float, barrier: Any, results: Any) -> None:
    config = {"settings": {"head": "linear", "lr": lr}, "store": CONFIG_STORE}
    barrier.wait()
    try:
        Run.create(path, config)
        results.put((lr, ""))
    except UserError as error:
        results.put((lr, str(error)))


CONFIG_STORE = {
    "path": "store",
    "spec": json.loads(SPEC.to_json()),
    "checksums": {},
    "provenance": {"encoder": {}},
}


def test_of_two_trainings_with_unlike_settings_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(10):
        path, results, barrier = tmp_path / str(number), context.Queue(), context.Barrier(3)
        processes = [context.Process(target=_create, args=(path, lr, barrier, results)) for lr in (0.1, 0.2, 0.3)]
        for process in processes:
            process.start()
        answers = dict(results.get() for _ in processes)
        for process in processes:
            process.join()
        (winner,) = [lr for lr, error in answers.items() if not error]
        assert Run.open(path).config["settings"]["lr"] == winner
        for lr, error in answers.items():
            assert lr == winner or f"settings.lr is {winner}, wanted {lr}" in error
        assert [entry.name for entry in path.iterdir()] == ["config.json"]


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


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and a run of a fold, and a sweep."""
    folder = tmp_path_factory.mktemp("small")
    for number, person in enumerate(("01", "02", "03")):
        write_subject(folder / "store", person, (60,), number)
    torch.set_num_threads(1)
    assert train(commands(folder / "store", folder / "run")["train"]) == 0
    assert sweep(commands(folder / "store", folder / "sweep")["sweep"]) == 0
    return folder


def damaged(content: bytes) -> dict[str, bytes]:
    """Ways in which a file can be wrong."""
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "other": b"\x00\xff" * 20,
        "list": b"[1, 2]",
        "object": b"{}",
        "deep": b"[" * 100_000,
        "flipped": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "begin flipped": bytes([content[0] ^ 0xFF]) + content[1:],
    }


WRONG = (None, -1, 1e999, "x", [], {}, [None], True, 10**30)
FILES = ("run/config.json", "run/folds/01/fold.json", "run/folds/01/validation.npz", "run/predictions/**/*.npy")
MORE_FILES = ("run/folds/01/head.safetensors", "sweep/cells/*.json", "sweep/cells/*.safetensors")


def use(folder: Path) -> list[int]:
    """Every command on the runs of a folder."""
    statuses = [
        train(commands(folder / "store", folder / "run")["train"]),
        sweep(commands(folder / "store", folder / "sweep")["sweep"]),
        evaluate([str(folder / "run"), "--no-report", "--store", str(folder / "store")]),
    ]
    with contextlib.suppress(UserError):
        load_head(folder / "run" / "folds" / "01" / "head.safetensors")
    return statuses


@pytest.mark.parametrize("pattern", [*FILES, *MORE_FILES])
def test_damaged_files_are_one_line(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    for number, (how, content) in enumerate(damaged(next(small_run.glob(pattern)).read_bytes()).items()):
        folder = Path(shutil.copytree(small_run, tmp_path / str(number)))
        next(folder.glob(pattern)).write_bytes(content)
        capsys.readouterr()
        statuses = use(folder)
        error = capsys.readouterr().err
        assert set(statuses) <= {0, 2}, (how, error)
        assert "Traceback" not in error, how
        assert len([line for line in error.splitlines() if "error:" in line]) == statuses.count(2), how


def mutations(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to the fields of a JSON value, lists by their first entry."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(below for key, entry in entries for below in mutations(entry, (*path, key)))]


@pytest.mark.parametrize("pattern", ["run/config.json", "run/folds/01/fold.json", "sweep/cells/*.json"])
def test_each_field_may_be_wrong(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    rng = np.random.default_rng(0)
    folder = Path(shutil.copytree(small_run, tmp_path / "copy"))
    file = next(folder.glob(pattern))
    original = file.read_text()
    for path in mutations(json.loads(original))[1:]:
        content = json.loads(original)
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        wrong = WRONG[rng.integers(len(WRONG))]
        if rng.random() < 0.2:
            del parent[path[-1]]
        else:
            parent[path[-1]] = wrong
        file.write_text(json.dumps(content))
        capsys.readouterr()
        run = folder / pattern.split("/")[0]
        with contextlib.suppress(UserError):
            Run.open(run).open_store([folder / "store"])
        command = {"run": "train", "sweep": "sweep"}[run.name]
        assert MAINS[command](commands(folder / "store", run)[command]) in (0, 2), (path, wrong)
        assert "Traceback" not in capsys.readouterr().err, (path, wrong)
        shutil.rmtree(folder)
        shutil.copytree(small_run, folder)


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


def test_predictions_of_validation_persons_in_one_array(tmp_path: Path) -> None:
    """Whatever the names are; an archive of an earlier version, an array a recording, is read too."""
    fold = Fold("01", ("01",), ("02",), ("03",))
    result = FoldResult(fold, tmp_path, 1, 0.5, ())
    rng = np.random.default_rng(0)
    names = ("sub-02", "a/b", "file", "%names", "Jos\udce9", "empty")
    values = {name: rng.random(number).astype(np.float32) for number, name in enumerate(reversed(names))}
    result.write_validation(values)
    read = result.validation_probabilities()
    assert list(read) == list(values)
    for name, row in values.items():
        np.testing.assert_array_equal(read[name], row)
    with np.load(result.validation_path) as archive:
        assert len(archive.files) == 3
    np.savez_compressed(result.validation_path, **{"sub-02": values["sub-02"], "%sub-%FF": values["a/b"]})
    read = result.validation_probabilities()
    np.testing.assert_array_equal(read["sub-02"], values["sub-02"])
    np.testing.assert_array_equal(read["sub-\udcff"], values["a/b"])


@pytest.mark.parametrize("seconds", [[3, 4], [-1, 6], [5], [2.0, 3.0]])
def test_predictions_that_do_not_add_up_are_an_error(tmp_path: Path, seconds: list[float]) -> None:
    result = FoldResult(Fold("01", ("01",), ("02",), ("03",)), tmp_path, 1, 0.5, ())
    arrays = {
        "%names": np.frombuffer(b'["a", "b"]', np.uint8),
        "%seconds": np.array(seconds),
        "%probabilities": np.zeros(5, np.float32),
    }
    np.savez_compressed(result.validation_path, **arrays)
    with pytest.raises(UserError, match=r"validation\.npz: damaged"):
        result.validation_probabilities()
