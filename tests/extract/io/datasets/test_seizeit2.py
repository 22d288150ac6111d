"""SeizeIT2 is BIDS as it comes: two channels behind the ear, and other signals in folders beside the EEG."""

import json
from pathlib import Path

import pytest

import store
from eval.__main__ import main as evaluate
from eval.detect import main as detect
from extract.__main__ import main as extract
from extract.io.bids import find_recordings
from extract.io.edf_header import check_channels, check_size, read_header
from extract.io.events import read_annotations
from extract.io.raw import read_duration
from heads.train import main as train
from tests.extract.io.datasets.trees import SEIZEIT2_CHANNELS, write_seizeit2


def test_only_the_eeg_is_found(tmp_path: Path) -> None:
    recordings = find_recordings(write_seizeit2(tmp_path / "seizeit2", seconds=9))
    assert [recording.name for recording in recordings] == [
        f"sub-{subject:03}_ses-01_task-szMonitoring_run-{run:02}" for subject in (1, 2, 3) for run in (1, 2)
    ]
    assert {recording.path.parent.name for recording in recordings} == {"eeg"}
    assert all(recording.events_path.is_file() for recording in recordings)
    assert {read_duration(recording.path) for recording in recordings} == {9.0}


def test_double_banana_names_the_channels_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bids = write_seizeit2(tmp_path / "seizeit2", seconds=60, impedance=False)
    status = extract(["--bids", str(bids), "--store", str(tmp_path / "store"), "--encoder", "bandpower"])
    assert status == 1
    errors = capsys.readouterr().err
    for names in SEIZEIT2_CHANNELS.values():
        assert f"no channel of double-banana can be derived; channels there: {', '.join(names)}" in errors


def test_two_channels_go_the_whole_way(tmp_path: Path) -> None:
    bids, folder = write_seizeit2(tmp_path / "seizeit2", seconds=60), str(tmp_path / "store")
    status = extract(
        ["--bids", str(bids), "--store", folder, "--encoder", "bandpower", "--montage", "behind-the-ear"]
    )
    assert status == 0
    opened = store.open(folder)
    assert (opened.spec.montage, opened.spec.channels) == ("behind-the-ear", ("focal", "cross"))
    assert all(all(info.channel_mask) for info in opened.recordings)
    assert [opened.labels(info).sum() for info in opened.recordings] == [25, 0] * 3
    run = str(tmp_path / "run")
    for head in ("spatial-fusion", "linear"):
        more = ["--head", head, "--out", f"{run}-{head}", "--epochs", "2"]
        assert train(["--store", folder, "--fold", "all", *more]) == 0
        assert train(["--store", folder, "--fold", "final", *more]) == 0
        assert evaluate([f"{run}-{head}", "--bids", str(bids)]) == 0
    metrics = json.loads((tmp_path / "run-linear" / "metrics.json").read_text())
    assert sorted(metrics["persons"]) == sorted(SEIZEIT2_CHANNELS)
    assert "behind-the-ear: focal, cross" in (tmp_path / "run-linear" / "report.html").read_text()
    out = tmp_path / "events.tsv"
    recording = find_recordings(bids)[0]
    assert detect([str(recording.path), str(out), "--run", f"{run}-linear"]) == 0
    assert out.read_text().startswith("onset\tduration\teventType")


def test_as_recorded_says_who_has_what(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bids = write_seizeit2(tmp_path / "seizeit2", seconds=9, impedance=False)
    arguments = ["--bids", str(bids), "--store", str(tmp_path / "store"), "--montage", "as-recorded"]
    assert extract([*arguments, "--channels", "common"]) == 2
    message = capsys.readouterr().err
    for subject, names in SEIZEIT2_CHANNELS.items():
        assert f"sub-{subject} (2 recordings) {', '.join(sorted(names))}" in message
    assert "recordings have no channel in common" in message
    assert not (tmp_path / "store").exists()


def test_signal_beside_annotations_is_whole(tmp_path: Path) -> None:
    bids = write_seizeit2(tmp_path / "seizeit2", seconds=9)
    for recording in find_recordings(bids):
        header = read_header(recording.path)
        assert header.names == (*SEIZEIT2_CHANNELS[recording.subject], "EDF Annotations")
        check_size(recording.path, header)
        check_channels(recording.path, header, (0, 1))


def test_impedance_check_is_background(tmp_path: Path) -> None:
    bids = write_seizeit2(tmp_path / "seizeit2", seconds=60)
    seizures = [read_annotations(recording.events_path, 60.0).events for recording in find_recordings(bids)]
    assert [len(events) for events in seizures] == [1, 0] * 3
