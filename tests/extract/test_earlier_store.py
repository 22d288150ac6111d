"""Extraction into a store that is there: of format version 1, damaged, of other data or with other settings."""

import shutil
from pathlib import Path

import pytest

from extract import demo
from tests.helpers.eeg import HEADER, noise_uv, write_recording
from tests.helpers.extraction import Data, fresh, lines, name_data_set, opened, same_content, set_events
from tests.helpers.paths import DATA
from tests.helpers.processes import content

Capture = pytest.CaptureFixture[str]


def test_another_data_set_with_the_same_subjects(data: Data, tmp_path: Path, capsys: Capture) -> None:
    name_data_set(data.bids, "Siena")
    assert data.extract() == 0
    assert lines(capsys)[0] == "sub-01: updated (data set is called Siena)"
    other = Data(tmp_path / "other", data.store)
    write_recording(other.bids, "01", 0, noise_uv(8, 50))
    name_data_set(other.bids, "CHB-MIT")
    before = content(data.store)
    assert other.extract() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sub-01.h5: holds sub-01 of Siena" in line
    assert "give another --store, or replace it with --force" in line
    assert content(data.store) == before
    assert other.extract("--force") == 0
    assert (opened(data).dataset, opened(data, "02").dataset) == ("CHB-MIT", "Siena")
    assert same_content(opened(data), opened(fresh(other)))


def test_a_damaged_file_of_the_store_stops_its_subject_alone(data: Data, capsys: Capture) -> None:
    path = data.store / "sub-01.h5"
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.read_bytes()
    set_events(data, "02", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "sub-02: relabelled 1 recording (events changed)" in out
    count, line = err.splitlines()  # a line for all of its recordings
    assert count == "1 failed, its subject stays unchanged until you fix it:"
    assert "sub-01.h5: " in line
    assert "remove the file and extract the subject again" in line
    assert path.read_bytes() == damaged
    assert data.extract("--check") == 1


@pytest.mark.usefixtures("without_encoder")
def test_other_settings_are_refused_without_the_encoder(data: Data, capsys: Capture) -> None:
    for more, message in (
        (["--stride", "2"], "sub-01.h5: stride_s is 4, wanted 2; use its options, or another --store"),
        (["--features", "codes"], "features is 'latents', wanted 'codes'"),
    ):
        assert data.extract(*more) == 2
        assert message in capsys.readouterr().err
    assert data.extract(encoder="braincodec") == 2
    assert "encoder is 'bandpower', wanted 'braincodec'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A store of format version 1, and its data set, made again."""
    folder = tmp_path_factory.mktemp("v1")
    shutil.copytree(DATA / "golden-v1" / "bandpower", folder / "store")
    demo.main([str(folder / "bids"), "--persons", "4", "--recordings", "2", "--minutes", "1.5"])
    return Data(folder / "bids", folder / "store")


@pytest.mark.usefixtures("without_encoder")
def test_stores_of_version_1_gain_fingerprints(first_version: Data, tmp_path: Path, capsys: Capture) -> None:
    data = Data(tmp_path / "bids", tmp_path / "store")
    shutil.copytree(first_version.bids, data.bids)
    shutil.copytree(first_version.store, data.store)
    before = {subject: opened(data, subject) for subject in ("01", "02", "03", "04")}
    assert {file.version for file in before.values()} == {1}
    path = next((data.bids / "sub-03").rglob("*_run-00_events.tsv"))
    path.write_text(f"{HEADER}\n1.00\t4.00\tsz\tn/a\tn/a\tn/a\tn/a\n")
    capsys.readouterr()
    assert data.extract("--check") == 1
    assert {subject: opened(data, subject).checksum for subject in before} == {
        subject: file.checksum for subject, file in before.items()
    }
    assert data.extract() == 0
    for subject, file in before.items():
        after = opened(data, subject)
        assert after.version == 2
        assert after.hashes == file.hashes
        assert after.sources.keys() == {info.name for info in file.recordings}
        assert not any(source.witnessed for source in after.sources.values())
        assert (after.identity == file.identity) == (subject != "03")
        assert (file.checksum in after.former_checksums) == (subject != "03")
    out = lines(capsys)
    line = "sub-03: relabelled 1 recording (events changed); updated (fingerprints added, as compared now"
    assert any(said.startswith(line) for said in out)
    assert "8 recordings found: 0 encoded, 1 relabelled, 7 up to date, 0 left out" in out
    assert data.extract("--check") == 0


def test_a_signal_of_another_length_than_in_version_1(first_version: Data, tmp_path: Path) -> None:
    data = Data(tmp_path / "bids", tmp_path / "store")
    shutil.copytree(first_version.bids, data.bids)
    shutil.copytree(first_version.store, data.store)
    name = opened(data).recordings[0].name
    folder = next((data.bids / "sub-01").rglob("eeg"))
    write_recording(tmp_path / "new", "01", 0, noise_uv(20, 3))
    new = next((tmp_path / "new").rglob("*.edf"))
    shutil.copy(new, folder / f"{name}_eeg.edf")
    shutil.copy(new.with_name(new.name.replace("eeg.edf", "events.tsv")), folder / f"{name}_events.tsv")
    assert data.extract() == 0
    after = opened(data)
    assert after.recordings[0].duration_s == 20
    assert [after.sources[info.name].witnessed for info in after.recordings] == [True, False]
