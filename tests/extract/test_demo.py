import csv
import errno
import hashlib
import json
import re
from pathlib import Path

import edfio
import mne_bids
import numpy as np
import pytest

from extract import demo
from extract.io.montage import CHANNELS
from extract.synthetic import signal_model as simulation
from store.schema import Event

FS = simulation.SAMPLE_RATE_HZ
PERSON = simulation.Person("T7", 0.9, 25.0, 10.0, 25.0, 20.0, 2.0, 250.0, 11.0, 2.5)
SEIZURE = Event(40.0, 40.0, "sz_foc")
SAMPLES = 120 * FS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "bids"
    assert demo.main([str(folder), "--persons", "2", "--recordings", "3", "--minutes", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def electrodes_uv():
    return simulation.simulate(PERSON, SEIZURE, SAMPLES, np.random.default_rng(3))


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def power(signal_uv, low_hz, high_hz):
    """Mean power of each row in a band."""
    frequency_hz = np.fft.rfftfreq(signal_uv.shape[-1], 1 / FS)
    inside = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
    return (np.abs(np.fft.rfft(signal_uv)) ** 2)[..., inside].mean(axis=-1)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_same_seed_gives_identical_files(root, tmp_path):
    arguments = ["--recordings", "3", "--minutes", "1", "--persons"]
    demo.main([str(tmp_path / "again"), *arguments, "2"])
    assert digests(tmp_path / "again") == digests(root)
    demo.main([str(tmp_path / "one"), *arguments, "1"])
    fewer, more = digests(tmp_path / "one"), digests(root)
    assert all(fewer[name] == more[name] for name in fewer if name.startswith("sub-01"))
    demo.main([str(tmp_path / "other"), *arguments, "1", "--seed", "1"])
    edf = "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf"
    assert digests(tmp_path / "other")[edf] != more[edf]


def test_layout_is_that_of_published_bids_sets(root):
    names = {path.name.removesuffix("_eeg.edf") for path in root.rglob("*.edf")}
    first = {"sub-01_ses-01_task-szMonitoring_run-00", "sub-01_ses-01_task-szMonitoring_run-01"}
    second = {f"sub-02_ses-01_task-szMonitoring_run-0{run}" for run in range(3)}
    assert names == first | {"sub-01_ses-02_task-szMonitoring_run-00"} | second
    for path in root.rglob("*.edf"):
        assert path.parent.name == "eeg"
        for suffix in ("eeg.json", "events.tsv", "channels.tsv"):
            assert Path(str(path).replace("eeg.edf", suffix)).is_file()
    assert [path.name for path in root.parent.iterdir()] == ["bids"]


def test_mne_bids_reads_every_recording(root):
    paths = mne_bids.find_matching_paths(root, datatypes="eeg", suffixes="eeg", extensions=".edf")
    assert len(paths) == 6
    for path in paths:
        raw = mne_bids.read_raw_bids(path, verbose="warning")
        assert tuple(raw.ch_names) == CHANNELS
        assert (raw.info["sfreq"], raw.n_times, raw.info["line_freq"]) == (FS, 60 * FS, 60)
        assert set(raw.get_channel_types()) == {"eeg"}
        assert 5e-6 < np.median(raw.get_data().std(axis=1)) < 200e-6


def test_everything_is_marked_synthetic(root):
    description = json.loads((root / "dataset_description.json").read_text())
    assert "ynthetic" in description["Name"]
    assert "SYNTHETIC" in (root / "README").read_text()
    assert "synthetic" in (root / "participants.json").read_text()
    assert [row["participant_id"] for row in rows(root / "participants.tsv")] == ["sub-01", "sub-02"]
    edf = edfio.read_edf(next(root.rglob("*.edf")))
    assert edf.patient.code == edf.recording.equipment_code == "synthetic"
    assert {signal.transducer_type for signal in edf.signals} == {"synthetic"}


def test_edf_keeps_the_signal_within_one_digital_step():
    signal_uv = np.random.default_rng(0).normal(0, 100, (len(CHANNELS), 10 * FS))
    edf = demo.to_edf(signal_uv, "sub-01", demo.START)
    assert tuple(signal.label for signal in edf.signals) == CHANNELS
    assert {signal.physical_dimension for signal in edf.signals} == {"uV"}
    np.testing.assert_allclose([signal.data for signal in edf.signals], signal_uv, rtol=0, atol=0.0501)


def test_events_files(root):
    for path in root.rglob("*_events.tsv"):
        (row,) = rows(path)
        columns = ["onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration"]
        assert list(row) == columns
        assert all(re.fullmatch(r"\d+\.\d\d", row[name]) for name in ("onset", "duration", "recordingDuration"))
        assert row["confidence"] == row["channels"] == "n/a"
        onset_s, length_s = float(row["onset"]), float(row["duration"])
        if path.name.startswith("sub-02") and "run-02" in path.name:
            assert (row["eventType"], onset_s, length_s) == ("bckg", 0, 60)
        else:
            assert row["eventType"].startswith("sz")
            assert 0 < onset_s < onset_s + length_s < 60


@pytest.mark.parametrize("duration_s", [60, 240, 3600])
def test_seizures_lie_inside_the_recording(duration_s):
    for seed in range(50):
        event = simulation.draw_seizure(duration_s, np.random.default_rng(seed))
        assert event.onset_s >= 15
        assert 20 <= event.duration_s <= 60
        assert event.onset_s + event.duration_s < 0.9 * duration_s


def test_bipolar_chains_end_where_they_meet(electrodes_uv):
    signal_uv = simulation.bipolar(electrodes_uv)
    row = dict(zip(CHANNELS, signal_uv, strict=True))
    over = row["FP1-F3"] + row["F3-C3"] + row["C3-P3"] + row["P3-O1"]
    around = row["FP1-F7"] + row["F7-T7"] + row["T7-P7"] + row["P7-O1"]
    np.testing.assert_allclose(over, around, atol=1e-9)
    names = list(simulation.ELECTRODES)
    expected = electrodes_uv[names.index("T8")] - electrodes_uv[names.index("P8")]
    np.testing.assert_array_equal(row["T8-P8"], expected)
    np.testing.assert_allclose(simulation.bipolar(electrodes_uv + 1000), signal_uv, atol=1e-9)


def test_amplitudes_are_those_of_scalp_eeg():
    for seed in range(4):
        generator = np.random.default_rng(seed)
        person = simulation.draw_person(generator)
        signal_uv = simulation.bipolar(simulation.simulate(person, SEIZURE, SAMPLES, generator))
        before = signal_uv[:, : 40 * FS].std(axis=1)
        late = signal_uv[:, 65 * FS : 80 * FS].std(axis=1)
        assert 10 < before.min() <= before.max() < 60
        assert np.median(late) > 1.3 * np.median(before)
        assert 70 < late.max() < 400
        assert np.abs(signal_uv).max() < 1500 < demo.PHYSICAL_RANGE_UV[1]


def test_background_falls_with_frequency_as_asked():
    steep, flat = (
        simulation.background(
            simulation.Person("T7", slope, 25, 10, 0, 0, 0, 0, 9, 3), SAMPLES, np.random.default_rng(0)
        )
        for slope in (1.2, 0.6)
    )
    for signal_uv, slope in ((steep, 1.2), (flat, 0.6)):
        ratio = power(signal_uv, 3.5, 4.5).mean() / power(signal_uv, 35, 45).mean()
        assert np.log10(ratio) == pytest.approx(2 * slope, abs=0.15)
        np.testing.assert_allclose(signal_uv.std(axis=1), 25, rtol=0.15)


def test_alpha_is_posterior_and_mains_is_there():
    signal_uv = simulation.simulate(PERSON, None, SAMPLES, np.random.default_rng(1))
    names = list(simulation.ELECTRODES)
    peak = power(signal_uv, 9.2, 10.8) / ((power(signal_uv, 6, 8) + power(signal_uv, 12.5, 14.5)) / 2)
    occipital, frontal = peak[[names.index("O1"), names.index("O2")]], peak[[names.index("F3"), names.index("FZ")]]
    assert occipital.min() > 3
    assert frontal.max() < 2
    assert np.median(power(signal_uv, 59.9, 60.1) / power(signal_uv, 55, 59)) > 10


def test_blinks_are_frontal_and_muscle_lateral():
    signal_uv = simulation.artefacts(PERSON, SAMPLES, np.random.default_rng(1))
    slow = dict(zip(simulation.ELECTRODES, power(signal_uv, 0.5, 4), strict=True))
    fast = dict(zip(simulation.ELECTRODES, power(signal_uv, 30, 50), strict=True))
    assert min(slow["FP1"], slow["FP2"]) > 20 * max(slow["C3"], slow["O2"])
    assert min(fast["T7"], fast["T8"]) > 8 * max(fast["C3"], fast["CZ"])


def test_seizure_is_focal_first_then_everywhere_and_ends_at_once():
    signal_uv = simulation.seizure(PERSON, SEIZURE, SAMPLES, np.random.default_rng(0))
    seconds = np.arange(SAMPLES) / FS
    assert not signal_uv[:, (seconds < 40) | (seconds >= 80)].any()
    focus = list(simulation.ELECTRODES).index("T7")
    early = signal_uv[:, (seconds >= 41) & (seconds < 44)].std(axis=1)
    late = signal_uv[:, (seconds >= 70) & (seconds < 79)].std(axis=1)
    assert early[focus] > 5
    assert np.delete(early, focus).max() == 0
    assert late.min() > 15
    assert late[focus] > 2 * early[focus]
    arrival_s = np.array([seconds[np.flatnonzero(row)[0]] for row in signal_uv])
    assert np.corrcoef(arrival_s, simulation.distances("T7"))[0, 1] > 0.9
    assert np.argmin(arrival_s) == focus
    assert np.abs(signal_uv[:, (seconds >= 79) & (seconds < 79.6)]).max(axis=1).min() > 15


def test_waves_are_those_of_the_whole_recording():
    """They are computed only where they are heard."""

    def interictal(generator):
        signal_uv, time_s = np.zeros((len(simulation.ELECTRODES), SAMPLES)), np.arange(SAMPLES) / FS
        for place in generator.choice(list(simulation.ELECTRODES), 3, replace=False):
            far = simulation.distances(place)[:, None]
            phase = 2 * np.pi * generator.uniform(2.5, 8) * (time_s - 0.02 * far)
            phase += 0.7 * simulation.noise(simulation.band(-0.5, 0.5), 1, SAMPLES, generator)
            train = simulation.waveform(phase, np.array(generator.uniform(0, 0.8)))
            train *= simulation.bursts(1, (1.5, 7), SAMPLES, generator)
            signal_uv += 0.25 * PERSON.ictal_uv * np.exp(-((far / 0.6) ** 2)) * train
        return signal_uv

    fast = simulation.interictal(PERSON, SAMPLES, np.random.default_rng(0))
    assert 0.02 < np.mean(fast != 0) < 0.5
    np.testing.assert_allclose(fast, interictal(np.random.default_rng(0)), atol=1e-9)


def test_seizure_slows_down():
    row = simulation.seizure(PERSON, SEIZURE, SAMPLES, np.random.default_rng(0))[
        list(simulation.ELECTRODES).index("T7")
    ]

    def rhythm_hz(start_s, stop_s):
        part = row[start_s * FS : stop_s * FS]
        likeness = np.correlate(part, part, "full")[len(part) - 1 :]
        return FS / (FS // 14 + np.argmax(likeness[FS // 14 : FS // 2]))

    assert 8 < rhythm_hz(41, 44) < 13
    assert 2 < rhythm_hz(74, 80) < 4


def test_background_is_low_and_slow_after_the_seizure(electrodes_uv):
    before, after = electrodes_uv[:, : 38 * FS], electrodes_uv[:, 81 * FS : 91 * FS]
    assert np.median(power(after, 4, 30) / len(after[0]) / (power(before, 4, 30) / len(before[0]))) < 0.6
    share_before = power(before, 0.5, 3) / power(before, 4, 30)
    assert np.median(power(after, 0.5, 3) / power(after, 4, 30) / share_before) > 1.5


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_there_is_not_overwritten(tmp_path, capsys, kind):
    target = tmp_path / "there"
    (target if kind == "file" else tmp_path / "there" / "notes.txt").parent.mkdir(exist_ok=True)
    (target if kind == "file" else target / "notes.txt").write_text("mine")
    assert demo.main([str(target)]) == 2
    error = capsys.readouterr().err
    assert f"{target} exists and is not an empty folder; give a new folder" in error
    assert error.count("\n") == 1
    assert len(list(tmp_path.rglob("*"))) == (1 if kind == "file" else 2)


def test_an_empty_folder_is_filled_and_summarised(tmp_path, capsys):
    assert demo.main([str(tmp_path), "--persons", "1", "--recordings", "1", "--minutes", "1"]) == 0
    expected = f"synthetic data set: 1 person, 1 recording, 0.02 h, 1 seizure in {tmp_path}"
    assert capsys.readouterr().out.strip() == expected
    assert (tmp_path / "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf").is_file()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("persons", "0", "--persons 0: not usable; allowed: 1 to 99"),
        ("recordings", "100", "--recordings 100: not usable; allowed: 1 to 99"),
        ("minutes", "0.5", "--minutes 0.5: not usable; allowed: 1 to 60"),
        ("minutes", "nan", "--minutes nan: not usable; allowed: 1 to 60"),
        ("seed", "-1", "--seed -1: not usable; allowed: 0 to 4294967295"),
    ],
)
def test_settings_out_of_range(tmp_path, capsys, field, value, text):
    assert demo.main([str(tmp_path / "new"), f"--{field}", value]) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_failure_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "new")

    monkeypatch.setattr(demo, "write_recording", full)
    assert demo.main([str(tmp_path / "new"), "--minutes", "1"]) == 2
    assert "disk full" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
