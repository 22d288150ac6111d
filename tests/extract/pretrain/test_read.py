"""What of a BIDS data set is trained on, and what is left out and counted."""

import edfio
import numpy as np
import pytest

from extract.pretrain.channels import judge_channels
from extract.pretrain.read import read_eeg
from store.runtime.errors import UserError


def write(folder, subject, rows, rate_hz=64):
    """Rows by name as a recording."""
    path = folder / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-rest_eeg.edf"
    path.parent.mkdir(parents=True)
    signals = [
        edfio.EdfSignal(row, rate_hz, label=name, physical_dimension="uV", physical_range=(-9000, 9000))
        for name, row in rows.items()
    ]
    edfio.Edf(signals).write(path)
    return path


def describe(folder, name):
    (folder / "dataset_description.json").write_text(f'{{"Name": "{name}", "BIDSVersion": "1.10.1"}}')


def noise(scale_uv, seconds=8):
    return np.random.default_rng(0).normal(0, scale_uv, 64 * seconds)


def test_each_channel_is_judged():
    clipped = np.clip(noise(50), -60, 60)
    rows = [noise(20), np.full(512, 7.0), clipped, noise(900), noise(0.1), np.r_[noise(20)[1:], np.nan]]
    reasons = [None, "flat", "clipped", "absurd amplitude", "absurd amplitude", "not finite"]
    assert judge_channels(np.array(rows, np.float32)) == reasons


def test_persons_of_two_data_sets_stay_apart_and_what_is_left_out_is_counted(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        describe(tmp_path / name, f"Data set {name}")
    write(tmp_path / "one", "01", {"Fp1": noise(20), "ECG": noise(300), "O1": np.zeros(512), "O2": noise(800)})
    write(tmp_path / "two", "01", {"AF3": noise(30), "AF4": noise(10)})
    broken = write(tmp_path / "two", "02", {"AF3": noise(30)})
    broken.write_bytes(broken.read_bytes()[:-100])
    eeg = read_eeg([tmp_path / "one", tmp_path / "two"], 512)
    assert [(s.person, s.signal_uv.shape) for s in eeg.signals] == [
        (("Data set one", "01"), (1, 512)),
        (("Data set two", "01"), (2, 512)),
    ]
    assert eeg.folders == {"one": "Data set one", "two": "Data set two"}
    assert len(eeg.persons) == 3
    assert eeg.left_out == {"flat": 1, "absurd amplitude": 1}
    (left_out,) = eeg.unusable
    assert left_out.name == "two/sub-02_task-rest"
    assert left_out.reason.startswith("sub-02/eeg/sub-02_task-rest_eeg.edf: truncated")
    assert eeg.describe() == (
        "3 EEG channels of 2 persons, 0.0 channel-hours; "
        "left out: 1 recording, and 2 channels of the others (1 absurd amplitude, 1 flat)"
    )


def test_folders_of_one_name_and_two_data_sets_are_refused(tmp_path):
    for parent in ("a", "b"):
        write(tmp_path / parent / "eeg", "01", {"Fp1": noise(20)})
        describe(tmp_path / parent / "eeg", f"Data set {parent}")
    with pytest.raises(UserError, match="two folders are called eeg; rename one"):
        read_eeg([tmp_path / "a" / "eeg", tmp_path / "b" / "eeg"], 512)


def test_recordings_left_out_for_one_reason_are_one_line_and_misnamed_ones_are_among_them(tmp_path):
    describe(tmp_path, "Data set")
    for subject in ("01", "02", "03"):
        path = write(tmp_path, subject, {"Fp1": noise(20)})
        path.write_bytes(b"" if subject != "03" else path.read_bytes())
    path.rename(path.with_name("night.edf"))
    eeg = read_eeg([tmp_path], 512)
    together, misnamed = eeg.describe_unusable()
    name = tmp_path.name
    assert together.startswith(
        f"left out: 2 recordings ({name}/sub-01_task-rest, {name}/sub-02_task-rest): *_eeg.edf: "
    )
    assert misnamed.startswith(f"left out: {name}/sub-03/eeg/night.edf: its name ")
    assert eeg.describe().endswith("left out: 3 recordings, and 0 channels of the others")


def test_a_data_set_counts_once(tmp_path):
    write(tmp_path / "one", "01", {"Fp1": noise(20)})
    describe(tmp_path / "one", "One")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with pytest.raises(UserError, match=r"--bids: .*one is given twice; name each data set once"):
        read_eeg([tmp_path / "one", tmp_path / "one"], 512)
    with pytest.raises(UserError, match=r"--bids: .*link is given twice, also as .*one; name each data set once"):
        read_eeg([tmp_path / "one", tmp_path / "link"], 512)
