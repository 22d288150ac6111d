"""From data sets as they were downloaded to scores, and the mistakes of a user who links them."""

import json
import os
import shutil
from pathlib import Path

import mne_bids
import pytest

from eval.__main__ import main as evaluate
from extract.__main__ import main as extract
from extract.io.bids import find_recordings
from extract.io.events import read_annotations
from extract.link import main
from heads.train import main as train
from tests.extract.io.datasets.trees import (
    CHBMIT_CHANNELS,
    write_chbmit,
    write_edf,
    write_header,
    write_siena,
    write_tusz,
)
from tests.helpers.paths import REAL

WRITERS = {"chbmit": write_chbmit, "siena": write_siena, "tusz": write_tusz}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, write in WRITERS.items():
        write(folder / name)
    return folder


def score(bids: Path, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Extract, train on all folds and evaluate: ``metrics.json``."""
    store, run = str(folder / "store"), str(folder / "run")
    assert extract(["--bids", str(bids), "--store", store, "--encoder", "bandpower"]) == 0
    quick = ["--epochs", "10", "--lr", "0.01", "--filters", "4", "--hidden", "8"]
    assert train(["--store", store, "--fold", "all", "--out", run, *quick]) == 0
    assert evaluate([run, "--no-report"]) == 0
    return json.loads((folder / "run" / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("name", "persons", "ictal_s"),
    [
        ("chbmit", {"01": 40, "02": 25, "24": 25}, 90),  # chb21 is chb01
        ("siena", {"00": 45, "01": 34, "06": 54, "11": 20}, 153),
        ("tusz", {"aaaaaaac": 55, "aaaaaaju": 20, "aaaaaajy": 25, "aaaaaaaq": 35}, 135),
    ],
)
def test_from_a_download_to_scores(
    data: Path, tmp_path: Path, name: str, persons: dict[str, int], ictal_s: int, capsys: pytest.CaptureFixture
) -> None:
    assert main([name, str(data / name), str(tmp_path / "bids")]) == 0
    assert f"seizures of {ictal_s} s" in capsys.readouterr().out
    metrics = score(tmp_path / "bids", tmp_path)
    assert {person: fields["ictal_seconds"] for person, fields in metrics["persons"].items()} == persons
    assert metrics["mean"]["auroc"] > 0.9
    assert {path.name for path in (tmp_path / "run" / "folds").iterdir()} == set(persons)


def test_two_cases_are_one_girl(data: Path, tmp_path: Path) -> None:
    assert main(["chbmit", str(data / "chbmit"), str(tmp_path / "bids")]) == 0
    persons = {recording.subject: recording.person for recording in find_recordings(tmp_path / "bids")}
    assert persons == {"01": "01", "02": "02", "21": "01", "24": "24"}


def test_real_summaries_with_eeg_of_their_lengths(tmp_path: Path) -> None:
    """A recording of five cases each, as long as its last annotated seizure and a minute."""
    if not (REAL / "chbmit-summaries").is_dir():
        pytest.skip("needs ../shared/data/chbmit-summaries, real annotations that do not travel with the project")
    seizures = {
        "chb01/chb01_21.edf": (327, 420),
        "chb02/chb02_16.edf": (130, 212),
        "chb20/chb20_12.edf": (94, 123),
        "chb21/chb21_19.edf": (1288, 1344),
        "chb24/chb24_07.edf": (38, 60),
    }
    source = tmp_path / "chbmit"
    for number, (name, (onset_s, stop_s)) in enumerate(seizures.items()):
        summary = Path(name).parent / f"{Path(name).parent}-summary.txt"
        write_edf(source / name, stop_s + 60, CHBMIT_CHANNELS, [(onset_s, stop_s)], rate_hz=50, seed=number)
        shutil.copy(REAL / "chbmit-summaries" / summary, source / summary)
    for name in ("RECORDS", "SUBJECT-INFO"):
        shutil.copy(REAL / "chbmit-summaries" / name, source / name)
    assert main(["chbmit", str(source), str(tmp_path / "bids")]) == 0
    metrics = score(tmp_path / "bids", tmp_path)
    assert {person: fields["ictal_seconds"] for person, fields in metrics["persons"].items()} == {
        "01": 420 - 327 + 1344 - 1288,
        "02": 212 - 130,
        "20": 123 - 94,
        "24": 60 - 38,
    }
    assert metrics["mean"]["auroc"] > 0.9


def test_whole_chbmit_by_its_headers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """All 686 recordings as headers alone: linking reads nothing else."""
    if not (REAL / "chbmit-summaries").is_dir():
        pytest.skip("needs ../shared/data/chbmit-summaries, real annotations that do not travel with the project")
    shutil.copytree(REAL / "chbmit-summaries", tmp_path / "chbmit")
    for line in (tmp_path / "chbmit" / "RECORDS").read_text().split():
        write_header(tmp_path / "chbmit" / line, 4 * 3600)
    assert main(["chbmit", str(tmp_path / "chbmit"), str(tmp_path / "bids")]) == 0
    printed = capsys.readouterr().out
    assert "23 persons, 676 recordings, 2704.00 h, 198 seizures of 11611 s" in printed
    assert "not in the annotations (10), left out" in printed
    assert "chb24/chb24_22.edf" in printed
    assert main(["chbmit", str(tmp_path / "chbmit"), str(tmp_path / "bids"), "--unlisted", "bckg"]) == 0
    printed = capsys.readouterr().out
    assert "23 persons, 686 recordings, 2744.00 h, 198 seizures of 11611 s" in printed
    assert "files: 20 added, 1 changed, 0 removed" in printed
    assert "not in the annotations (10), taken as background: chb24/chb24_02.edf" in printed


def test_linking_again_says_what_changed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(data / "chbmit", tmp_path / "chbmit")
    command = ["chbmit", str(tmp_path / "chbmit"), str(tmp_path / "bids")]
    assert main(command) == 0
    (tmp_path / "chbmit" / "chb02" / "chb02_16.edf").unlink()
    summary = tmp_path / "chbmit" / "chb24" / "chb24-summary.txt"
    summary.write_text(summary.read_text().replace("Time:  5 seconds", "Time:  6 seconds"))
    capsys.readouterr()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "3 persons, 5 recordings, 0.08 h, 5 seizures of 89 s" in printed
    assert "files: 0 added, 2 changed, 2 removed, 17 unchanged" in printed
    assert "in the annotations, not on the disk (1): chb02/chb02_16.edf" in printed


def test_copies_serve_as_links_do(data: Path, tmp_path: Path) -> None:
    assert main(["siena", str(data / "siena"), str(tmp_path / "bids"), "--copy"]) == 0
    files = list((tmp_path / "bids").rglob("*"))
    assert not [path for path in files if path.is_symlink()]
    assert len([path for path in files if path.suffix == ".edf"]) == 6


def test_tree_is_bids(data: Path, tmp_path: Path) -> None:
    for name in WRITERS:
        bids = tmp_path / name
        assert main([name, str(data / name), str(bids)]) == 0
        for path in mne_bids.find_matching_paths(bids, suffixes="eeg", extensions=".edf"):
            assert (path.task, path.datatype) == ("szMonitoring", "eeg")
            sidecar = json.loads((bids / "task-szMonitoring_eeg.json").read_text())
            assert sidecar["TaskName"] == "szMonitoring"
        assert mne_bids.get_entity_vals(bids, "subject")


def test_source_is_only_read(data: Path, tmp_path: Path) -> None:
    for name in WRITERS:
        for folder, _, files in os.walk(data / name):
            for path in (folder, *(f"{folder}/{file}" for file in files)):
                os.utime(path, ns=(7, 7))
        assert main([name, str(data / name), str(tmp_path / name)]) == 0
        assert main([name, str(data / name), str(tmp_path / f"{name}-copy"), "--copy"]) == 0
        times = {path.stat().st_mtime_ns for path in (data / name).rglob("*")}
        assert times == {7}


def test_szcore_reads_the_events(data: Path, tmp_path: Path) -> None:
    annotations = pytest.importorskip("epilepsy2bids.annotations", reason="needs the extra oracle")
    assert main(["siena", str(data / "siena"), str(tmp_path / "bids")]) == 0
    for path in (tmp_path / "bids").rglob("*_events.tsv"):
        theirs = annotations.Annotations.loadTsv(str(path)).events
        ours = read_annotations(path, 60.0).events
        assert [(one["onset"], one["duration"], one["eventType"].value) for one in theirs] == [
            (one.onset_s, one.duration_s, one.kind) for one in ours
        ]


def test_mne_reads_the_tree(data: Path, tmp_path: Path) -> None:
    assert main(["chbmit", str(data / "chbmit"), str(tmp_path / "bids")]) == 0
    path = mne_bids.BIDSPath("02", "01", "szMonitoring", run="01", datatype="eeg", root=tmp_path / "bids")
    raw = mne_bids.read_raw_bids(path, verbose="ERROR")
    assert raw.duration == 60


def test_odd_cases_of_tusz(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A seizure of no length is left out and named; a session in two montage folders is refused."""
    shutil.copytree(data / "tusz", tmp_path / "tusz")
    session = tmp_path / "tusz" / "edf" / "train" / "aaaaaaju" / "s001_2010"
    with (session / "01_tcp_ar" / "aaaaaaju_s001_t003.csv_bi").open("a") as file:
        file.write("TERM,0.0000,0.0000,seiz,1.0000\n")
    command = ["tusz", str(tmp_path / "tusz"), str(tmp_path / "bids")]
    assert main(command) == 0
    assert "aaaaaaju_s001_t003.edf: seizure from 0 to 0 s: without length, left out" in capsys.readouterr().out
    shutil.copytree(session / "01_tcp_ar", session / "03_tcp_ar_a")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "01_tcp_ar/aaaaaaju_s001_t003.edf and edf/train/aaaaaaju/s001_2010/03_tcp_ar_a" in error
    assert "would both be sub-aaaaaaju_ses-001_task-szMonitoring_run-03; move one of them out" in error


def test_full_disk(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fill(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fill)
    assert main(["siena", str(data / "siena"), str(tmp_path / "bids"), "--copy"]) == 2
    assert capsys.readouterr().err.endswith("disk full; make room and run the same command again\n")
    monkeypatch.undo()
    assert main(["siena", str(data / "siena"), str(tmp_path / "bids"), "--copy"]) == 0
    assert "0 removed" in capsys.readouterr().out
    assert not list((tmp_path / "bids").rglob("*.tmp"))


def test_splits_are_a_column(data: Path, tmp_path: Path) -> None:
    assert main(["tusz", str(data / "tusz"), str(tmp_path / "bids")]) == 0
    lines = (tmp_path / "bids" / "participants.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["participant_id", "person_id", "source_id", "sex", "age", "split"]
    assert "sub-aaaaaajy\taaaaaajy\taaaaaajy\tf\t52\tdev" in lines


def test_seizure_past_the_end(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(data / "chbmit", tmp_path / "chbmit")
    write_edf(tmp_path / "chbmit" / "chb01" / "chb01_03.edf", 30, CHBMIT_CHANNELS)
    command = ["chbmit", str(tmp_path / "chbmit"), str(tmp_path / "bids")]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "python -m extract.link: error: chb01/chb01_03.edf: seizure from 20 to 40 s, the file ends at 30 s; "
        "fetch the whole file, or give --past-end cut\n"
    )
    assert not (tmp_path / "bids").exists()
    assert main([*command, "--past-end", "cut"]) == 0
    assert (
        "note: chb01/chb01_03.edf: seizure from 20 to 40 s, the file ends at 30 s: cut" in capsys.readouterr().out
    )


def test_help_lists_the_data_sets(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "chbmit, siena or tusz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "dest", "message"),
    [
        ("absent", "bids", "no such folder; give the folder of the data set as it was downloaded"),
        ("siena", "bids", "no folder chb01 to chb24 in it; give the folder that holds them"),
        ("chbmit", "chbmit/bids", "which is never written to; give a folder elsewhere"),
        ("chbmit", "chbmit", "which is never written to; give a folder elsewhere"),
        ("chbmit", ".", "give a new folder for the tree"),
        ("chbmit", "siena", "exists and was not made by this command; give a new folder"),
        ("chbmit", "siena/subject_info.csv", "exists and was not made by this command; give a new folder"),
    ],
)
def test_mistakes_end_in_one_line(
    data: Path, capsys: pytest.CaptureFixture, source: str, dest: str, message: str
) -> None:
    assert main(["chbmit", str(data / source), str(data / dest)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("python -m extract.link: error: ")
    assert errors.count("\n") == 1
    assert message in errors
