"""What a study refuses before anything is encoded."""

import shutil
from pathlib import Path

import pytest

from eval.study.__main__ import main
from tests.helpers.studies import make_bids, study_arguments


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bids(tmp_path_factory.mktemp("study") / "eeg")


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line on why nothing was made."""
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not Path(arguments[arguments.index("--out") + 1]).exists()
    return line


def test_a_recording_that_cannot_be_used_stops_it(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(bids, tmp_path / "eeg"))
    next(folder.glob("sub-02/**/*.edf")).write_bytes(b"0" * 300)
    assert main(study_arguments(folder, tmp_path / "study")) == 2
    assert "1 recording cannot be used, the first: sub-02" in capsys.readouterr().err


def test_a_misnamed_recording_stops_it(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(bids, tmp_path / "eeg"))
    path = next(folder.glob("sub-02/**/*.edf"))
    path.rename(path.with_name("night.edf"))
    line = refused(capsys, study_arguments(folder, tmp_path / "study"))
    assert (
        f"the first: {path.parent.relative_to(folder)}/night.edf: its name does not end in _eeg; rename it" in line
    )


def test_persons_of_the_training_data_are_not_tested(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two persons of the same data set, in another folder."""
    other = Path(shutil.copytree(bids, tmp_path / "other"))
    shutil.rmtree(other / "sub-02")
    line = refused(capsys, study_arguments(bids, tmp_path / "study", "--test-bids", str(other)))
    assert "other: holds training persons 01, 03 too; give a data set of other persons" in line


def test_too_few_persons_are_told_before_anything_is_encoded(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Path(shutil.copytree(bids, tmp_path / "eeg"))
    shutil.rmtree(few / "sub-03")
    line = refused(capsys, study_arguments(few, tmp_path / "study"))
    assert "eeg: 2 persons (01, 02); a study trains, chooses and tests on 3 or more; give a larger data" in line


def test_too_few_seizures_are_told_before_anything_is_encoded(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(bids, tmp_path / "eeg"))
    for subject in ("01", "02"):
        (path,) = folder.glob(f"sub-{subject}/**/*_events.tsv")
        path.write_text("onset\tduration\teventType\n0.0\t60.0\tbckg\n")
    line = refused(capsys, study_arguments(folder, tmp_path / "study"))
    assert "eeg: fold 01: 2 persons with seizure and background seconds are needed" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--heads", "linear", "linaer"], "head 'linaer' is unknown (did you mean linear?); allowed: "),
        (["--heads", "prob"], "head 'prob' is unknown (did you mean probe?); allowed: "),
        (["--heads", "no_such_module:Head"], "no_such_module"),
        (["--heads", "extract.demo:SAMPLE_RATE_HZ"], "give a subclass of heads.models.head.Head"),
        (["--encoders", "bandpower", "bandpwoer"], 'error: no encoder "bandpwoer" (did you mean bandpower?)'),
        (["--features", "codes"], "no combination is left: bandpower, features codes: "),
        (["--seeds", "0", "-1"], "--seeds -1: not usable; allowed: 0 to 4294967295"),
        (["--seeds", "4294967296"], "--seeds 4294967296: not usable; allowed: 0 to 4294967295"),
        (["--inner", "1"], "--inner 1: allowed are 2 groups and more, pairs, one"),
        (["--inner", "3"], "--inner 3: fold 01 has 2 persons to choose; allowed: 2 to 2 groups, pairs, one"),
        (["--inner", "one", "--heads", "probe"], "--inner has no effect on the probe; give another of --heads"),
        (["--unlabelled"], "--unlabelled goes with --test-bids DIR; give it, or leave --unlabelled out"),
        (["--encoders", "a/own.pt", "b/own.pt"], "both would have the folder own; rename one of the files"),
        (["--test-bids", "unnamed"], "unnamed: no recording of a person; python -m extract --check says why"),
        (["--device", "abacus"], "device abacus: not usable here"),
        (["--jobs", "0"], "--jobs 0: not usable; allowed: 1 and more"),
        (["--bids", "nowhere"], "nowhere: no such folder"),
        (["--test-bids", "nowhere"], "nowhere: no such folder"),
        (["--bids", "empty"], "empty: no EEG in this folder"),
        (["--bids", "unnamed"], "unnamed: no recording of a person; python -m extract --check says why"),
    ],
)
def test_a_mistake_leaves_no_folder(
    options: list[str],
    message: str,
    bids: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "unnamed" / "sub-01" / "eeg").mkdir(parents=True)
    (tmp_path / "unnamed" / "sub-01" / "eeg" / "first.edf").touch()
    given = ["--bids", str(bids), "--out", "study", "--encoders", "bandpower", *options]
    assert message in refused(capsys, given)


@pytest.mark.parametrize("option", ["encoders", "features", "heads", "seeds"])
def test_an_empty_list_is_refused(
    option: str, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, ["--bids", str(bids), "--out", str(tmp_path / "study"), f"--{option}"])
    assert f"--{option}: nothing given" in line
