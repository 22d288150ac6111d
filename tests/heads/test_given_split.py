"""A given split: read, refused, trained, scored, and its head used on other data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import store
from eval.__main__ import main as evaluate
from heads.dataset import StoreDataset
from heads.folds import Fold
from heads.inference import aurocs
from heads.models.saved import load_head
from heads.probe import main as probe
from heads.run_folder import Run
from heads.run_folder.given_split import read_split
from heads.settings import TrainSettings
from heads.sweep import main as sweep
from heads.train import main as train
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.runtime.errors import UserError
from store.writer import relabel_file
from tests.helpers.stores import write_subject

QUICK = ["--epochs", "3", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu"]
PARTS = {"01": "train", "02": "eval", "03": "dev", "04": "train", "05": "Test", "06": "validation"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose participants have a split, one validation person without seizures."""
    for number, (person, part) in enumerate(PARTS.items()):
        columns = {"participant_id": f"sub-{person}", "split": part}
        write_subject(tmp_path / "store", person, (120, 90), number, dataset="TUSZ", participant=columns)
    opened = store.open(tmp_path / "store").file_of("06")
    rows = [replace(info, events=()) for info in opened.recordings]
    known = {"dataset": "TUSZ", "participant": opened.participant}
    relabel_file(opened.path, recordings=rows, labels=np.zeros_like(opened.labels), **known)
    return tmp_path / "store"


def write_table(path: Path, rows: dict[str, str], column: str = "person") -> Path:
    lines = [f"{column}\tsplit", *(f"{name}\t{part}" for name, part in rows.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_split_of_the_data_set_trains_chooses_and_tests(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["--store", str(path), "--split", "participants:split", "--out", str(run), *QUICK]
    assert train(arguments) == 0
    assert "fold split: best epoch" in capsys.readouterr().out
    (result,) = Run.open(run).folds
    assert result.fold == Fold("split", test=("02", "05"), validation=("03", "06"), train=("01", "04"))
    assert Run.open(run).config["settings"]["split"] == "participants:split"
    assert evaluate([str(run)]) == 0
    assert "given split participants:split: 2 persons to train, 2 to choose, 2 to test" in capsys.readouterr().out
    content = json.loads((run / "metrics.json").read_text())
    assert list(content["persons"]) == ["02", "05"]
    assert content["split"] == {"given": "participants:split", "train": 2, "validation": 2, "test": 2}
    assert "2 persons to train, 2 to choose" in (run / "report.html").read_text()
    before = (result.path / "fold.json").stat().st_mtime_ns
    assert train(arguments) == 0
    assert (result.path / "fold.json").stat().st_mtime_ns == before


def test_the_head_is_that_of_its_train_persons_and_the_epoch_that_of_its_validation_persons(
    path: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ["--store", str(path), "--split", "participants:split", "--out", str(run), *QUICK]
    assert train([*arguments, "--seed", "3", "--context-s", "1"]) == 0
    (result,) = Run.open(run).folds
    head, _, threshold = load_head(result.head_path)
    dataset = StoreDataset(store.open(path))
    settings = {**Run.open(run).config["settings"]}
    del settings["inner"], settings["split"]
    trial = Trial(Fold("other", (), ("03", "06"), ("01", "04")), TrainSettings(**settings))
    (alone,) = train_stacked([trial], dataset, head.mean.device, tmp_path / "training.pt")
    assert all(value.equal(head.state_dict()[name]) for name, value in alone.head.state_dict().items())
    assert alone.threshold == threshold
    said = result.validation_probabilities()
    assert {name[4:6] for name in said} == {"03", "06"}
    labels = np.concatenate([dataset.labels_of(info) for info, _ in dataset.recordings_of("03")])
    scores = np.concatenate([said[info.name] for info, _ in dataset.recordings_of("03")])
    found = result.history[result.best_epoch - 1]["validation_auroc"]
    assert aurocs(labels, scores[None])[0] == pytest.approx(found, abs=0.02)  # sampled background, bfloat16


def test_a_table_splits_by_person_or_by_subject(path: Path, tmp_path: Path) -> None:
    opened = store.open(path)
    expected = {"01": "train", "02": "test", "03": "validation", "04": "train", "05": "test", "06": "validation"}
    assert read_split("participants:split", opened) == expected
    by_person = write_table(tmp_path / "person.tsv", {**PARTS, "99": "train"})
    assert read_split(str(by_person), opened) == {**expected, "99": "train"}
    by_person = write_table(tmp_path / "prefixed.tsv", {f"sub-{person}": part for person, part in PARTS.items()})
    assert read_split(str(by_person), opened) == expected
    subjects = {f"sub-{name}": part for name, part in PARTS.items()} | {"sub-99": "dev"}
    by_subject = write_table(tmp_path / "subject.tsv", subjects, "participant_id")
    assert read_split(str(by_subject), opened) == {**expected, "sub-99": "validation"}


def test_persons_of_a_table_that_the_store_lacks_are_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for column, prefix in (("person", ""), ("participant_id", "sub-")):
        rows = {f"{prefix}{person}": part for person, part in {**PARTS, "98": "test", "99": "dev"}.items()}
        table = write_table(tmp_path / f"{column}.tsv", rows, column)
        arguments = ["--store", str(path), "--split", str(table), "--out", str(tmp_path / column)]
        assert probe([*arguments, "--method", "lda"]) == 0
        named = f"--split {table}: persons {prefix}98, {prefix}99 not in the store, left out\n"
        assert named in capsys.readouterr().out


def test_sweep_and_probe_take_a_split(path: Path, tmp_path: Path) -> None:
    table = str(write_table(tmp_path / "split.tsv", PARTS))
    arguments = ["--store", str(path), "--split", table, "--out"]
    assert sweep([*arguments, str(tmp_path / "sweep"), "--lr", "1e-2", "1e-3", *QUICK]) == 0
    for method in ("logistic", "lda", "ridge"):
        assert probe([*arguments, str(tmp_path / method), "--method", method]) == 0
    for name in ("sweep", "logistic", "lda", "ridge"):
        run = Run.open(tmp_path / name)
        (result,) = run.folds
        assert result.fold == Fold("split", ("02", "05"), ("03", "06"), ("01", "04"))
        assert {recording[4:6] for recording in result.validation_probabilities()} == {"03", "06"}
        assert run.config["settings"]["split"] == table
        assert evaluate([str(run.path), "--no-report"]) == 0


@pytest.mark.parametrize("method", ["logistic", "lda"])
def test_a_probe_of_a_split_learns_nothing_of_validation_and_test(path: Path, tmp_path: Path, method: str) -> None:
    """Other features of those persons leave the model of each strength as it is."""
    arguments = ["--store", str(path), "--split", "participants:split", "--method", method, "--out"]
    assert probe([*arguments, str(tmp_path / "one")]) == 0
    for seed, person in enumerate(("02", "05"), 77):
        columns = {"participant_id": f"sub-{person}", "split": PARTS[person]}
        write_subject(path, person, (120, 90), seed, signal=9.0, dataset="TUSZ", participant=columns)
    assert probe([*arguments, str(tmp_path / "two")]) == 0
    one, two = (load_head(tmp_path / name / "folds" / "split" / "head.safetensors") for name in ("one", "two"))
    for name, value in one[0].state_dict().items():
        np.testing.assert_allclose(value, two[0].state_dict()[name], rtol=1e-4, atol=1e-6)
    assert one[2] == pytest.approx(two[2], rel=1e-4)


def test_its_head_is_tested_on_other_data(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert train(["--store", str(path), "--split", "participants:split", "--out", run, *QUICK]) == 0
    assert evaluate([run, "--no-report"]) == 0
    write_subject(tmp_path / "other", "11", (150,), 20, dataset="Siena")
    assert evaluate([run, "--on", str(tmp_path / "other"), "--out", str(tmp_path / "on"), "--no-report"]) == 0
    assert "split" not in json.loads((tmp_path / "on" / "metrics.json").read_text())
    assert Run.open(Path(run)).path_of_head_in_use.name == "split"
    capsys.readouterr()
    assert evaluate([run, "--on", str(path), "--out", str(tmp_path / "again")]) == 2
    assert "holds training persons 01, 03, 04, 06 of" in capsys.readouterr().err


def refuse(path: Path, split: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    out = path.parent / "refused"
    assert train(["--store", str(path), "--split", split, "--out", str(out), *QUICK, *more]) == 2
    assert not out.exists()
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_splits_that_cannot_be_are_refused_in_one_line(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "split.tsv"

    def refused(rows: dict[str, str], column: str = "person") -> str:
        return refuse(path, str(write_table(table, rows, column)), capsys)

    assert f"--split {table}: line 3 is 'holdout'; allowed are train, validation" in refused(
        {**PARTS, "02": "holdout"}
    )
    assert f"--split {table}: no part for persons 04, 05 of the store" in refused(
        {person: part for person, part in PARTS.items() if person not in ("04", "05")}
    )
    assert "no part for person 01 of the store (not in the store: 1); allowed are train" in refused(
        {"1" if person == "01" else person: part for person, part in PARTS.items()}
    )
    assert "no test person in the store" in refused({**PARTS, "02": "train", "05": "train"})
    assert "no validation person in the store" in refused({**PARTS, "03": "train", "06": "train"})
    assert "no train person in the store" in refused({**PARTS, "01": "dev", "04": "dev"})
    assert "no validation person has both seizure and background seconds" in refused({**PARTS, "03": "train"})
    assert "no train person has a seizure" in refused(
        {"01": "dev", "02": "test", "03": "dev", "04": "test", "05": "test", "06": "train"}
    )
    assert "columns are name, split; wanted split and person or participant_id" in refused(PARTS, "name")
    assert "no such file; give a table, or participants:COLUMN" in refuse(path, str(tmp_path / "none"), capsys)
    table.write_bytes(b"person\tsplit\n\xff\ttrain\n")
    assert "cannot be read as a table" in refuse(path, str(table), capsys)
    assert "has no such column of participants.tsv; columns there: participant_id, split" in refuse(
        path, "participants:part", capsys
    )
    assert "--inner and --split do not go together" in refuse(path, "participants:split", capsys, "--inner", "2")
    assert "give --fold or --split, not both" in refuse(path, "participants:split", capsys, "--fold", "all")
    assert train(["--store", str(path), *QUICK]) == 2
    assert "nothing to train: give --fold PERSON, all or final, or --split" in capsys.readouterr().err
    assert probe(["--store", str(path), "--fold", "01", "--split", "participants:split"]) == 2
    assert "--fold and --split do not go together" in capsys.readouterr().err


def test_a_person_in_two_parts_is_refused(path: Path, tmp_path: Path) -> None:
    """Subjects of one person, by the participants and by a table."""
    file = store.open(path).file_of("04")
    rows = [replace(info, person="02") for info in file.recordings]
    columns = {"participant_id": "sub-04", "split": "train"}
    relabel_file(file.path, recordings=rows, labels=file.labels, dataset="TUSZ", participant=columns)
    opened = store.open(path)
    with pytest.raises(UserError, match=r"person 02 is in test \(sub-02\) and in train \(sub-04\); a person"):
        read_split("participants:split", opened)
    table = write_table(tmp_path / "split.tsv", {f"sub-{s}": p for s, p in PARTS.items()}, "participant_id")
    with pytest.raises(UserError, match=r"person 02 is in test \(line 3\) and in train \(line 5\)"):
        read_split(str(table), opened)


def test_several_stores_split_by_their_own_columns_or_by_person(path: Path, tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test")):
        name = f"{number + 1:02}"
        write_subject(tmp_path / "siena", name, (90,), 30 + number, dataset="Siena", participant={"split": part})
    joined = store.open_stores([path, tmp_path / "siena"])
    parts = read_split("participants:split", joined)
    assert (parts["store_02"], parts["siena_01"], parts["siena_02"]) == ("test", "train", "test")
    table = write_table(tmp_path / "split.tsv", {"sub-01": "train"}, "participant_id")
    with pytest.raises(UserError, match=r"sub-01 is a subject of several stores \(store_01, siena_01\)"):
        read_split(str(table), joined)


def test_a_person_that_moved_to_another_part_is_named(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "split.tsv", PARTS)
    arguments = ["--store", str(path), "--split", str(table), "--out", str(tmp_path / "run"), "--method", "lda"]
    assert probe(arguments) == 0
    write_table(table, {**PARTS, "04": "test"})
    capsys.readouterr()
    assert probe(arguments) == 2
    assert "fold split was trained on a store or persons that differ" in (error := capsys.readouterr().err)
    assert "(person 04 in another part)" in error
