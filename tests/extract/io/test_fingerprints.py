"""Fingerprints follow every file that a recording is made from."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from extract.io.bids import Recording
from extract.io.fingerprints import hash_signal, is_same_signal, read_source
from extract.io.signal_files import explain_absent_signal, find_signal_files
from store.runtime.errors import UserError


def make_recording(folder: Path, name: str = "a_eeg.edf") -> Recording:
    path, events = folder / name, folder / "a_events.tsv"
    path.write_bytes(b"signal")
    events.write_bytes(b"events")
    return Recording("a", path, events, "01", "anna")


def test_what_a_recording_is_made_from(tmp_path: Path) -> None:
    recording = make_recording(tmp_path)
    source = read_source(recording, "error")
    assert source.signal_sha256 == hashlib.sha256(b"signal").hexdigest()
    assert source.events_sha256 == hashlib.sha256(b"events").hexdigest()
    assert (source.signal_bytes, source.signal_mtime_ns) == (6, recording.path.stat().st_mtime_ns)
    assert (source.person, source.missing, source.witnessed) == ("anna", "error", True)
    recording.events_path.unlink()
    assert read_source(recording, "error").events_sha256 is None


def test_a_signal_is_read_only_when_size_or_time_moved(tmp_path: Path) -> None:
    recording = make_recording(tmp_path)
    before = replace(read_source(recording, "error"), signal_sha256="as it was")
    assert read_source(recording, "error", before).signal_sha256 == "as it was"
    os.utime(recording.path, (1, 1))
    assert read_source(recording, "error", before).signal_sha256 == hash_signal(recording.path)


def test_a_copy_is_the_same_signal(tmp_path: Path) -> None:
    recording = make_recording(tmp_path)
    before = read_source(recording, "error")
    os.utime(recording.path, (1, 1))
    assert is_same_signal(before, read_source(recording, "error", before))
    recording.path.write_bytes(b"signaL")
    assert not is_same_signal(before, read_source(recording, "error", before))


def test_all_files_of_a_signal_count(tmp_path: Path) -> None:
    recording = make_recording(tmp_path, "a_eeg.vhdr")
    recording.path.write_text("[Common Infos]\nDataFile=$b.eeg\nMarkerFile = other.vmrk \n")
    data, markers = tmp_path / "a_eeg.eeg", tmp_path / "other.vmrk"
    data.write_bytes(b"data")
    assert find_signal_files(recording.path) == [recording.path, data]  # reading it will say what is absent
    markers.write_bytes(b"markers")
    assert find_signal_files(recording.path) == [recording.path, data, markers]
    before = read_source(recording, "error")
    content = recording.path.read_bytes() + b"datamarkers"
    assert before.signal_sha256 == hashlib.sha256(content).hexdigest()
    markers.write_bytes(b"Markers")
    assert not is_same_signal(before, read_source(recording, "error", before))
    eeglab = tmp_path / "b_eeg.set"
    eeglab.write_bytes(b"set")
    assert find_signal_files(eeglab) == [eeglab]
    eeglab.with_suffix(".fdt").write_bytes(b"fdt")
    assert find_signal_files(eeglab) == [eeglab, eeglab.with_suffix(".fdt")]


def test_a_signal_that_is_gone_is_one_line(tmp_path: Path) -> None:
    recording = make_recording(tmp_path)
    recording.path.unlink()
    with pytest.raises(UserError, match=r"a_eeg.edf: no such file or folder"):
        read_source(recording, "error")


@pytest.mark.parametrize("pointer", [None, "/annex/objects/MD5E-s9--ab.eeg\n"])
def test_the_data_file_of_a_signal_may_not_have_been_fetched(tmp_path: Path, pointer: str | None) -> None:
    recording, data = make_recording(tmp_path, "a_eeg.vhdr"), tmp_path / "a_eeg.eeg"
    recording.path.write_text("DataFile=a_eeg.eeg\nMarkerFile=.\n")
    assert explain_absent_signal(recording.path) is None
    if pointer is None:
        data.symlink_to(".git/annex/objects/MD5E-s9--ab.eeg")
    else:
        data.write_text(pointer)
    assert find_signal_files(recording.path) == [recording.path, data]
    reason = explain_absent_signal(recording.path)
    assert reason is not None
    assert "has not been fetched" in reason
    assert "datalad get a_eeg.eeg" in reason
