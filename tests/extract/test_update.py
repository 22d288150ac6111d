"""A store follows its data set: what changed is encoded or labelled again, the rest stays, and all is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import store
from extract.io.events import hash_events
from extract.io.fingerprints import hash_signal
from store import Event
from store.reader import open_file
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import NAME, Data, fresh, lines, opened, same_content, set_events
from tests.helpers.paths import ROOT
from tests.helpers.processes import content

Capture = pytest.CaptureFixture[str]


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
    assert content(data.store) == content(fresh(data).store)


def test_signal_and_events_of_one_subject_change(data: Data, capsys: Capture) -> None:
    """The one recording is encoded, the other relabelled, both are published by one replace."""
    write_recording(data.bids, "01", 1, noise_uv(12, 99))
    set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
    assert data.extract() == 0
    out = lines(capsys)
    assert out[0] == "sub-01: relabelled 1 recording (events changed); encoded 1 recording (signal changed)"
    assert "4 recordings found: 1 encoded, 1 relabelled, 2 up to date, 0 left out" in out
    assert content(data.store) == content(fresh(data).store)


@pytest.mark.usefixtures("without_encoder")
def test_a_copied_data_set_is_up_to_date(data: Data, capsys: Capture) -> None:
    """Other times of the files, same content: nothing is written."""
    for path in data.bids.rglob("*_eeg.edf"):
        os.utime(path)
    before = content(data.store)
    assert data.extract() == 0
    assert "4 recordings found: 0 encoded, 4 up to date, 0 left out" in lines(capsys)
    assert content(data.store) == before
    assert data.extract("--check") == 0


def test_signals_are_hashed_only_when_size_or_time_moved(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr("extract.io.fingerprints.hash_signal", lambda path: hashed.append(path) or "")
    assert data.extract() == 0
    assert not hashed
    os.utime(data.edf("01", 0))
    assert data.extract("--check") == 1
    assert hashed == [data.edf("01", 0)]


@pytest.mark.parametrize("is_changed_before", [True, False])
def test_events_that_change_while_a_signal_is_hashed(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: Capture, is_changed_before: bool
) -> None:
    """Labels and fingerprint are of one reading of the events, so that the next extraction sees the later ones."""
    os.utime(data.edf("01", 0))
    if is_changed_before:
        set_events(data, "01", 0, "2.00\t3.00\tsz")

    def hash_and_edit(path: Path) -> str:
        set_events(data, "01", 0, "6.00\t2.00\tsz_gen")
        return hash_signal(path)

    with monkeypatch.context() as patch:
        patch.setattr("extract.io.fingerprints.hash_signal", hash_and_edit)
        assert data.extract() == 0
    assert opened(data).sources[NAME(0)].events_sha256 != hash_events(data.events("01", 0))
    capsys.readouterr()
    assert data.extract() == 0
    assert lines(capsys)[0] == "sub-01: relabelled 1 recording (events changed)"
    assert opened(data).recordings[0].events == (Event(6.0, 2.0, "sz_gen"),)
    assert same_content(opened(data), opened(fresh(data)))


def test_a_removed_events_file(data: Data, capsys: Capture) -> None:
    """It is refused, then taken without labels if asked, and taken with labels again when it is back."""
    text = data.events("01", 0).read_text()
    data.events("01", 0).unlink()
    before = content(data.store)
    assert data.extract() == 1
    assert "run-00_events.tsv: no such events file; write one" in capsys.readouterr().err
    assert content(data.store) == before
    assert data.extract("--unlabelled") == 0
    out = lines(capsys)
    assert out[0] == "sub-01: relabelled 1 recording (events file removed)"
    assert f"{NAME(0)}: no events file; not scored, only its time in alarm is reported" in out
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
    before = content(data.store)
    capsys.readouterr()
    assert data.extract() == 0
    out = lines(capsys)
    assert f"sub-01: keeps 1 recording gone from the data set ({NAME(1)}); --prune removes what is gone" in out
    assert any(line.startswith("sub-02: keeps 2 recordings gone") for line in out)
    assert "2 recordings found: 0 encoded, 2 up to date, 0 left out" in out
    assert content(data.store) == before
    assert data.extract("--prune") == 0
    out = lines(capsys)
    assert out[:2] == [
        "sub-01: pruned 1 recording (gone from the data set)",
        "sub-02: pruned 2 recordings (gone from the data set)",
    ]
    assert [path.name for path in data.store.glob("*.h5")] == ["sub-01.h5"]
    assert same_content(opened(data), opened(fresh(data)))


def test_parts_of_a_subject_that_is_gone_are_pruned(data: Data) -> None:
    write_recording(data.bids, "03", 0, noise_uv(8, 20))
    write_recording(data.bids, "03", 1, 0 * noise_uv(8, 21))
    assert data.extract() == 1  # its first recording is kept for later
    shutil.rmtree(data.bids / "sub-03")
    parts = data.store / ".parts" / "sub-03"
    assert data.extract() == 0
    assert data.extract("--prune", "--subject", "01") == 0
    assert [path.name for path in parts.iterdir()] == [f"{NAME(0).replace('01', '03', 1)}.h5"]
    assert data.extract("--prune") == 0
    assert not parts.exists()


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
    before = content(data.store)
    assert data.extract("--check") == 1
    assert lines(capsys) == [
        "sub-01: relabel 1 recording (events changed)",
        "sub-02: encode 1 recording (signal changed)",
        "sub-03: encode 1 recording (new)",
        "5 recordings found: 2 to encode, 1 to relabel, 2 up to date, 0 left out",
    ]
    assert content(data.store) == before
    assert data.extract() == 0
    assert data.extract("--check") == 0


def test_check_of_no_store(data: Data, tmp_path: Path) -> None:
    assert Data(data.bids, tmp_path / "none").extract("--check") == 1
    assert not (tmp_path / "none").exists()


def test_events_that_label_no_second_are_said(data: Data, capsys: Capture) -> None:
    set_events(data, "01", 0, "3.70\t0.50\tsz")
    for _ in range(2):
        assert data.extract() == 0
        said = f"{NAME(0)}: the seizure at 3.70 s (0.50 s) covers more than half of no second, so it labels none"
        assert any(line.startswith(said) for line in lines(capsys))
    assert opened(data).recordings[0].events == (Event(3.7, 0.5, "sz"),)
    assert not opened(data).labels.any()


def test_shards_relabel_each_subject_once(data: Data, capsys: Capture) -> None:
    for subject in ("01", "02"):
        set_events(data, subject, 0, "6.00\t2.00\tsz_gen")
    assert data.extract("--shard", "2/3") == 0
    out = lines(capsys)
    assert out[0] == "sub-02: relabelled 1 recording (events changed)"
    assert "4 recordings found: 0 encoded, 1 relabelled, 2 up to date, 1 for other shards, 0 left out" in out
    assert data.extract("--shard", "1/3") == 0
    assert data.extract("--check") == 1
    assert data.extract("--shard", "3/3") == 0
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
    assert content(other.store) == content(fresh(data).store)


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
