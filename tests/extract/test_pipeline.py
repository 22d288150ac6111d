"""Recordings to a store: what is stored, what is refused, what is kept after a failure."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import store
from extract.encode_recording import encode_recordings
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.io.bids import find_recordings
from extract.io.montage import CHANNELS
from extract.io.windows import resample
from extract.planning import stored_recording
from extract.planning.encode_settings import EncodeSettings
from store import Event
from store.reader import StoreFile
from tests.helpers.eeg import HEADER, RATE_HZ, noise_uv, write_recording
from tests.helpers.extraction import Data
from tests.helpers.processes import content


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Two persons, two recordings each: 10.5 s with a seizure and 8 s without."""
    for number, subject in enumerate(("01", "02")):
        write_recording(tmp_path / "bids", subject, 0, noise_uv(10.5, number), [Event(2.0, 3.25, "sz_foc")])
        write_recording(tmp_path / "bids", subject, 1, noise_uv(8, number + 10))
    return Data(tmp_path / "bids", tmp_path / "store")


def test_features_are_the_encoder_of_the_resampled_windows(data: Data) -> None:
    assert data.extract("--precision", "float32", encoder="random") == 0
    opened = store.open(data.store)
    info = opened.recordings[0]
    assert (info.name, info.windows, info.seconds, info.duration_s) == (
        "sub-01_ses-01_task-szMonitoring_run-00",
        3,
        11,
        10.5,
    )
    assert info.events == (Event(2.0, 3.25, "sz_foc"),)
    assert info.start == "2026-01-02T03:04:05"
    np.testing.assert_array_equal(opened.labels(info), [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    signal = noise_uv(10.5, 0)[:, 4 * RATE_HZ : 8 * RATE_HZ]
    wanted = load_encoder(EncoderSettings(encoder="random", precision="float32")).encode(
        resample(signal[None].astype(np.float32), 2048)
    )
    found = opened.features(info)[1].astype(np.float32)
    assert np.linalg.norm(found - wanted[0]) / np.linalg.norm(wanted) < 2e-3  # 16 bits of EDF, then of float16


def test_only_what_is_asked_is_extracted(data: Data) -> None:
    assert data.extract("--subject", "02") == 0
    assert store.open(data.store).persons == ("02",)
    assert data.extract() == 0
    assert store.open(data.store).persons == ("01", "02")


def test_parts_go_when_the_subject_is_there(data: Data) -> None:
    assert data.extract() == 0
    assert sorted(path.name for path in data.store.iterdir()) == ["sub-01.h5", "sub-02.h5"]


def test_a_second_extraction_does_nothing(data: Data, capsys: pytest.CaptureFixture) -> None:
    data.extract()
    before = {path: path.stat().st_mtime_ns for path in data.store.glob("*.h5")}
    assert data.extract() == 0
    assert {path: path.stat().st_mtime_ns for path in data.store.glob("*.h5")} == before
    assert "2 subjects complete" in capsys.readouterr().out


def test_another_may_publish_while_parts_are_looked_at(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [data.extract("--shard", f"{shard}/4") for shard in (1, 2, 3)] == [0, 0, 0]
    verify = StoreFile.verify
    others = []

    def verify_after_another(part: StoreFile) -> None:
        monkeypatch.setattr(StoreFile, "verify", verify)
        others.append(data.extract())
        verify(part)

    monkeypatch.setattr(StoreFile, "verify", verify_after_another)
    assert data.extract("--shard", "4/4") == 0
    assert others == [0]
    assert sorted(path.name for path in data.store.rglob("*.h5")) == ["sub-01.h5", "sub-02.h5"]


def test_processes_give_the_same_store(data: Data, tmp_path: Path) -> None:
    data.extract()
    other = Data(data.bids, tmp_path / "other")
    assert other.extract("--jobs", "2") == 0
    assert store.open(other.store).checksums == store.open(data.store).checksums


def test_progress_is_told_of_every_window(data: Data) -> None:
    told: list[int] = []
    settings = EncodeSettings(store=data.store, encoder="bandpower")
    results = list(encode_recordings(find_recordings(data.bids), settings, told.append))
    assert [result.windows for result in results] == [3, 2, 3, 2]
    assert sum(told) == 10
    again = list(encode_recordings(find_recordings(data.bids), settings, told.append))
    assert [(result.windows, result.error) for result in again] == [(0, None)] * 4
    assert sum(told) == 10


def test_a_bad_recording_leaves_the_others_and_is_named(data: Data, capsys: pytest.CaptureFixture) -> None:
    """Its subject is not published; when it is mended, only it is encoded."""
    path = data.bids / "sub-01" / "ses-01" / "eeg" / "sub-01_ses-01_task-szMonitoring_run-01_events.tsv"
    good = path.read_text()
    path.unlink()
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "1 subject complete" in out
    assert "run-01_events.tsv: no such events file; write one" in err
    assert store.open(data.store).persons == ("02",)
    parts = list((data.store / ".parts" / "sub-01").glob("*.h5"))
    assert [part.name for part in parts] == ["sub-01_ses-01_task-szMonitoring_run-00.h5"]
    path.write_text(good)
    assert data.extract("--check") == 1
    assert "of these, 1 recording encoded before, used again if nothing" in capsys.readouterr().out
    assert data.extract() == 0
    assert "0.00 h of EEG" in capsys.readouterr().out
    assert store.open(data.store).persons == ("01", "02")


def replace_run(data: Data, change: Callable[[np.ndarray], np.ndarray]) -> None:
    write_recording(data.bids, "01", 1, change(noise_uv(8, 10)))


def flat(signal: np.ndarray) -> np.ndarray:
    signal[3] = 0
    return signal


def write_events(data: Data, row: str) -> None:
    path = data.bids / "sub-01" / "ses-01" / "eeg" / "sub-01_ses-01_task-szMonitoring_run-01_events.tsv"
    path.write_text(f"{HEADER}\n{row}\n")


def truncate(data: Data) -> None:
    path = data.bids / "sub-01" / "ses-01" / "eeg" / "sub-01_ses-01_task-szMonitoring_run-01_eeg.edf"
    path.write_bytes(path.read_bytes()[:-5000])


def rename_channel(data: Data) -> None:
    names = ["ECG" if name == "CZ-PZ" else name for name in CHANNELS]
    write_recording(data.bids, "01", 1, noise_uv(8, 10), names=names)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: write_events(data, "2.00\t90.00\tsz\tn/a\tn/a\tn/a\t8.00"), "past the recording's end"),
        (lambda data: write_events(data, "2.00\t3.00\tspike\tn/a\tn/a\tn/a\t8.00"), "unknown eventType 'spike'"),
        (lambda data: replace_run(data, flat), "flat from beginning to end: P3-O1; .* --missing zero"),
        (lambda data: replace_run(data, lambda x: x * 1e-3), "the unit in the header is probably wrong"),
        (truncate, "run-01_eeg.edf: "),
        (rename_channel, "CZ-PZ.*--missing zero"),
    ],
)
def test_bad_recordings_are_one_line_each(
    data: Data, spoil: Callable[[Data], None], message: str, capsys: pytest.CaptureFixture
) -> None:
    spoil(data)
    assert data.extract() == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  sub-01")]
    assert re.search(message, line)
    assert sorted(path.name for path in data.store.rglob("*") if path.is_file()) == [
        "sub-01_ses-01_task-szMonitoring_run-00.h5",
        "sub-02.h5",
    ]


def test_missing_channels_as_zeros_are_marked(data: Data) -> None:
    replace_run(data, flat)
    assert data.extract("--missing", "zero") == 0
    opened = store.open(data.store)
    marked = opened.recordings[1]
    assert [CHANNELS[c] for c, there in enumerate(marked.channel_mask) if not there] == ["P3-O1"]
    sums = opened.moments("01")
    assert sums.count[3] == opened.recordings[0].windows * 4
    assert sums.count[2] == (opened.recordings[0].windows + marked.windows) * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subject", "07"], "no EEG of subject 07; subjects there: 01, 02"),
        (["--stride", "5"], "stride is 5 s; allowed: whole seconds from 1 to the window's 4"),
        (["--beam", "8"], "--beam 8: goes with --features codes, not with latents; leave it out, or store codes"),
        (["--quantizers", "2", "--features", "latents"], "--quantizers 2: goes with --features codes, not with"),
        (["--device", "abacus"], "device abacus: not usable here"),
    ],
)
def test_mistakes_before_anything_starts(
    data: Data, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert data.extract(*arguments, encoder="random") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m extract: error: ")
    assert message in line
    assert not data.store.exists()


def test_no_such_folder_and_no_eeg(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert Data(tmp_path / "none", data.store).extract() == 2
    assert "none: no such folder; give the folder of a BIDS data set" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert Data(tmp_path / "empty", data.store).extract() == 2
    assert "empty: no EEG in this folder" in capsys.readouterr().err


def test_unreadable_checkpoint(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    assert data.extract(encoder=str(tmp_path / "bad.pt")) == 2
    assert "bad.pt" in capsys.readouterr().err


def test_chosen_subjects_are_named_and_all_are_counted(data: Data, capsys: pytest.CaptureFixture) -> None:
    data.extract()
    assert f"2 subjects complete in {data.store}; " in capsys.readouterr().out
    data.extract("--subject", "02")
    assert f"sub-02 complete in {data.store}, which holds 2 subjects; " in capsys.readouterr().out


def test_another_spec_does_not_mix(data: Data, capsys: pytest.CaptureFixture) -> None:
    data.extract("--subject", "01")
    assert data.extract("--stride", "2") == 2
    assert "sub-01.h5: stride_s is 4, wanted 2; use its options, or another --store" in capsys.readouterr().err
    assert store.open(data.store).persons == ("01",)


def test_a_data_set_that_grew_is_followed(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What is new is encoded and joins what is there, as if all had been there from the beginning."""
    data.extract()
    write_recording(data.bids, "01", 2, noise_uv(8, 20))
    capsys.readouterr()
    assert data.extract() == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "sub-01: encoded 1 recording (new)"
    assert out[2] == "5 recordings found: 1 encoded, 4 up to date, 0 left out"
    fresh = Data(data.bids, tmp_path / "fresh")
    fresh.extract()
    assert content(data.store) == content(fresh.store)


def test_a_published_file_is_opened_once_for_all_new_recordings(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to add recordings grows with those that are added."""
    data.extract()
    for number in range(3, 9):
        write_recording(data.bids, "01", number, noise_uv(8, number))
    opened = []
    open_file = stored_recording.open_file

    def count(path: Path) -> StoreFile:
        opened.append(path)
        return open_file(path)

    monkeypatch.setattr(stored_recording, "open_file", count)
    assert data.extract() == 0
    assert opened == [data.store / "sub-01.h5"]
    assert len(open_file(opened[0]).recordings) == 8


def test_full_disk_stops_with_one_line(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("store.writer.shutil.disk_usage", lambda path: usage)
    assert data.extract() == 2
    assert "disk full" in capsys.readouterr().err.splitlines()[-1]
    assert not list(data.store.rglob("*.h5"))
    monkeypatch.undo()
    assert data.extract() == 0


def test_persons_join_the_cases_of_chb_mit(tmp_path: Path) -> None:
    for seed, subject in enumerate(("chb01", "chb21", "chb02")):
        write_recording(tmp_path / "bids", subject, 0, noise_uv(8, seed))
    assert Data(tmp_path / "bids", tmp_path / "store").extract() == 0
    assert store.open(tmp_path / "store").persons == ("chb01", "chb02")


def test_the_data_set_is_no_store(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    assert Data(data.bids, data.bids).extract() == 2
    assert "or a link to it; give another folder to write to" in capsys.readouterr().err
    assert not list(data.bids.glob("*.h5"))
