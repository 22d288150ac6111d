"""A store follows its data set: what changed is encoded or labelled again, the rest stays, and all is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import store
from extract import demo
from extract.io.montage import CHANNELS
from store import Event
from store.reader import StoreFile, open_file
from tests.benchmarks import survival
from tests.helpers.eeg import HEADER, noise_uv, write_recording
from tests.helpers.extraction import Data
from tests.helpers.paths import DATA, ROOT

Capture = pytest.CaptureFixture[str]
NAME = "sub-01_ses-01_task-szMonitoring_run-{:02}".format


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two persons, two recordings each, extracted."""
    folder = tmp_path_factory.mktemp("made")
    for number, subject in enumerate(("01", "02")):
        write_recording(folder / "bids", subject, 0, noise_uv(10.5, number), [Event(2.0, 3.25, "sz_foc")])
        write_recording(folder / "bids", subject, 1, noise_uv(8, number + 10))
    data = Data(folder / "bids", folder / "store")
    assert data.extract() == 0
    return data


@pytest.fixture
def data(made: Data, tmp_path: Path, capsys: Capture) -> Data:
    """A copy of it, and nothing said so far."""
    shutil.copytree(made.bids, tmp_path / "bids")
    shutil.copytree(made.store, tmp_path / "store")
    capsys.readouterr()
    return Data(tmp_path / "bids", tmp_path / "store")


@pytest.fixture
def without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any encoding fails."""

    def load(settings: object) -> None:
        raise AssertionError("loads an encoder")

    monkeypatch.setattr("extract.planning.spec.load_encoder", load)
    monkeypatch.setattr("extract.encode_recording.load_encoder", load)


def set_events(data: Data, subject: str, run: int, *rows: str) -> None:
    lines = [HEADER, *(f"{row}\tn/a\tn/a\tn/a\t0" for row in rows)]
    data.events(subject, run).write_text("\n".join([*lines, ""]))


def opened(data: Data, subject: str = "01") -> StoreFile:
    return open_file(data.store / f"sub-{subject}.h5")


def fresh(data: Data, *more: str) -> Data:
    """The data set as it is now, extracted anew."""
    other = Data(data.bids, data.store.with_name("fresh"))
    shutil.rmtree(other.store, ignore_errors=True)
    other.extract(*more)
    return other


def same_content(first: StoreFile, second: StoreFile) -> bool:
    """Whether two files say the same, whatever they were before."""
    names = ("spec", "subject", "person", "recordings", "hashes", "dataset", "sources", "left_out", "participant")
    return (
        all(getattr(first, name) == getattr(second, name) for name in names)
        and first.labels.tolist() == second.labels.tolist()
        and first.features().tobytes() == second.features().tobytes()
    )


def lines(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("without_encoder")
def test_corrected_events_are_relabelled(data: Data, capsys: Capture) -> None:
    before, features = opened(data), opened(data).features().tobytes()
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 0
    out = lines(capsys)
    assert out[0] == "sub-01: relabelled 1 recording (events changed)"
    assert out[2] == "4 recordings found: 0 encoded, 1 relabelled, 3 up to date, 0 left out"
    after = opened(data)
    assert after.recordings[0].events == (Event(6.0, 2.0, "sz_gen"),)
    np.testing.assert_array_equal(after.labels[:11], [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0])
    assert after.features().tobytes() == features
    assert after.identity != before.identity
    after.verify()
    assert not (data.store / ".parts" / "sub-01").exists()


def test_what_is_relabelled_is_as_if_extracted_so(data: Data) -> None:
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    set_events(data, "02", 1, "0.00\t8.00\tbckg")
    (data.bids / "participants.tsv").write_text(
        "participant_id\tperson_id\tage\nsub-01\tanna\t3\nsub-02\tanna\t4\n"
    )
    assert data.extract() == 0
    other = fresh(data)
    for subject in ("01", "02"):
        assert same_content(opened(data, subject), opened(other, subject))
    assert store.open(data.store).persons == ("anna",)
    assert dict(opened(data).participant) == {"participant_id": "sub-01", "person_id": "anna", "age": "3"}


@pytest.mark.usefixtures("without_encoder")
def test_persons_are_relabelled(data: Data, capsys: Capture) -> None:
    (data.bids / "participants.tsv").write_text("participant_id\tperson_id\nsub-01\tx\nsub-02\tx\n")
    assert data.extract() == 0
    assert lines(capsys)[:2] == [
        "sub-01: relabelled 2 recordings (person 01 is x now); updated (participants.tsv changed)",
        "sub-02: relabelled 2 recordings (person 02 is x now); updated (participants.tsv changed)",
    ]
    assert store.open(data.store).persons == ("x",)
    assert data.extract() == 0
    assert "4 recordings found: 0 encoded, 4 up to date, 0 left out" in lines(capsys)


def test_a_replaced_signal_is_encoded(data: Data, capsys: Capture) -> None:
    stats = data.edf("01", 1).stat()
    write_recording(data.bids, "01", 1, noise_uv(8, 99))
    assert data.edf("01", 1).stat().st_size == stats.st_size
    assert data.extract() == 0
    out = lines(capsys)
    assert out[0] == "sub-01: encoded 1 recording (signal changed)"
    assert "4 recordings found: 1 encoded, 3 up to date, 0 left out" in out
    assert survival.content(data.store) == survival.content(fresh(data).store)


def test_signal_and_events_of_one_subject_change(data: Data, capsys: Capture) -> None:
    """The one recording is encoded, the other relabelled, both are published by one replace."""
    write_recording(data.bids, "01", 1, noise_uv(12, 99))
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 0
    out = lines(capsys)
    assert out[0] == "sub-01: relabelled 1 recording (events changed); encoded 1 recording (signal changed)"
    assert "4 recordings found: 1 encoded, 1 relabelled, 2 up to date, 0 left out" in out
    assert survival.content(data.store) == survival.content(fresh(data).store)


@pytest.mark.usefixtures("without_encoder")
def test_a_copied_data_set_is_up_to_date(data: Data, capsys: Capture) -> None:
    """Other times of the files, same content: nothing is written."""
    for path in data.bids.rglob("*_eeg.edf"):
        os.utime(path)
    before = survival.content(data.store)
    assert data.extract() == 0
    assert "4 recordings found: 0 encoded, 4 up to date, 0 left out" in lines(capsys)
    assert survival.content(data.store) == before
    assert data.extract("--check") == 0


def test_signals_are_hashed_only_when_size_or_time_moved(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr("extract.io.fingerprints.hash_signal", lambda path: hashed.append(path) or "")
    assert data.extract() == 0
    assert not hashed
    os.utime(data.edf("01", 0))
    assert data.extract("--check") == 1
    assert hashed == [data.edf("01", 0)]


def test_missing_channels_are_a_policy(data: Data, capsys: Capture) -> None:
    signal_uv = noise_uv(8, 10)
    signal_uv[CHANNELS.index("P3-O1")] = 0
    write_recording(data.bids, "01", 1, signal_uv)
    assert data.extract() == 1
    assert "P3-O1" in capsys.readouterr().err
    assert all(opened(data).recordings[1].channel_mask)  # of the file before
    assert data.extract("--missing", "zero") == 0
    stored = survival.content(data.store)
    assert not all(opened(data).recordings[1].channel_mask)
    capsys.readouterr()
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "flat from beginning to end: P3-O1" in err
    assert "4 recordings found: 0 encoded, 3 up to date, 1 left out" in out.splitlines()
    assert {k: v for k, v in survival.content(data.store).items() if not k.startswith(".parts")} == stored


def test_a_removed_events_file(data: Data, capsys: Capture) -> None:
    """It is refused, then taken without labels if asked, and taken with labels again when it is back."""
    text = data.events("01", 0).read_text()
    data.events("01", 0).unlink()
    before = survival.content(data.store)
    assert data.extract() == 1
    assert "run-00_events.tsv: no such events file; each recording needs one" in capsys.readouterr().err
    assert survival.content(data.store) == before
    assert data.extract("--unlabelled") == 0
    out = lines(capsys)
    assert out[0] == "sub-01: relabelled 1 recording (events file removed)"
    assert f"{NAME(0)}: without events file; its seconds count nowhere in scores" in out
    info = opened(data).recordings[0]
    assert (info.labelled, info.events, opened(data).labels[:11].sum()) == (False, (), 0)
    assert same_content(opened(data), opened(fresh(data, "--unlabelled")))
    data.events("01", 0).write_text(text)
    assert data.extract() == 0
    assert "sub-01: relabelled 1 recording (events file added)" in lines(capsys)
    assert opened(data).recordings[0].labelled
    assert open_file(data.store / "sub-01.h5").labels[:11].sum() == 3


def test_what_is_gone_is_kept_unless_pruned(data: Data, capsys: Capture) -> None:
    write_recording(data.bids, "01", 2, noise_uv(8, 20))
    data.extract()
    data.edf("01", 1).unlink()
    data.events("01", 1).unlink()
    shutil.rmtree(data.bids / "sub-02")
    before = survival.content(data.store)
    capsys.readouterr()
    assert data.extract() == 0
    out = lines(capsys)
    assert f"sub-01: keeps 1 recording gone from the data set ({NAME(1)}); --prune removes what is gone" in out
    assert any(line.startswith("sub-02: keeps 2 recordings gone") for line in out)
    assert "2 recordings found: 0 encoded, 2 up to date, 0 left out" in out
    assert survival.content(data.store) == before
    assert data.extract("--prune") == 0
    out = lines(capsys)
    assert out[:2] == [
        "sub-01: pruned 1 recording (gone from the data set)",
        "sub-02: pruned 2 recordings (gone from the data set)",
    ]
    assert [path.name for path in data.store.glob("*.h5")] == ["sub-01.h5"]
    assert same_content(opened(data), opened(fresh(data)))


def test_prune_looks_at_the_subjects_that_were_asked_for(data: Data) -> None:
    shutil.rmtree(data.bids / "sub-02")
    assert data.extract("--prune", "--subject", "01") == 0
    assert (data.store / "sub-02.h5").exists()


def test_check_says_it_and_changes_nothing(data: Data, capsys: Capture) -> None:
    assert data.extract("--check") == 0
    assert lines(capsys) == ["4 recordings found: 0 to encode, 4 up to date, 0 left out"]
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    write_recording(data.bids, "02", 0, noise_uv(12, 99))
    write_recording(data.bids, "03", 0, noise_uv(8, 98))
    before = survival.content(data.store)
    assert data.extract("--check") == 1
    assert lines(capsys) == [
        "sub-01: relabel 1 recording (events changed)",
        "sub-02: encode 1 recording (signal changed)",
        "sub-03: encode 1 recording (new)",
        "5 recordings found: 2 to encode, 1 to relabel, 2 up to date, 0 left out",
    ]
    assert survival.content(data.store) == before
    assert data.extract() == 0
    assert data.extract("--check") == 0


def test_check_of_no_store(data: Data, tmp_path: Path) -> None:
    assert Data(data.bids, tmp_path / "none").extract("--check") == 1
    assert not (tmp_path / "none").exists()


def test_a_recording_that_cannot_be_used_may_be_left_out(data: Data, capsys: Capture) -> None:
    good = data.edf("01", 1).read_bytes()
    data.edf("01", 1).write_bytes(good[:-5000])
    before = survival.content(data.store)
    assert data.extract() == 1
    assert {k: v for k, v in survival.content(data.store).items() if "/" not in k} == before
    assert data.extract("--skip-unusable") == 0
    capsys.readouterr()
    file = opened(data)
    assert [info.name for info in file.recordings] == [NAME(0)]
    (left_out,) = file.left_out
    assert left_out.name == NAME(1)
    assert left_out.reason.startswith(f"sub-01/ses-01/eeg/{NAME(1)}_eeg.edf: truncated")
    before = survival.content(data.store)
    assert data.extract("--skip-unusable") == 0
    out = lines(capsys)
    assert "4 recordings found: 0 encoded, 3 up to date, 1 left out" in out
    assert any(line.startswith(f"  left out: {NAME(1)}: sub-01/ses-01/eeg/") for line in out)
    assert survival.content(data.store) == before
    assert data.extract("--skip-unusable", "--check") == 0
    assert data.extract() == 1  # without the option it waits to be mended
    data.edf("01", 1).write_bytes(good)
    assert data.extract() == 0
    assert "sub-01: encoded 1 recording (left out before)" in lines(capsys)
    assert same_content(opened(data), opened(fresh(data)))


def test_shards_leave_out_what_another_shard_could_not_use(data: Data, tmp_path: Path) -> None:
    write_recording(data.bids, "01", 2, noise_uv(8, 20))
    data.edf("01", 1).write_bytes(data.edf("01", 1).read_bytes()[:-5000])
    whole, sharded = Data(data.bids, tmp_path / "whole"), Data(data.bids, tmp_path / "sharded")
    assert whole.extract("--skip-unusable") == 0
    assert [sharded.extract("--skip-unusable", "--shard", f"{n}/3") for n in (3, 1, 2)] == [0, 0, 0]
    assert survival.content(sharded.store) == survival.content(whole.store)


def test_a_subject_without_a_usable_recording(data: Data, tmp_path: Path, capsys: Capture) -> None:
    for run in (0, 1):
        data.events("02", run).unlink()
    other = Data(data.bids, tmp_path / "other")
    assert other.extract("--skip-unusable") == 0
    assert [path.name for path in other.store.glob("*.h5")] == ["sub-01.h5"]
    assert "4 recordings found: 2 encoded, 0 up to date, 2 left out" in lines(capsys)


def test_content_that_has_not_been_fetched(data: Data, capsys: Capture) -> None:
    """What is new is left out and said; what is stored stays, and its labels follow all the same."""
    write_recording(data.bids, "02", 2, noise_uv(8, 20))
    for subject, run in (("02", 2), ("01", 0)):
        data.edf(subject, run).unlink()
        data.edf(subject, run).symlink_to("../../../.git/annex/objects/x")
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "run-02_eeg.edf: its content has not been fetched (a link to nothing); fetch it" in err
    assert f"datalad get {data.edf('02', 2).name} (or git annex get)" in err
    assert "5 recordings found: 0 encoded, 1 relabelled, 3 up to date, 1 left out" in out.splitlines()
    assert opened(data).recordings[0].events == (Event(6.0, 2.0, "sz_gen"),)
    assert opened(data).sources[NAME(0)].witnessed
    assert data.extract("--skip-unusable") == 0
    assert [left_out.name for left_out in opened(data, "02").left_out] == [NAME(2).replace("01_ses", "02_ses")]


def test_every_file_is_accounted_for(data: Data, capsys: Capture) -> None:
    folder = data.edf("01", 0).parent
    shutil.copy(data.edf("01", 0), folder / f"Copy of {NAME(0)}_eeg.edf")
    shutil.copy(data.edf("01", 0), folder / f"{NAME(0)}_desc-filtered_eeg.edf")
    data.edf("02", 1).rename(data.edf("02", 1).with_suffix(".EDF"))
    assert data.extract() == 0
    out = lines(capsys)
    assert "6 recordings found: 0 encoded, 4 up to date, 2 left out" in out
    assert [line.split(": ")[0] for line in out if line.startswith("  left")] == ["  left out"] * 2
    assert data.extract("--check") == 0


def test_an_upper_case_file_is_encoded(data: Data, tmp_path: Path) -> None:
    data.edf("02", 1).rename(data.edf("02", 1).with_suffix(".EDF"))
    other = Data(data.bids, tmp_path / "other")
    assert other.extract() == 0
    np.testing.assert_array_equal(opened(other, "02").features(), opened(data, "02").features())


def test_events_that_label_no_second_are_said(data: Data, capsys: Capture) -> None:
    set_events(data, "01", 0, "3.70\t0.50\tsz")
    for _ in range(2):
        assert data.extract() == 0
        said = f"{NAME(0)}: the seizure at 3.70 s (0.50 s) covers more than half of no second: it labels none"
        assert any(line.startswith(said) for line in lines(capsys))
    assert opened(data).recordings[0].events == (Event(3.7, 0.5, "sz"),)
    assert not opened(data).labels.any()


def test_an_event_of_no_duration_is_an_error(data: Data, capsys: Capture) -> None:
    set_events(data, "01", 0, "2.00\t3.00\tsz", "5.00\t0.00\tsz")
    before = survival.content(data.store)
    assert data.extract() == 1
    assert "run-00_events.tsv: line 3: event of duration 0 at 5.00 s" in capsys.readouterr().err
    assert survival.content(data.store) == before


def test_another_data_set_with_the_same_subjects(data: Data, tmp_path: Path, capsys: Capture) -> None:
    name_data_set(data.bids, "Siena")
    assert data.extract() == 0
    assert lines(capsys)[0] == "sub-01: updated (data set is called Siena)"
    other = Data(tmp_path / "other", data.store)
    write_recording(other.bids, "01", 0, noise_uv(8, 50))
    name_data_set(other.bids, "CHB-MIT")
    before = survival.content(data.store)
    assert other.extract() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sub-01.h5: holds sub-01 of Siena" in line
    assert "give another --store, or replace it with --force" in line
    assert survival.content(data.store) == before
    assert other.extract("--force") == 0
    assert (opened(data).dataset, opened(data, "02").dataset) == ("CHB-MIT", "Siena")
    assert same_content(opened(data), opened(fresh(other)))


def name_data_set(bids: Path, name: str) -> None:
    (bids / "dataset_description.json").write_text(json.dumps({"Name": name, "BIDSVersion": "1.8.0"}))


def test_a_damaged_file_of_the_store_stops_its_subject_alone(data: Data, capsys: Capture) -> None:
    path = data.store / "sub-01.h5"
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.read_bytes()
    set_events(data, "02", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "sub-02: relabelled 1 recording (events changed)" in out
    assert "sub-01.h5: " in err
    assert "remove the file and extract the subject again" in err
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


def test_shards_relabel_each_subject_once(data: Data, capsys: Capture) -> None:
    for subject in ("01", "02"):
        set_events(data, subject, 0, "6.00\t2.00\tsz_gen")
    assert data.extract("--shard", "2/2") == 0
    out = lines(capsys)
    assert out[0] == "sub-02: relabelled 1 recording (events changed)"
    assert "4 recordings found: 0 encoded, 1 relabelled, 2 up to date, 1 for other shards, 0 left out" in out
    assert data.extract("--shard", "1/2") == 0
    assert data.extract("--check") == 0


def test_a_file_that_another_extraction_changed_is_looked_at_again(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between plan and relabelling another extraction adds a recording; it is not lost."""
    from extract import pipeline

    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    plain = pipeline.require_writable

    def add_a_recording(folder: Path) -> None:
        monkeypatch.setattr(pipeline, "require_writable", plain)
        write_recording(data.bids, "01", 2, noise_uv(8, 20))
        assert data.extract() == 0

    monkeypatch.setattr(pipeline, "require_writable", add_a_recording)
    data.extract()
    assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(1), NAME(2)]


def test_a_part_whose_events_changed_is_made_anew(data: Data, tmp_path: Path) -> None:
    other = Data(data.bids, tmp_path / "other")
    assert other.extract("--shard", "1/4") == 0
    ((part,),) = [list(other.store.glob(".parts/*/*.h5"))]
    set_events(data, open_file(part).subject, 0, "6.00\t2.00\tsz_gen")
    assert other.extract() == 0
    assert survival.content(other.store) == survival.content(fresh(data).store)


def test_a_signal_that_changes_while_it_is_read(data: Data, tmp_path: Path, capsys: Capture) -> None:
    other = Data(data.bids, tmp_path / "other")
    from extract import encode_recording

    plain = encode_recording.open_signal

    def open_and_touch(path: Path, missing: str) -> object:
        signal = plain(path, missing)
        if path == data.edf("01", 1):
            os.utime(path)
        return signal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode_recording, "open_signal", open_and_touch)
        assert other.extract() == 1
    assert "run-01_eeg.edf: changed while it was read; run the same command again" in capsys.readouterr().err
    assert [path.name for path in other.store.glob("*.h5")] == ["sub-02.h5"]
    assert other.extract() == 0


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


def test_relabelling_loads_neither_torch_nor_an_encoder(data: Data) -> None:
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    code = (
        "import sys; from extract.__main__ import main; status = main(sys.argv[1:]); "
        "print('torch' in sys.modules, [name for name in sys.modules if 'braincodec.network' in name]); "
        "sys.exit(status)"
    )
    arguments = ["--bids", str(data.bids), "--store", str(data.store), "--encoder", "bandpower"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "sub-01: relabelled 1 recording (events changed)" in done.stdout
    assert done.stdout.splitlines()[-1] == "False []"


@pytest.mark.parametrize("name", ["z\u00fcrich", "\u9ad8\u6e05", "\U0001f9e0brain", "i" * 60 + "\u00e9"])
def test_names_beyond_ascii_are_kept(name: str, tmp_path: Path) -> None:
    """Two recordings whose names differ at their end, a long event type, and a person."""
    data = Data(tmp_path / "bids", tmp_path / "store")
    for run, seed in ((0, 1), (1, 2)):
        write_recording(data.bids, "01", run, noise_uv(8, seed), [Event(2.0, 3.0, f"sz_{name * 3}")])
    folder = data.edf("01", 0).parent
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("szMonitoring", name))
    (data.bids / "participants.tsv").write_text(f"participant_id\tperson_id\nsub-01\t{name}\n", encoding="utf-8")
    assert data.extract() == 0
    file = opened(data)
    assert [info.name for info in file.recordings] == [f"sub-01_ses-01_task-{name}_run-{run:02}" for run in (0, 1)]
    assert file.person == name
    assert {event.kind for info in file.recordings for event in info.events} == {f"sz_{name * 3}"}
    assert data.extract("--check") == 0


@pytest.mark.parametrize("spoil", ["/outside", "final", "..", "a/b"])
def test_persons_are_any_text(spoil: str, data: Data) -> None:
    (data.bids / "participants.tsv").write_text(f"participant_id\tperson_id\nsub-01\t{spoil}\nsub-02\tx\n")
    assert data.extract() == 0
    assert store.open(data.store).persons == tuple(sorted((spoil, "x")))
