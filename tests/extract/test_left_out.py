"""Recordings that cannot be used are left out and named, and every file is accounted for."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from extract.io.montage import CHANNELS
from store import Event
from tests.fuzz import formats
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import NAME, Data, fresh, lines, opened, same_content, set_events
from tests.helpers.processes import content

Capture = pytest.CaptureFixture[str]


def test_missing_channels_are_a_policy(data: Data, capsys: Capture) -> None:
    signal_uv = noise_uv(8, 10)
    signal_uv[CHANNELS.index("P3-O1")] = 0
    write_recording(data.bids, "01", 1, signal_uv)
    assert data.extract() == 1
    assert "P3-O1" in capsys.readouterr().err
    assert all(opened(data).recordings[1].channel_mask)  # of the file before
    assert data.extract("--missing", "zero") == 0
    stored = content(data.store)
    assert not all(opened(data).recordings[1].channel_mask)
    capsys.readouterr()
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "flat from beginning to end: P3-O1" in err
    assert "4 recordings found: 0 encoded, 3 up to date, 1 left out" in out.splitlines()
    assert {k: v for k, v in content(data.store).items() if not k.startswith(".parts")} == stored


def test_a_reason_that_recordings_share_is_said_once(data: Data, capsys: Capture) -> None:
    signal_uv = noise_uv(8, 10)
    signal_uv[CHANNELS.index("P3-O1")] = 0
    for run in (0, 1):
        write_recording(data.bids, "01", run, signal_uv)
    shared = f"2 recordings ({NAME(0)}, {NAME(1)}): *_eeg.edf: flat from beginning to end: P3-O1; "
    for options, place in (((), "  "), (("--skip-unusable",), "  left out: ")):
        data.extract(*options)
        output = "".join(capsys.readouterr())
        assert f"\n{place}{shared}" in output
        assert output.count("flat from") == 1


def test_an_extraction_without_any_result_leaves_no_folder(data: Data) -> None:
    shutil.rmtree(data.store)
    for edf in data.bids.rglob("*.edf"):
        edf.write_bytes(edf.read_bytes()[:-5000])
    assert data.extract() == 1
    assert not data.store.exists()
    data.store.mkdir()  # the user's own
    assert data.extract() == 1
    assert data.store.exists()


def test_a_recording_that_cannot_be_used_may_be_left_out(data: Data, capsys: Capture) -> None:
    good = data.edf("01", 1).read_bytes()
    data.edf("01", 1).write_bytes(good[:-5000])
    before = content(data.store)
    capsys.readouterr()
    assert data.extract() == 1
    assert "".join(capsys.readouterr()).count("truncated") == 1  # told once
    assert {k: v for k, v in content(data.store).items() if "/" not in k} == before
    assert data.extract("--skip-unusable") == 0
    capsys.readouterr()
    file = opened(data)
    assert [info.name for info in file.recordings] == [NAME(0)]
    (left_out,) = file.left_out
    assert left_out.name == NAME(1)
    assert left_out.reason.startswith(f"sub-01/ses-01/eeg/{NAME(1)}_eeg.edf: truncated")
    before = content(data.store)
    assert data.extract("--skip-unusable") == 0
    out = lines(capsys)
    assert "4 recordings found: 0 encoded, 3 up to date, 1 left out" in out
    assert any(line.startswith(f"  left out: {NAME(1)}: sub-01/ses-01/eeg/") for line in out)
    assert content(data.store) == before
    assert data.extract("--skip-unusable", "--check") == 0
    assert data.extract() == 1  # without the option it waits to be mended
    data.edf("01", 1).write_bytes(good)
    assert data.extract() == 0
    assert "sub-01: encoded 1 recording (left out before)" in lines(capsys)
    assert same_content(opened(data), opened(fresh(data)))


def test_check_says_whether_what_was_left_out_can_be_used_now(data: Data, capsys: Capture) -> None:
    write_recording(data.bids, "01", 1, 0 * noise_uv(8, 0))
    write_recording(data.bids, "03", 0, 0 * noise_uv(8, 0))  # has no other recording, so no file
    assert data.extract("--skip-unusable") == 0
    capsys.readouterr()
    assert data.extract("--skip-unusable", "--check") == 0
    assert "5 recordings found: 0 to encode, 3 up to date, 2 left out" in lines(capsys)
    assert data.extract("--check") == 1
    write_recording(data.bids, "01", 1, noise_uv(8, 7))
    capsys.readouterr()
    assert data.extract("--skip-unusable", "--check") == 1
    out = lines(capsys)
    assert out[0] == "sub-01: encode 1 recording (left out before)"
    assert "5 recordings found: 1 to encode, 3 up to date, 1 left out" in out


def test_shards_leave_out_what_another_shard_could_not_use(data: Data, tmp_path: Path) -> None:
    write_recording(data.bids, "01", 2, noise_uv(8, 20))
    data.edf("01", 1).write_bytes(data.edf("01", 1).read_bytes()[:-5000])
    whole, sharded = Data(data.bids, tmp_path / "whole"), Data(data.bids, tmp_path / "sharded")
    assert whole.extract("--skip-unusable") == 0
    assert [sharded.extract("--skip-unusable", "--shard", f"{n}/3") for n in (3, 1, 2)] == [0, 0, 0]
    assert content(sharded.store) == content(whole.store)


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


@pytest.mark.parametrize(("form", "dropped"), [("vhdr", "eeg"), ("set and fdt", "fdt")])
def test_data_that_were_dropped_after_encoding(data: Data, capsys: Capture, form: str, dropped: str) -> None:
    """The header stays where it is, its data file becomes a link to nothing: features are kept, as of an EDF."""
    stem = data.edf("01", 0).with_suffix("")
    stem.with_suffix(".edf").unlink()
    formats.write_recording({suffix: stem.with_suffix(f".{suffix}") for suffix in formats.FILES[form]}, {})
    set_events(data, "01", 0, "1.00\t2.00\tsz_foc")
    assert data.extract() == 0
    stored = content(data.store)
    stem.with_suffix(f".{dropped}").unlink()
    stem.with_suffix(f".{dropped}").symlink_to("../../../.git/annex/objects/x")
    capsys.readouterr()
    assert data.extract("--skip-unusable") == 0
    assert "4 recordings found: 0 encoded, 4 up to date, 0 left out" in lines(capsys)
    assert content(data.store) == stored


def test_every_file_is_accounted_for(data: Data, capsys: Capture) -> None:
    folder = data.edf("01", 0).parent
    shutil.copy(data.edf("01", 0), folder / f"Copy of {NAME(0)}_eeg.edf")
    shutil.copy(data.edf("01", 0), folder / f"{NAME(0)}_desc-filtered_eeg.edf")
    data.edf("02", 1).rename(data.edf("02", 1).with_suffix(".EDF"))
    assert data.extract("--skip-unusable") == 0
    out = lines(capsys)
    assert "6 recordings found: 0 encoded, 4 up to date, 2 left out" in out
    assert [line.split(": ")[0] for line in out if line.startswith("  left")] == ["  left out"] * 2
    assert data.extract("--skip-unusable", "--check") == 0
    (folder / f"Copy of {NAME(0)}_eeg.edf").unlink()
    assert data.extract() == 0  # what is made from a recording is none itself
    assert data.extract("--check") == 0


def test_a_misnamed_file_is_a_recording_of_its_subject_that_cannot_be_used(data: Data, capsys: Capture) -> None:
    path = data.edf("01", 0).with_name("sub-02_ses-01_task-x_eeg.edf")
    data.edf("01", 1).rename(path)
    name, why = str(path.relative_to(data.bids)), "its name says sub-02_ses-01, its folder sub-01/ses-01"
    before = content(data.store)
    assert data.extract() == 1
    out, err = capsys.readouterr()
    assert "store info" not in out
    assert "4 recordings found: 0 encoded, 3 up to date, 1 left out" in out.splitlines()
    assert err.splitlines()[1:] == [f"  {name}: {why}; move or rename it"]
    assert content(data.store) == before
    assert data.extract("--check") == 1
    assert data.extract("--subject", "02") == 0
    assert data.extract("--skip-unusable") == 0
    assert [left_out.name for left_out in opened(data).left_out] == [name]
    assert opened(data, "02").left_out == ()
    assert data.extract("--skip-unusable", "--check") == 0
    path.rename(data.edf("01", 1))
    assert data.extract() == 0
    assert opened(data).left_out == ()


def test_a_new_subject_with_a_misnamed_file_is_not_published(data: Data, tmp_path: Path, capsys: Capture) -> None:
    data.edf("01", 1).rename(data.edf("01", 1).with_name("night.edf"))
    other = Data(data.bids, tmp_path / "other")
    assert other.extract() == 1
    assert [path.name for path in other.store.glob("*.h5")] == ["sub-02.h5"]
    assert "its name does not end in _eeg; rename it, or remove it" in capsys.readouterr().err


def test_a_file_of_no_subject_that_its_place_tells(data: Data, capsys: Capture) -> None:
    (data.bids / "sub-01_task-x_eeg.edf").write_bytes(data.edf("01", 0).read_bytes())
    assert data.extract() == 1
    assert "sub-01_task-x_eeg.edf: is not in a folder called eeg; move it there" in capsys.readouterr().err
    assert data.extract("--check") == 1
    assert data.extract("--subject", "01") == 0
    assert data.extract("--skip-unusable") == 0
    assert data.extract("--skip-unusable", "--check") == 0


def test_a_data_set_of_which_nothing_can_be_encoded(data: Data, tmp_path: Path, capsys: Capture) -> None:
    for path in sorted(data.bids.rglob("*_eeg.edf")):
        path.rename(path.with_name(path.name.replace("_eeg", "")))
    other = Data(data.bids, tmp_path / "other")
    for options in ((), ("--skip-unusable",), ("--skip-unusable", "--check")):
        assert other.extract(*options) == 1
        out, err = capsys.readouterr()
        assert "store info" not in out
        assert ("other: no subject, since no recording of the data set can be used; mend one" in err) == (
            "--skip-unusable" in options
        )
        assert not other.store.exists()
    assert other.extract("--montage", "as-recorded") == 2
    assert "no recording can be read; the first: " in capsys.readouterr().err


def test_a_subject_whose_files_are_all_misnamed_keeps_what_is_stored(data: Data, capsys: Capture) -> None:
    for run in (0, 1):
        data.edf("01", run).rename(data.edf("01", run).with_name(f"night{run}_eeg.edf"))
    before = content(data.store)
    assert data.extract("--prune") == 1
    assert content(data.store) == before
    for _ in range(2):
        assert data.extract("--skip-unusable") == 0
        assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(1)]
        assert len(opened(data).left_out) == 2
    assert data.extract("--skip-unusable", "--check") == 0
    capsys.readouterr()
    assert data.extract("--skip-unusable", "--prune") == 1
    assert "none of the subject's recordings can be used now" in capsys.readouterr().err


@pytest.mark.parametrize("option", [(), ("--skip-unusable",)])
def test_a_recording_that_is_gone_is_not_left_out_any_more(data: Data, option: tuple[str, ...]) -> None:
    data.edf("01", 0).with_name("night.edf").write_bytes(b"0")
    assert data.extract("--skip-unusable") == 0
    assert len(opened(data).left_out) == 1
    data.edf("01", 0).with_name("night.edf").unlink()
    assert data.extract("--check", *option) == 1
    assert data.extract(*option) == 0
    assert opened(data).left_out == ()
    assert data.extract("--check", *option) == 0


def test_an_upper_case_file_is_encoded(data: Data, tmp_path: Path) -> None:
    data.edf("02", 1).rename(data.edf("02", 1).with_suffix(".EDF"))
    other = Data(data.bids, tmp_path / "other")
    assert other.extract() == 0
    np.testing.assert_array_equal(opened(other, "02").features(), opened(data, "02").features())


def test_an_event_of_no_duration_is_an_error(data: Data, capsys: Capture) -> None:
    set_events(data, "01", 0, "2.00\t3.00\tsz", "5.00\t0.00\tsz")
    before = content(data.store)
    assert data.extract() == 1
    assert "run-00_events.tsv: line 3: event of duration 0 at 5.00 s" in capsys.readouterr().err
    assert content(data.store) == before


def test_a_signal_that_changes_while_it_is_read(data: Data, tmp_path: Path, capsys: Capture) -> None:
    other = Data(data.bids, tmp_path / "other")
    from extract import encode_recording

    plain = encode_recording.open_recording

    def open_and_touch(path: Path, *options: object) -> object:
        signal = plain(path, *options)
        if path == data.edf("01", 1):
            os.utime(path)
        return signal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode_recording, "open_recording", open_and_touch)
        assert other.extract() == 1
    assert "run-01_eeg.edf: changed while it was read; run the same command again" in capsys.readouterr().err
    assert [path.name for path in other.store.glob("*.h5")] == ["sub-02.h5"]
    assert other.extract() == 0
