"""Which channels are EEG, and which all recordings have."""

from dataclasses import replace
from pathlib import Path

import edfio
import numpy as np
import pytest

from extract.io.bids import find_recordings
from extract.io.channels_table import find_channels_table
from extract.io.montage import as_recorded
from extract.io.recorded_channels import (
    eeg_names,
    find_excluded,
    find_shared_montage,
    hash_channels,
    open_recording,
    read_names,
)
from store.runtime.errors import UserError
from tests.helpers.eeg import noise_uv, write_recording

OTHERS = (
    *("-", ".", "--0", "ECG", "EKG1-REF", "ECG Fp1", "EMG-Ref", "EOG L", "LOC-ROC", "PHOTIC-REF", "IBI", "BURSTS"),
    *("SUPPR", "EDF Annotations", "STI 014", "Status", "TRIG", "DC3-DC4", "SpO2", "RESP1", "VNS", "E1", ""),
)


def write(bids: Path, subject: str, names: tuple[str, ...], run: int = 0) -> Path:
    return write_recording(bids, subject, run, noise_uv(4, run, len(names)), names=names)


def write_table(path: Path, rows: dict[str, str], header: str = "name\ttype\tunits\tstatus") -> Path:
    lines = (f"{name}\t{kind.partition(' ')[0]}\tuV\t{kind.partition(' ')[2]}" for name, kind in rows.items())
    path.write_text("\n".join([header, *lines, ""]))
    return path


def test_without_table_names_tell(tmp_path: Path) -> None:
    eeg = ("AF3", "EEG Fp1-REF", "F7-T7", "BTEleft SD", "CROSStop SD", "T1", "Ch-1", "POz", "A1", "C3-M2", "01")
    assert eeg_names(tmp_path / "a.edf", (*eeg, *OTHERS)) == eeg


def test_numbers_stay_numbers_and_zeros_become_letters(tmp_path: Path) -> None:
    write(tmp_path / "numbered", "01", ("EEG 01", "EEG 02", "EEG 03"))
    write(tmp_path / "named", "01", ("EEG P3", "EEG 01", "EEG 02"))
    shared = [find_shared_montage(find_recordings(tmp_path / name), False)[0] for name in ("numbered", "named")]
    assert [montage.channels for montage in shared] == [("01", "02", "03"), ("P3", "O1", "O2")]


def test_a_table_tells(tmp_path: Path) -> None:
    edf = tmp_path / "sub-01_task-x_eeg.edf"
    kinds = {"ECG": "EEG good", "F7": "EEG bad", "F8": "eeg n/a", "X": "MISC", "O1": "EEG"}
    write_table(tmp_path / "sub-01_task-x_channels.tsv", kinds)
    assert eeg_names(edf, ("F8", "F7", "X", "ECG", "O1", "unlisted")) == ("F8", "ECG", "O1")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("name\tunits", {}, "has no column type; correct its header, or remove the file"),
        (
            "name\ttype\tunits\tstatus",
            {"F7": "MISC"},
            "does not name a good EEG channel of sub-01_eeg.edf, which",
        ),
    ],
)
def test_a_table_that_tells_nothing(tmp_path: Path, header: str, rows: dict[str, str], message: str) -> None:
    write_table(tmp_path / "sub-01_channels.tsv", rows, header)
    with pytest.raises(UserError, match=message):
        eeg_names(tmp_path / "sub-01_eeg.edf", ("F7",))


def test_the_nearest_table_above_counts(tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    edf = write(bids, "01", ("F7", "F8"))
    outside = write_table(tmp_path / "channels.tsv", {"F7": "EEG"})
    assert find_channels_table(edf) is None
    assert hash_channels(edf) == "none"
    top = write_table(bids / "task-szMonitoring_channels.tsv", {"F7": "EEG"})
    write_table(bids / "task-rest_channels.tsv", {"F8": "EEG"})
    assert find_channels_table(edf) == top
    session = write_table(bids / "sub-01/ses-01/sub-01_ses-01_channels.tsv", {"F8": "EEG"})
    write_table(edf.with_name("sub-01_ses-01_task-szMonitoring_run-01_channels.tsv"), {"F8": "EEG"})
    assert find_channels_table(edf) == session
    beside = write_table(edf.with_name("sub-01_ses-01_task-szMonitoring_run-00_channels.tsv"), {"F8": "EEG"})
    assert find_channels_table(edf) == beside
    assert len(hash_channels(edf)) == 64
    assert find_channels_table(tmp_path / "lone.edf") == outside


def test_equal_channels_in_another_order_and_spelling(tmp_path: Path) -> None:
    write(tmp_path, "01", ("EEG Fp1", "T3", "ECG"))
    write(tmp_path, "02", ("T7", "FP1"))
    montage, table = find_shared_montage(find_recordings(tmp_path), take_common=False)
    assert (montage.channels, table) == (("FP1", "T7"), [])


def test_who_has_what(tmp_path: Path) -> None:
    write(tmp_path, "01", ("F7", "F8", "O1"))
    write(tmp_path, "01", ("F8", "F7", "O1"), run=1)
    write(tmp_path, "02", ("O1", "F7"))
    write(tmp_path, "03", ("F7", "O1", "O2"))
    recordings = find_recordings(tmp_path)
    table = (
        "all have F7, O1",
        "sub-01 (2 recordings) also F8",
        "sub-02 (1 recording) has no others",
        "sub-03 (1 recording) also O2",
    )
    with pytest.raises(UserError) as refused:
        find_shared_montage(recordings, take_common=False)
    assert str(refused.value) == (
        f"recordings differ in their channels: {'; '.join(table)}; --channels common takes what all have, or "
        "encode those that agree with --subject"
    )
    montage, said = find_shared_montage(recordings, take_common=True)
    assert (montage.channels, tuple(said)) == (("F7", "O1"), table)


def test_nothing_in_common(tmp_path: Path) -> None:
    write(tmp_path, "01", ("F7",))
    write(tmp_path, "02", ("O1",))
    with pytest.raises(UserError, match=r"recordings have no channel in common: sub-01 .* give a table"):
        find_shared_montage(find_recordings(tmp_path), take_common=True)


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "01", ("F7",))
    broken = write(tmp_path, "02", ("O1",))
    broken.write_bytes(b"no EDF")
    assert find_shared_montage(find_recordings(tmp_path), take_common=False)[0].channels == ("F7",)
    message = r"montage as-recorded: no recording can be read; the first: .*_eeg.edf: no valid EDF or BDF header"
    with pytest.raises(UserError, match=message):
        find_shared_montage(find_recordings(tmp_path, ["02"]), take_common=False)


@pytest.mark.parametrize("header", ["name\tkind\tunits\tstatus", "name\ttype\tunits\tstatus"])
def test_a_table_that_cannot_be_used_is_that_of_its_recording(tmp_path: Path, header: str) -> None:
    write(tmp_path, "01", ("F7",))
    odd = write(tmp_path, "02", ("F7",))
    write_table(odd.with_name(odd.name.replace("_eeg.edf", "_channels.tsv")), {"X1": "EEG"}, header)
    assert find_shared_montage(find_recordings(tmp_path), take_common=False)[0].channels == ("F7",)
    with pytest.raises(
        UserError, match=r"no recording can be read; the first: .*_channels.tsv: (has no|does not)"
    ):
        find_shared_montage(find_recordings(tmp_path, ["02"]), take_common=False)


def test_annotations_are_no_channel(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_eeg.edf"
    signals = [edfio.EdfSignal(np.arange(64.0), 64, label="F8", physical_dimension="uV")]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(0, None, "seen")]).write(path)
    assert read_names(path) == ("F8",)
    write_table(tmp_path / "sub-01_channels.tsv", {"F7": "EEG"})
    with pytest.raises(UserError, match=r"good EEG channel of sub-01_eeg.edf, which has F8$"):
        find_excluded(path)


def test_a_bad_channel_is_missing_and_without_a_table_none_is(tmp_path: Path) -> None:
    path = write(tmp_path, "01", ("F7", "X1"))
    montage = as_recorded(["F7", "X1"])
    with open_recording(path, "error", montage) as signal:
        assert signal.channel_mask == (True, True)
    table = path.with_name(path.name.replace("_eeg.edf", "_channels.tsv"))
    write_table(table, {"F7": "EEG bad", "X1": "EEG good"})
    with open_recording(path, "zero", montage) as signal:
        assert signal.channel_mask == (False, True)
    with pytest.raises(UserError, match="F7"):
        open_recording(path, "error", montage)
    with open_recording(path, "error", replace(montage, name="table")) as signal:
        assert signal.channel_mask == (True, True)
