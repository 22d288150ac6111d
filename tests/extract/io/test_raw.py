"""Signals of tiny files; each way in which a file can be wrong; real messy clips."""

import csv
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from extract.io import signal_checks
from extract.io.bids import find_recordings
from extract.io.edf_header import read_header
from extract.io.montage import CHANNELS, derive
from extract.io.raw import open_signal, read_duration
from store.runtime.errors import UserError
from tests.helpers.eeg import RATE_HZ, noise_uv, write_recording
from tests.helpers.paths import REAL, ROOT

RAW_CLIPS = REAL / "chbmit-raw-clips"


def noise(seed=0, seconds=4, rate_hz=RATE_HZ, sd_uv=30.0):
    return np.random.default_rng(seed).normal(0, sd_uv, seconds * rate_hz)


def channel(name, data_uv=None, rate_hz=RATE_HZ, unit="uV", bounds=(-800, 800)):
    data_uv = noise(sum(map(ord, name)), rate_hz=rate_hz) if data_uv is None else data_uv
    return edfio.EdfSignal(data_uv, rate_hz, label=name, physical_dimension=unit, physical_range=bounds)


def write_edf(path, channels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(channels, **options).write(path)
    return path


def with_channel(*replaced):
    """The 18 channels, those of the same name replaced, others added at the end."""
    changed = {signal.label: signal for signal in replaced}
    return [changed.pop(name, None) or channel(name) for name in CHANNELS] + list(changed.values())


def rewrite(path, at, text, width=8):
    """Write over a field of an EDF file."""
    data = bytearray(path.read_bytes())
    data[at : at + width] = text.ljust(width).encode("latin-1")
    path.write_bytes(data)
    return path


@pytest.fixture
def edf(tmp_path):
    return tmp_path / "one.edf"


def test_values_are_those_of_mne_to_the_last_bit(tmp_path):
    """EDF with other rates and odd record sizes beside, and BDF with its three bytes."""
    uneven = [channel(name, noise(number), bounds=(-700 - number, 900)) for number, name in enumerate(CHANNELS)]
    write_edf(
        tmp_path / "one.edf", [channel("ECG", noise(rate_hz=256), rate_hz=256), *uneven], data_record_duration=2
    )
    ends = {"physical_dimension": "uV", "physical_range": (-9e3, 8e3)}
    edfio.Bdf([edfio.BdfSignal(noise(i), RATE_HZ, label=name, **ends) for i, name in enumerate(CHANNELS)]).write(
        tmp_path / "one.bdf"
    )
    for name in ("one.edf", "one.bdf"):
        with open_signal(tmp_path / name) as signal:
            raw = mne.io.read_raw(tmp_path / name, verbose="ERROR", include=list(CHANNELS), stim_channel=None)
            for start, stop in ((0, 256), (1, 2), (127, 129), (77, 200), (255, 256)):
                expected_uv = raw.get_data(start=start, stop=stop) * 1e6
                np.testing.assert_array_equal(signal.read(start, stop), expected_uv.astype(np.float32))


def test_values_are_those_of_the_file(edf):
    signals = with_channel(channel("ECG", noise(rate_hz=256), rate_hz=256), channel("Resp", noise(rate_hz=16), 16))
    write_edf(edf, signals[::-1])
    expected_uv = np.stack([row.digital.astype(float) * 1600 / 65535 for row in signals[:18]])
    expected_uv += 0.5 * 1600 / 65535  # the middle of the digital range is half a step below zero
    with open_signal(edf) as signal:
        assert (signal.sample_rate_hz, signal.samples, signal.duration_s) == (RATE_HZ, 4 * RATE_HZ, 4.0)
        assert signal.channel_mask == (True,) * 18
        np.testing.assert_allclose(signal.read(0, signal.samples), expected_uv, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(signal.read(70, 130), signal.read(0, signal.samples)[:, 70:130])
        assert signal.read(0, 1).dtype == np.float32


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e-3), ("V", 1e-6), ("µV", 1)])
def test_units_are_converted(edf, unit, factor):
    scale = [channel(n, noise(i) * factor, bounds=(-800 * factor, 800 * factor)) for i, n in enumerate(CHANNELS)]
    write_edf(edf, scale)
    for index in range(18):
        rewrite(edf, 256 + 18 * 96 + index * 8, unit)
    with open_signal(edf) as signal:
        np.testing.assert_allclose(signal.read(0, 256), [noise(i) for i in range(18)], atol=0.02)


def test_broken_sampling_rate(edf):
    data = [
        edfio.EdfSignal(noise(i, 5, 200)[:999], 199.8, label=n, physical_dimension="uV")
        for i, n in enumerate(CHANNELS)
    ]
    with open_signal(write_edf(edf, data, data_record_duration=5)) as signal:
        assert signal.sample_rate_hz == pytest.approx(199.8)
        assert signal.samples == 999


def test_bdf_and_start(tmp_path):
    data = [
        edfio.BdfSignal(noise(i), RATE_HZ, label=n, physical_dimension="uV", physical_range=(-9e3, 9e3))
        for i, n in enumerate((*CHANNELS, "Status"))
    ]
    path = tmp_path / "one.bdf"
    edfio.Bdf(data).write(path)
    rewrite(path, 168, "06.11.16")
    rewrite(path, 176, "13.43.04")
    with open_signal(path) as signal:
        assert signal.start == "2016-11-06T13:43:04"
        np.testing.assert_allclose(signal.read(0, 256), [noise(i) for i in range(18)], atol=0.01)


def write_brainvision(tmp_path, data_uv, unit="µV"):
    """A BrainVision file of 32-bit floats, the one format here that can hold a NaN."""
    lines = [f"Ch{i}={name},,1,{unit}" for i, name in enumerate(CHANNELS, 1)]
    text = [
        "Brain Vision Data Exchange Header File Version 1.0",
        *("[Common Infos]", "Codepage=UTF-8", "DataFile=one.eeg", "MarkerFile=one.vmrk", "DataFormat=BINARY"),
        *("DataOrientation=MULTIPLEXED", "NumberOfChannels=18", f"SamplingInterval={1e6 / RATE_HZ}"),
        *("[Binary Infos]", "BinaryFormat=IEEE_FLOAT_32", "[Channel Infos]", *lines),
    ]
    (tmp_path / "one.vhdr").write_text("\n".join(text), encoding="utf-8")
    (tmp_path / "one.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n[Marker Infos]\n")
    np.asarray(data_uv, "<f4").T.tofile(tmp_path / "one.eeg")
    return tmp_path / "one.vhdr"


def test_brainvision(tmp_path):
    data_uv = np.stack([noise(i) for i in range(18)])
    with open_signal(write_brainvision(tmp_path, data_uv)) as signal:
        assert signal.start == ""
        np.testing.assert_allclose(signal.read(0, 256), data_uv, rtol=1e-5)


def test_nan_names_channel_and_second(tmp_path, monkeypatch):
    monkeypatch.setattr(signal_checks, "SCAN_S", 1)
    data_uv = np.stack([noise(i) for i in range(18)])
    data_uv[3, 160] = np.nan
    with pytest.raises(ValueError, match=r"one.vhdr: P3-O1 is not a finite number at 2.50 s; export"):
        open_signal(write_brainvision(tmp_path, data_uv))


def test_brainvision_unit(tmp_path):
    with pytest.raises(ValueError, match="unit of FP1-F3 is 'C'; allowed: µV, mV, V"):
        open_signal(write_brainvision(tmp_path, np.ones((18, 64)), unit="C"))


def test_missing_channel(edf):
    write_edf(edf, with_channel()[1:])
    with pytest.raises(ValueError, match=r"one.edf: missing channel FP1-F3; .* --missing zero"):
        open_signal(edf)
    with open_signal(edf, missing="zero") as signal:
        assert signal.channel_mask == (False, *[True] * 17)
        assert not signal.read(0, 256)[0].any()


@pytest.mark.parametrize("level_uv", [0.0, 137.5])
def test_flat_channel(edf, level_uv):
    write_edf(edf, with_channel(channel("F8-T8", np.full(256, level_uv))))
    with pytest.raises(ValueError, match=r"one.edf: flat from beginning to end: F8-T8; .* --missing zero"):
        open_signal(edf)
    with open_signal(edf, missing="zero") as signal:
        assert [CHANNELS[row] for row, there in enumerate(signal.channel_mask) if not there] == ["F8-T8"]
        assert not signal.read(0, 256)[15].any()


def test_flat_electrode_takes_its_derivations_along(edf):
    electrodes = sorted({name for pair in CHANNELS for name in pair.split("-")})
    write_edf(edf, [channel(name, np.zeros(256) if name == "CZ" else None) for name in electrodes])
    with pytest.raises(ValueError, match="flat from beginning to end: FZ-CZ, CZ-PZ;"):
        open_signal(edf)


def test_channel_flat_for_a_while_is_kept(edf, monkeypatch):
    monkeypatch.setattr(signal_checks, "SCAN_S", 1)
    data_uv = noise()
    data_uv[:100] = data_uv[-100:] = 0
    with open_signal(write_edf(edf, with_channel(channel("F8-T8", data_uv)))) as signal:
        assert all(signal.channel_mask)


@pytest.mark.parametrize(
    ("factor", "shown"), [(1000, r"2.73e\+04 uV \(allowed 0.5 to 4557, the"), (1e-3, r"0.0273 uV \(allowed")]
)
def test_an_amplitude_that_no_electrode_gives_counts_as_missing(edf, factor, shown):
    write_edf(edf, with_channel(channel("F8-T8", factor * noise(1), bounds=(-200 * factor, 200 * factor))))
    message = rf"one.edf: a standard deviation that no electrode gives: F8-T8 {shown} .* --missing zero"
    with pytest.raises(UserError, match=message):
        open_signal(edf)
    with open_signal(edf, missing="zero") as signal:
        assert [CHANNELS[row] for row, present in enumerate(signal.channel_mask) if not present] == ["F8-T8"]
        assert not signal.read(0, 256)[15].any()


def test_an_electrode_a_thousand_times_too_large_takes_its_derivations_along(edf):
    electrodes = sorted({name for pair in CHANNELS for name in pair.split("-")})
    rows = [
        channel(name, noise(i, sd_uv=2 + 2998 * (name == "CZ")), bounds=None) for i, name in enumerate(electrodes)
    ]
    write_edf(edf, rows)
    with pytest.raises(UserError, match=r"no electrode gives: FZ-CZ 3\S+ uV, CZ-PZ 3\S+ uV \(allowed 0.5 to 4"):
        open_signal(edf)


def test_all_flat(edf):
    write_edf(edf, [channel(name, np.zeros(256)) for name in CHANNELS])
    with pytest.raises(ValueError, match=r"one.edf: all channels are flat from beginning to end"):
        open_signal(edf, missing="zero")


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3])
def test_wrong_unit_shows_in_the_amplitude(edf, factor):
    write_edf(edf, [channel(n, noise(i) * factor, bounds=None) for i, n in enumerate(CHANNELS)])
    message = r"deviation is (\S+) uV .*, scalp EEG has 0.5 to 5000: the unit in the header is probably wrong"
    with pytest.raises(ValueError, match=message) as refusal:
        open_signal(edf)
    assert float(re.search(message, str(refusal.value))[1]) == pytest.approx(30 * factor, rel=0.1)


@pytest.mark.parametrize("unit", ["", "UV", "nV", "mmHg"])
def test_unit_that_is_no_voltage(edf, unit):
    write_edf(edf, with_channel(channel("F8-T8", unit=unit)))
    with pytest.raises(ValueError, match=f"one.edf: unit of F8-T8 is '{unit}'; allowed: uV, mV, V"):
        open_signal(edf)


def test_mixed_rates(edf):
    write_edf(edf, with_channel(channel("F8-T8", rate_hz=128)))
    with pytest.raises(
        ValueError, match=r"differ in sampling rate: FP1-F3 64 Hz, .* F8-T8 128 Hz, .* resample them"
    ):
        open_signal(edf)


def test_duplicates_that_agree(edf):
    with open_signal(write_edf(edf, [*with_channel(), channel("T4-T6", noise(sum(map(ord, "T8-P8"))))])) as signal:
        assert all(signal.channel_mask)


def test_duplicates_that_disagree(edf):
    write_edf(edf, [*with_channel(), channel("T8-P8", noise(99))])
    with pytest.raises(
        ValueError, match=r"T8-P8 is there twice and differs by up to \d+\.\d uV .*; rename or remove one"
    ):
        open_signal(edf)


@pytest.mark.parametrize("change", [-1, 2])
def test_truncated(edf, change):
    data = write_edf(edf, with_channel()).read_bytes()
    edf.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(
        ValueError, match=r"one.edf: truncated or still being written: \d+ bytes, \d+ by its header"
    ):
        open_signal(edf)


def claims(edf, at, text, width=8):
    return rewrite(write_edf(edf, with_channel()), at, text, width)


@pytest.mark.parametrize(
    ("at", "text", "width", "message"),
    [
        (244, "99999999", 8, r"sampling rate of FP1-F3 is 6.4e-07 Hz \(64 samples in 1e\+08 s\); allowed: 10 to"),
        (244, "1e-9", 8, r"sampling rate of FP1-F3 is 6.4e\+10 Hz .*; allowed: 10 to 100000 Hz"),
        (244, "nan", 8, "no valid EDF or BDF header .*nan where a number belongs"),
        (244, "inf", 8, "no valid EDF or BDF header .*inf where a number belongs"),
        (236, "99999999", 8, r"truncated or still being written: \d+ bytes, \d+ by its header"),
        (236, "-1", 8, "truncated or still being written"),
        (252, "9999", 4, "no valid EDF or BDF header .its length is not what it says"),
        (252, "-1", 4, "no valid EDF or BDF header .-1 channels"),
        (252, "0", 4, "no valid EDF or BDF header .0 channels"),
        (256 + 18 * 216, "99999999", 8, "truncated or still being written"),
        (256 + 18 * 216, "-64", 8, "-64 samples in a data record"),
        (256 + 18 * 104, "nan", 8, "nan where a number belongs"),
        (256 + 18 * 112, "inf", 8, "inf where a number belongs"),
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


def test_no_file(tmp_path):
    with pytest.raises(UserError, match=r"gone.edf: no such file"):
        open_signal(tmp_path / "gone.edf")


def test_unreadable(tmp_path):
    path = tmp_path / "one.set"
    path.write_text("not EEGLAB")
    with pytest.raises(UserError, match=r"one.set: cannot be read \(.+\); export it again, as EDF"):
        open_signal(path)


def discontinuous(edf, gap_s):
    """The channels in two data records of 2 s, the second later by `gap_s`."""
    write_edf(edf, with_channel(), annotations=[edfio.EdfAnnotation(0, None, "x")], data_record_duration=2)
    rewrite(edf, 192, "EDF+D", 5)
    data, time = edf.read_bytes(), b"+2\x14\x14\0"
    later = b"+%g\x14\x14\0" % (2 + gap_s)
    assert data.count(time.ljust(len(later), b"\0")) == 1
    edf.write_bytes(data.replace(time.ljust(len(later), b"\0"), later))
    return edf


@pytest.mark.parametrize("gap_s", [0.05, 3])
def test_gap(edf, gap_s):
    with pytest.raises(
        ValueError, match=r"one.edf: discontinuous, with a gap at 2 s \(it says EDF\+D, .*\); split it at"
    ):
        open_signal(discontinuous(edf, gap_s))


def with_times(edf, kind, times_s):
    """The channels in data records of 0.5 s that begin at given times."""
    options = {"annotations": [edfio.EdfAnnotation(0, None, "x")], "data_record_duration": 0.5}
    write_edf(edf, with_channel(), **options)
    rewrite(edf, 192, kind, 5)
    header = read_header(edf)
    data, end = bytearray(edf.read_bytes()), header.header_bytes
    track = 2 * header.record_samples[-1]
    for time_s in times_s:
        end += header.record_bytes
        data[end - track : end] = (b"+%g\x14\x14\0" % time_s).ljust(track, b"\0")
    edf.write_bytes(data)
    return edf


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
def test_a_missing_hour_is_refused_whatever_the_file_says_it_is(edf, kind):
    times_s = [0, 0.5, 1, 1.5, 3602, 3602.5, 3603, 3603.5]
    with pytest.raises(
        UserError, match=rf"gap at 2 s \(it says {re.escape(kind)}, and data record 4 begins at 3602 s"
    ):
        open_signal(with_times(edf, kind, times_s))


@pytest.mark.parametrize(
    "times_s", [[0.25 + 0.5 * i for i in range(8)], [0.5 * i + 0.01 * (i % 2) for i in range(8)]]
)
def test_a_continuous_file_may_begin_late_and_jitter(edf, times_s):
    with open_signal(with_times(edf, "EDF+C", times_s)) as signal:
        assert signal.duration_s == 4


def test_a_continuous_file_without_readable_times_is_taken_at_its_word(edf):
    with_times(edf, "EDF+C", [0.5 * i for i in range(8)])
    edf.write_bytes(edf.read_bytes().replace(b"\x14\x14", b"??"))
    with open_signal(edf) as signal:
        assert signal.duration_s == 4


def test_discontinuous_without_gap(edf):
    with open_signal(discontinuous(edf, gap_s=0)) as signal:
        assert signal.samples == 4 * RATE_HZ


def test_discontinuous_without_times(edf):
    rewrite(write_edf(edf, with_channel()), 192, "EDF+D", 5)
    with pytest.raises(ValueError, match="discontinuous, and without times of its data records"):
        open_signal(edf)
    discontinuous(edf, gap_s=0)
    edf.write_bytes(edf.read_bytes().replace(b"+2\x14\x14", b"??\x14\x14"))
    with pytest.raises(ValueError, match="data record 1 has no start time"):
        open_signal(edf)


def test_four_hours_are_streamed(edf):
    """Memory stays far under the 130 MB that the signal has as float32."""
    seconds = 4 * 3600
    write_edf(edf, with_channel())
    data = edf.read_bytes()
    head, record = data[: 256 * 19], data[256 * 19 :]
    edf.write_bytes(head + record * (seconds // 4))
    rewrite(edf, 236, str(seconds))
    tracemalloc.start()
    try:
        with open_signal(edf) as signal:
            assert signal.duration_s == seconds
            for start in range(0, signal.samples, 600 * RATE_HZ):
                signal.read(start, start + RATE_HZ)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(
    not RAW_CLIPS.is_dir(), reason="needs ../shared/data/chbmit-raw-clips, which do not travel along"
)
@pytest.mark.parametrize("path", sorted(RAW_CLIPS.glob("*.edf")), ids=lambda path: path.stem)
def test_original_files_equal_their_bids_version(path, real_clips):
    """Duplicates, dummies, other orders, references: within one step of the header's quantisation."""
    with open_signal(path) as signal:
        original_uv = signal.read(0, signal.samples)
        used = {signal.names[index] for index in signal.montage.used}
    assert all(signal.channel_mask)
    assert not [name for name in used if name.startswith(("EKG", "-", "."))]
    steps = []
    for clip in same_record(path, real_clips):
        with open_signal(clip) as bids_signal:
            later = bids_signal.samples - signal.samples  # some begin ten seconds earlier
            bids_uv = bids_signal.read(max(later, 0), bids_signal.samples)
        if bids_uv.shape == original_uv.shape:
            header = edfio.read_edf(clip).signals[0]
            step_uv = np.ptp(header.physical_range) / np.ptp(header.digital_range)
            steps.append(np.abs(bids_uv - original_uv).max() / step_uv)
    assert min(steps) <= 1


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data, real EEG that does not travel along")
def test_all_real_eeg_opens():
    paths = sorted(REAL.rglob("*.edf"))
    for path in paths:
        with open_signal(path, missing="zero") as signal:
            assert signal.duration_s == read_duration(path)
            present = derive(signal.names, "zero").mask
        if all(present) and signal.channel_mask == present:
            open_signal(path).raw.close()
        else:
            message = "missing channel|flat from beginning to end: [A-Z0-9, -]+; to encode"
            with pytest.raises(UserError, match=message):
                open_signal(path)
    assert len(paths) > 300


def same_record(path, real_clips):
    record = "_".join(path.stem.split("_")[:2])
    with (real_clips / "provenance.tsv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t") if row["record"] == record]
    return [recording.path for recording in find_recordings(real_clips) if recording.name in names]


def test_duration_by_the_header_alone(tmp_path: Path) -> None:
    path = write_recording(tmp_path, "01", 0, noise_uv(10.5, 0))
    assert read_duration(path) == 10.5
    (tmp_path / "b.edf").write_bytes(b"no header")
    (tmp_path / "c.vhdr").write_bytes(b"no header")
    assert [read_duration(tmp_path / name) for name in ("b.edf", "c.vhdr", "none.edf")] == [0, 0, 0]
