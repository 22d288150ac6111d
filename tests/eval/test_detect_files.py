"""The detector on many files: one that is bad does not stop the others, and what is finished stays."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval.detect import main
from eval.scoring.events import Detections
from tests.helpers.detectors import make_line, write


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_line(tmp_path_factory.mktemp("line"), "bandpower")


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of the files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def make_nights(folder: Path) -> Path:
    """Two nights, a file that is no EEG, and one that is none of ours to read."""
    (folder / "b").mkdir(parents=True)
    write(folder / "one", seconds=40)
    write(folder / "b" / "two", seconds=30)
    (folder / "bad.edf").write_text("no EEG")
    (folder / "notes.txt").write_text("notes")
    return folder


@dataclass(frozen=True)
class Detected:
    """Nights that can all be used, and their events in a folder."""

    nights: Path
    out: Path
    arguments: list[str]  # that made them


@pytest.fixture
def detected(line: Path, tmp_path: Path) -> Detected:
    nights, out = make_nights(tmp_path / "nights"), tmp_path / "out"
    (nights / "bad.edf").unlink()
    arguments = [str(nights), str(out), "--run", str(line / "run")]
    assert main(arguments) == 0
    return Detected(nights, out, arguments)


def test_each_file_is_as_alone_and_a_bad_one_is_a_line(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nights, out, alone = make_nights(tmp_path / "nights"), tmp_path / "out", tmp_path / "alone.tsv"
    arguments = [str(nights), str(out), "--run", str(line / "run")]
    capsys.readouterr()
    assert main([*arguments, "--probabilities", str(out)]) == 1
    printed = capsys.readouterr()
    (failure,) = (text for text in printed.err.splitlines() if text.startswith("failed"))
    assert failure.startswith(f"failed: {nights / 'bad.edf'}: no valid EDF or BDF header")
    assert f"{nights / 'one.edf'}: 1 seizure in 0:40" in printed.out
    assert printed.out.splitlines()[-1] == f"2 of 3 files. Events: {out}"
    assert sorted(contents(out)) == [
        *("b/two_events.tsv", "b/two_probabilities.tsv", "detect.json", "one_events.tsv", "one_probabilities.tsv")
    ]
    table = tmp_path / "p.tsv"
    for name in ("one", "b/two"):
        assert main([f"{nights / name}.edf", str(alone), *arguments[2:], "--probabilities", str(table)]) == 0
        assert (out / f"{name}_events.tsv").read_bytes() == alone.read_bytes()
        assert (out / f"{name}_probabilities.tsv").read_bytes() == table.read_bytes()


def test_links_to_folders_are_followed(detected: Detected, tmp_path: Path) -> None:
    (detected.nights / "b").rename(tmp_path / "elsewhere")
    (detected.nights / "c").symlink_to(tmp_path / "elsewhere")
    assert main(detected.arguments) == 0
    assert (detected.out / "c" / "two_events.tsv").is_file()


def test_a_folder_that_cannot_be_read_is_named(
    detected: Detected, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Path.iterdir

    def deny(folder: Path) -> object:
        if folder.name == "b":
            raise PermissionError(errno.EACCES, "denied", str(folder))
        return read(folder)

    monkeypatch.setattr(Path, "iterdir", deny)
    assert main(detected.arguments) == 2
    assert f"{detected.nights / 'b'}: permission denied; change its permissions" in capsys.readouterr().err


def test_what_is_finished_stays_and_what_changed_is_made_again(
    detected: Detected, capsys: pytest.CaptureFixture[str]
) -> None:
    nights, out, arguments = detected.nights, detected.out, detected.arguments
    before = contents(out)
    assert main(arguments) == 0
    assert contents(out) == before
    assert "2 of 2 files, 2 of them already done." in capsys.readouterr().out
    (out / "one_events.tsv").unlink()  # as if it had been stopped
    write(nights / "b" / "two", seconds=20)
    assert main(arguments) == 0
    after = contents(out)
    assert after["one_events.tsv"][0] == before["one_events.tsv"][0]
    assert Detections.from_tsv((out / "b" / "two_events.tsv").read_text(), "two").duration_s == 20
    (nights / "one.edf").write_text("no EEG any more")
    assert main(arguments) == 1
    assert sorted(contents(out)) == ["b/two_events.tsv", "detect.json"]  # events of no file are no result


def test_events_of_another_detector_are_not_mixed_in(
    detected: Detected, capsys: pytest.CaptureFixture[str]
) -> None:
    out, arguments = detected.out, detected.arguments
    before = contents(out)
    assert main([*arguments, "--missing", "zero"]) == 2
    message = f"{out}: holds events of another detector (changed: missing); give another folder, or --force to"
    assert message in capsys.readouterr().err
    assert contents(out) == before
    assert main([*arguments, "--missing", "zero", "--force"]) == 0
    after = contents(out)
    assert all(after[name][1] > before[name][1] for name in before)
    (out / "detect.json").write_text("{")
    assert main(arguments) == 2
    assert "holds events of another detector" in capsys.readouterr().err


def test_a_bids_data_set_keeps_its_tree_and_only_eeg_counts(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bids, out = tmp_path / "bids", tmp_path / "out"
    for name in ("sub-01/eeg/sub-01_task-x_eeg", "sub-01/emg/sub-01_task-x_emg", "derivatives/sub-01/y_eeg"):
        (bids / name).parent.mkdir(parents=True, exist_ok=True)
        write(bids / name, seconds=20)
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    run = ["--run", str(line / "run")]
    assert main([str(bids), str(out), *run]) == 0
    assert sorted(contents(out)) == ["detect.json", "sub-01/eeg/sub-01_task-x_events.tsv"]
    for folder in (bids, bids / "sub-01"):
        assert main([str(bids), str(folder), *run]) == 2
        assert "give" in capsys.readouterr().err
    assert main([str(bids), str(bids / "derivatives" / "detections"), *run]) == 0


def test_a_folder_that_is_there_or_ends_in_a_slash_takes_the_events(line: Path, tmp_path: Path) -> None:
    eeg, run = write(tmp_path / "a", seconds=20), ["--run", str(line / "run")]
    (tmp_path / "there").mkdir()
    for output in (f"{tmp_path / 'new'}/", str(tmp_path / "there")):
        assert main([str(eeg), output, *run]) == 0
        assert sorted(contents(Path(output))) == ["a_events.tsv", "detect.json"]


def test_equal_reasons_are_one_line_and_their_files(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.edf" for number in range(6)]
    assert main([*map(str, paths), str(tmp_path / "out"), "--run", str(line / "run")]) == 1
    lines = [text for text in capsys.readouterr().err.splitlines() if text.startswith("failed")]
    assert lines[0].startswith(f"failed: {paths[0]}: no such file")
    assert lines[1:] == [f"failed as {paths[0]}: 5 more files 1.edf, 2.edf, 3.edf and 2 more"]


def test_several_files_go_into_a_folder(line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write(tmp_path / "a", seconds=20), write(tmp_path / "b", seconds=20, suffix=".bdf")
    out, run = tmp_path / "out", ["--run", str(line / "run")]
    assert main([str(first), str(second), str(tmp_path / "none.edf"), str(out), *run]) == 1
    assert f"failed: {tmp_path / 'none.edf'}: no such file" in capsys.readouterr().err
    assert sorted(contents(out)) == ["a_events.tsv", "b_events.tsv", "detect.json"]
    same = write(tmp_path / "a", seconds=20, suffix=".bdf")
    for arguments, message in (
        ([first, same, out], f"{same} and {first} would both be written to {out / 'a_events.tsv'}; rename one"),
        ([first, first, out], f"{first}: is given twice; name each file or folder once"),
        ([first, second, tmp_path / "events.tsv"], f"{tmp_path / 'events.tsv'}: is named as a file; several"),
        ([first, second, first], f"{first}: is a file; give a folder for several files"),
        ([first, second, Path("/dev/null")], "/dev/null: is a file; give a folder"),
        ([tmp_path / "out", out], f"{out}: is the input {out}"),
        ([tmp_path / "empty", out], f"{tmp_path / 'empty'}: no EEG file in it (.edf, .bdf, .vhdr, .set); give"),
        ([first], "INPUT and OUTPUT are required; see python -m eval.detect --help"),
        (
            [first, out / "x.tsv", "--sample-rate-hz", "64"],
            "are for samples on standard input; files contain theirs",
        ),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main([*map(str, arguments), *run]) == 2
        assert message in capsys.readouterr().err


def test_a_file_of_another_in_the_folder_is_not_overwritten(
    line: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for folder in (out, tmp_path / "nights"):
        folder.mkdir()
    eeg = write(tmp_path / "nights" / "a", seconds=20)
    (out / "a_events.tsv").write_text("mine")
    os.utime(out / "a_events.tsv", (1, 1))
    assert main([str(eeg.parent), str(out), "--run", str(line / "run")]) == 1
    assert "this command did not write it" in capsys.readouterr().err
    assert (out / "a_events.tsv").read_text() == "mine"
