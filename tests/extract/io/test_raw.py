"""Signals of tiny files and of real messy clips, as they are read."""

import csv
import tracemalloc
from dataclasses import replace

import edfio
import mne
import numpy as np
import pytest

from extract.io.bids import find_recordings
from extract.io.edf_header import ANNOTATIONS, read_header
from extract.io.montage import CHANNELS, derive
from extract.io.preparation import POLYPHASE
from extract.io.raw import EegOutline, open_signal, read_duration, read_outline
from store.runtime.errors import UserError
from tests.helpers.eeg import RATE_HZ
from tests.helpers.paths import REAL
from tests.helpers.signal_files import channel, noise, rewrite, with_channel, write_brainvision, write_edf
from tests.helpers.stores import SPEC

RAW_CLIPS = REAL / "chbmit-raw-clips"


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


def test_a_rate_that_cannot_be_resampled_names_the_file(edf):
    spec = replace(SPEC, resampling=POLYPHASE, sample_rate_hz=256)
    with open_signal(write_edf(edf, with_channel())) as signal:
        odd = replace(signal, sample_rate_hz=256 / 1.00001)
        with pytest.raises(
            UserError, match=r"one.edf: sampling rate is .* Hz, which cannot be resampled to 256 Hz"
        ):
            odd.windows(spec, block=8)


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


def test_brainvision(tmp_path):
    data_uv = np.stack([noise(i) for i in range(18)])
    with open_signal(write_brainvision(tmp_path, data_uv)) as signal:
        assert signal.start == ""
        np.testing.assert_allclose(signal.read(0, 256), data_uv, rtol=1e-5)


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


def test_the_rate_is_that_of_the_eeg(edf):
    fast = (channel("ECG", noise(rate_hz=1024), rate_hz=1024), channel("TRIG", noise(rate_hz=2048), rate_hz=2048))
    write_edf(edf, [*with_channel(), *fast], annotations=[edfio.EdfAnnotation(0, None, "x" * 1500)])
    assert max(read_header(edf).record_samples) == 2048
    assert read_outline(edf).sample_rate_hz == RATE_HZ
    write_edf(edf, fast)
    assert read_outline(edf).sample_rate_hz == 2048
    write_edf(edf, [], annotations=[edfio.EdfAnnotation(0, None, "x" * 1500)])
    assert read_outline(edf) == EegOutline()


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_annotations_are_no_channel_that_is_there(tmp_path, suffix):
    path = tmp_path / f"one{suffix}"
    kind, file = (edfio.BdfSignal, edfio.Bdf) if suffix == ".bdf" else (edfio.EdfSignal, edfio.Edf)
    signals = [kind(np.arange(64.0), 64, label=name, physical_dimension="uV") for name in ("ECG", "F3")]
    file(signals, annotations=[edfio.EdfAnnotation(0, None, "seen")]).write(path)
    assert read_header(path).names[2] in ANNOTATIONS
    with pytest.raises(UserError, match=r"channels there: ECG, F3; give another --montage"):
        open_signal(path)


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


def test_no_file(tmp_path):
    with pytest.raises(UserError, match=r"gone.edf: no such file"):
        open_signal(tmp_path / "gone.edf")


def test_empty_file(tmp_path):
    path = tmp_path / "one.edf"
    path.touch()
    with pytest.raises(UserError, match=r"one.edf: no valid EDF or BDF header \(the file has 0 bytes, its first "):
        open_signal(path)


@pytest.mark.parametrize("name", ["one.py", "one", "one.cnt"])
def test_no_eeg_file_by_its_name(tmp_path, name):
    path = tmp_path / name
    path.write_text("print()")
    with pytest.raises(UserError, match=r"its name is not that of an EEG file; allowed: .edf, .bdf, .vhdr, .set$"):
        open_signal(path)


def test_unreadable(tmp_path):
    path = tmp_path / "one.set"
    path.write_text("not EEGLAB")
    with pytest.raises(UserError, match=r"one.set: cannot be read \(.+\); export it again, as EDF"):
        open_signal(path)


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
        used = {signal.names[index] for index in signal.sources.used}
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
