"""Headers that no EEG file has, files cut off, and headers of hours of EEG."""

import subprocess
import sys
import time
from pathlib import Path

import edfio
import numpy as np
import pytest

from extract.io.datasets.source import read_edf_info
from extract.io.edf_header import read_header
from extract.io.montage import CHANNELS
from extract.io.raw import open_signal, read_duration
from store.runtime.errors import UserError
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.paths import ROOT
from tests.helpers.signal_files import channel, noise, rewrite, with_channel, write_edf


@pytest.mark.parametrize("change", [-1, 2])
def test_truncated(edf, change):
    data = write_edf(edf, with_channel()).read_bytes()
    edf.write_bytes(data[:change] if change < 0 else data + bytes(change))
    what = "truncated" if change < 0 else "longer than its header says,"
    with pytest.raises(ValueError, match=rf"one.edf: {what} or still being written: \d+ bytes, \d+ by its header"):
        open_signal(edf)


@pytest.mark.parametrize(("kind", "other"), [("edf", "bdf"), ("bdf", "edf")])
@pytest.mark.parametrize("kept", [1, 0.7])
def test_a_file_of_the_other_kind_is_named(tmp_path, kind, other, kept):
    path = tmp_path / f"one.{kind}"
    make, file = {"edf": (edfio.EdfSignal, edfio.Edf), "bdf": (edfio.BdfSignal, edfio.Bdf)}[kind]
    signals = [make(noise(i), 64, label=name, physical_dimension="uV") for i, name in enumerate(CHANNELS)]
    file(signals).write(path)
    renamed = path.with_suffix(f".{other}")
    renamed.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    message = rf"one.{other}: is of the {kind.upper()} format by its first bytes; name it .{kind}$"
    with pytest.raises(UserError, match=message):
        open_signal(renamed)
    with open_signal(path) as signal:
        assert signal.samples == 256


def claims(edf, at, text, width=8):
    return rewrite(write_edf(edf, with_channel()), at, text, width)


@pytest.mark.parametrize(
    ("at", "text", "width", "message"),
    [
        (244, "99999999", 8, r"sampling rate of FP1-F3 is 6.4e-07 Hz \(64 samples in 1e\+08 s\); allowed: 10 to"),
        (244, "1e-9", 8, r"sampling rate of FP1-F3 is 6.4e\+10 Hz .*; allowed: 10 to 100000 Hz"),
        (244, "nan", 8, "no valid EDF or BDF header .*'nan' where a number belongs"),
        (244, "inf", 8, "no valid EDF or BDF header .*'inf' where a number belongs"),
        (236, "99999999", 8, r"truncated or still being written: \d+ bytes, \d+ by its header"),
        (236, "-1", 8, "still being written, or never finished: -1 data records by its header; fetch or export"),
        (244, "1 s", 8, r"no valid EDF or BDF header \('1 s' where a number belongs\); export the file again"),
        (236, "many", 8, r"no valid EDF or BDF header \('many' where a whole number belongs\)"),
        (252, "9999", 4, "no valid EDF or BDF header .its length is not what it says"),
        (252, "-1", 4, "no valid EDF or BDF header .-1 channels"),
        (252, "0", 4, "no valid EDF or BDF header .0 channels"),
        (256 + 18 * 216, "99999999", 8, "truncated or still being written"),
        (256 + 18 * 216, "-64", 8, "-64 samples in a data record"),
        (256 + 18 * 104, "nan", 8, "'nan' where a number belongs"),
        (256 + 18 * 112, "inf", 8, "'inf' where a number belongs"),
    ],
)
def test_claims_that_no_eeg_file_makes(edf, at, text, width, message):
    claims(edf, at, text, width)
    with pytest.raises(UserError, match=rf"^\S+one.edf: .*{message}"):
        open_signal(edf)
    assert read_duration(edf) == 0


def test_time_stamps_that_do_not_end_take_no_time(edf):
    """256 kB of them; twice as many take twice as long, where a pattern would take four times."""
    annotations = edfio.EdfSignal(np.zeros(256_000), 64_000, label="EDF annot", physical_range=(-1, 1))
    write_edf(edf, [*with_channel(), annotations])
    rewrite(edf, 256 + 18 * 16, "EDF Annotations", 16)
    rewrite(edf, 192, "EDF+C", 5)
    header = read_header(edf)
    data = bytearray(edf.read_bytes())
    for record in range(header.records):
        end = header.header_bytes + (record + 1) * header.record_bytes
        data[end - 128_000 : end] = b"+%d\x14" % record * 42_666 + b"+0"
    edf.write_bytes(data)
    begin = time.perf_counter()
    with open_signal(edf) as signal:
        assert signal.samples == 256
    assert time.perf_counter() - begin < 2


def test_hours_in_short_records_need_little_memory(edf):
    """In data records of 0.1 s, each with its time stamp; an hour here, and a day needs as little."""
    script = (
        "import re, sys; from pathlib import Path; from extract.io.raw import open_signal\n"
        "signal = open_signal(Path(sys.argv[1])); assert signal.duration_s == 3600 * int(sys.argv[2])\n"
        "for start in range(0, signal.samples, 250 * 600): signal.read(start, start + 250 * 4)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])"
    )
    rows = [channel(name, noise(i, 4, 250), 250) for i, name in enumerate(CHANNELS)]
    write_edf(edf, rows, data_record_duration=0.1, annotations=[edfio.EdfAnnotation(0, None, "x")])
    header = read_header(edf)
    first = edf.read_bytes()[: header.header_bytes + header.record_bytes]
    track = 2 * sum(header.record_samples[:-1])
    hours = 1
    with edf.open("wb") as file:
        file.write(first[: header.header_bytes])
        record = bytearray(first[header.header_bytes :])
        for number in range(hours * 36_000):
            stamp = b"+%.1f\x14\x14\0" % (number / 10)
            record[track : track + len(stamp)] = stamp
            file.write(record)
    rewrite(edf, 236, str(hours * 36_000))
    command = [sys.executable, "-c", script, str(edf), str(hours)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(finished.stdout) < 120_000


def test_no_records(edf):
    header_bytes = 256 * 19
    edf.write_bytes(write_edf(edf, with_channel()).read_bytes()[:header_bytes])
    rewrite(edf, 236, "0")
    with pytest.raises(ValueError, match=r"one.edf: holds no signal"):
        open_signal(edf)


def test_no_scale(edf):
    write_edf(edf, with_channel())
    rewrite(edf, 256 + 18 * 104, "800")
    with pytest.raises(ValueError, match=r"one.edf: header gives FP1-F3 no scale"):
        open_signal(edf)


@pytest.mark.parametrize("content", [b"", b"not an EDF file" * 99])
def test_no_edf(edf, content):
    edf.write_bytes(content)
    with pytest.raises(ValueError, match=r"one.edf: no valid EDF or BDF header \(.*\); export the file again"):
        open_signal(edf)


def test_header_of_wrong_length(edf):
    rewrite(write_edf(edf, with_channel()), 184, "256")
    with pytest.raises(ValueError, match="its length is not what it says"):
        open_signal(edf)


def test_duration_by_the_header_alone(tmp_path: Path) -> None:
    path = write_recording(tmp_path, "01", 0, noise_uv(10.5, 0))
    assert read_duration(path) == 10.5
    (tmp_path / "b.edf").write_bytes(b"no header")
    (tmp_path / "c.vhdr").write_bytes(b"no header")
    assert [read_duration(tmp_path / name) for name in ("b.edf", "c.vhdr", "none.edf")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("date", "clock", "recording", "start"),
    [
        ("06.11.84", "13.43.04", "", "2084-11-06T13:43:04"),
        ("06.11.85", "00.00.00", "", "1985-11-06T00:00:00"),
        ("02-03-05", "13:43:04", "", "2005-03-02T13:43:04"),
        ("01.01.85", "13.43.04", "Startdate 06-NOV-2091 X X X", "2091-11-06T13:43:04"),
        ("06.11.16", "13.43.04", "Startdate X X X X", "2016-11-06T13:43:04"),
        ("06.11.16", "25.00.00", "", ""),
        ("06.11.16", "", "Startdate 06-NOV-2016 X X X", ""),
        ("00.00.00", "13.43.04", "", ""),
    ],
)
def test_the_start_is_that_of_the_header_or_not_known(edf, date, clock, recording, start):
    claims(edf, 88, recording, 80)
    rewrite(edf, 168, date + clock.rjust(8), 16)
    assert read_header(edf).start == start
    if not recording:
        info = read_edf_info(edf)
        assert (info.start.isoformat() if info.start else "") == start
