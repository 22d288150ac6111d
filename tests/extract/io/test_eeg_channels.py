"""Every EEG channel of a file: by the table beside it, else by name; of several rates."""

import edfio
import numpy as np
import pytest

from extract.io.eeg_channels import find_eeg, is_eeg_name, read_eeg_channels
from store.runtime.errors import UserError
from tests.fuzz.formats import FILES, write_recording

SECONDS = 6


def write(folder, rates_hz, unit="uV"):
    """An EDF whose channel c of rate r holds ``c + 1`` times a sine of ``c + 1`` Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    signals = []
    for number, (name, rate_hz) in enumerate(rates_hz.items(), start=1):
        times = np.arange(SECONDS * rate_hz) / rate_hz
        row = 10 * number * np.sin(2 * np.pi * number * times)
        signals.append(
            edfio.EdfSignal(row, rate_hz, label=name, physical_dimension=unit, physical_range=(-999, 999))
        )
    path = folder / "sub-01_ses-02_task-rest_eeg.edf"
    edfio.Edf(signals).write(path)
    return path


@pytest.mark.parametrize(
    ("name", "is_eeg"),
    [
        *((name, True) for name in ("Fp1", "EEG FP1-REF", "T8-P8", "AFF5h", "01", "EEG T3-LE", "Cz.", "M1")),
        *((name, False) for name in ("ECG", "EKG1", "EEG ECG", "EMG Chin", "EOG-Cz", "Fp1-EOG", "-", "", "SpO2")),
    ],
)
def test_names_of_electrodes(name, is_eeg):
    assert is_eeg_name(name) is is_eeg


def test_the_table_decides_by_type_and_status(tmp_path):
    path = write(tmp_path / "sub-01" / "ses-02" / "eeg", {"X1": 64, "Fp1": 64, "ECG": 64, "O2": 64})
    assert find_eeg(path, ("X1", "Fp1", "ECG", "O2")) == [1, 3]
    table = path.with_name("sub-01_ses-02_task-rest_channels.tsv")
    table.write_text("name\ttype\tunits\tstatus\nX1\teeg\tuV\tgood\nFp1\tEOG\tuV\tgood\nO2\tEEG\tuV\tbad\n")
    assert find_eeg(path, ("X1", "Fp1", "ECG", "O2")) == [0]
    table.write_text("channel\ttype\nX1\tEEG\n")
    with pytest.raises(UserError, match=r"has no column name; correct its header"):
        find_eeg(path, ("X1",))


def test_a_table_further_up_counts_for_the_recordings_it_names(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.1"}')
    path = write(tmp_path / "sub-01" / "ses-02" / "eeg", {"X1": 64, "Fp1": 64})
    (tmp_path / "task-sleep_channels.tsv").write_text("name\ttype\nFp1\tEOG\n")
    assert find_eeg(path, ("X1", "Fp1")) == [1]
    (tmp_path / "task-rest_channels.tsv").write_text("name\ttype\nX1\tEEG\n")
    assert find_eeg(path, ("X1", "Fp1")) == [0]


def test_channels_of_one_rate_come_together(tmp_path):
    path = write(tmp_path, {"Fp1": 64, "F3": 128, "ECG": 64, "O2": 64})
    first, second = read_eeg_channels(path, 512)
    assert (first.names, first.sample_rate_hz) == (("Fp1", "O2"), 64)
    assert (second.names, second.sample_rate_hz) == (("F3",), 128)
    times = np.arange(SECONDS * 64) / 64
    np.testing.assert_allclose(first.signal_uv[1], 40 * np.sin(2 * np.pi * 4 * times), atol=0.02)
    assert first.signal_uv.dtype == np.float32
    (slow,) = (group for group in read_eeg_channels(path, 16) if group.sample_rate_hz == 128)
    assert slow.signal_uv.std() == pytest.approx(second.signal_uv.std(), rel=0.02)  # 2 Hz passes


def test_a_file_without_eeg_gives_none_and_a_wrong_unit_is_refused(tmp_path):
    assert read_eeg_channels(write(tmp_path / "a", {"ECG": 64}), 512) == []
    with pytest.raises(UserError, match="unit of Fp1 is 'mA'"):
        read_eeg_channels(write(tmp_path / "b", {"Fp1": 64}, unit="mA"), 512)


@pytest.mark.parametrize(("form", "data"), [("vhdr", "eeg"), ("set and fdt", "fdt")])
def test_data_that_were_cut_off_are_refused(tmp_path, form, data):
    paths = {suffix: tmp_path / f"one.{suffix}" for suffix in FILES[form]}
    write_recording(paths, {})
    (channels,) = read_eeg_channels(paths[FILES[form][0]], 512)
    assert channels.signal_uv.shape == (18, 4.5 * 64)
    paths[data].write_bytes(paths[data].read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"one.{data}: .*\d+ bytes, .*\d+ samples of 18 channels"):
        read_eeg_channels(paths[FILES[form][0]], 512)


def test_a_break_is_refused(tmp_path):
    paths = {suffix: tmp_path / f"one.{suffix}" for suffix in FILES["vhdr"]}
    write_recording(paths, {})
    with paths["vmrk"].open("a") as file:
        file.write("\nMk3=New Segment,,129,1,0,20260102040405000000\n")
    with pytest.raises(UserError, match=r"one.vhdr: discontinuous, with a break at 2 s"):
        read_eeg_channels(paths["vhdr"], 512)
