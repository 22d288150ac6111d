"""BrainVision and EEGLAB files: what is cut off, interrupted, elsewhere or not there is refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from extract.io.montage import CHANNELS
from extract.io.raw import EegFile, EegOutline, open_signal, read_outline
from extract.io.signal_files import find_signal_files
from store.runtime.errors import UserError
from tests.fuzz.formats import FILES, write_recording
from tests.helpers.eeg import RATE_HZ, noise_uv

SEED = 110  # of the fuzzed recording
SAMPLES = 288


def write(folder: Path, form: str, **fields: object) -> dict[str, Path]:
    paths = {suffix: folder / f"one.{suffix}" for suffix in FILES[form]}
    write_recording(paths, {})
    if fields:
        write_recording(paths, fields)
    return paths


def opened(path: Path) -> EegFile:
    with open_signal(path) as signal:
        return signal


@pytest.mark.parametrize("form", FILES)
def test_a_sound_recording(tmp_path: Path, form: str) -> None:
    paths = write(tmp_path, form)
    with open_signal(paths[FILES[form][0]]) as signal:
        assert signal.duration_s == 4.5
        wanted_uv = noise_uv(4.5, SEED)
        np.testing.assert_allclose(signal.read(0, signal.samples), wanted_uv, rtol=1e-4, atol=1e-3)


def cut(path: Path, size: int) -> None:
    """Cut a file off, or let it be longer."""
    content = path.read_bytes()
    path.write_bytes(content[:size] if size < len(content) else content + bytes(size - len(content)))


@pytest.mark.parametrize("size", [100, SAMPLES * 72 - 1, SAMPLES * 72 + 1])
def test_data_that_are_no_whole_samples(tmp_path: Path, size: int) -> None:
    paths = write(tmp_path, "vhdr")
    cut(paths["eeg"], size)
    message = rf"one.eeg: {size} bytes, which are not \d+ samples of 18 channels: cut off, or of another header"
    with pytest.raises(UserError, match=message):
        opened(paths["vhdr"])


@pytest.mark.parametrize("size", [72, SAMPLES * 72 - 1, SAMPLES * 72 + 1])
def test_an_fdt_of_another_length_than_its_header_says(tmp_path: Path, size: int) -> None:
    paths = write(tmp_path, "set and fdt")
    cut(paths["fdt"], size)
    what = "truncated" if size < SAMPLES * 72 else "longer than its header says,"
    message = rf"one.fdt: {what} or still being written: {size} bytes, 20736 by its header \(288 samples of 18 ch"
    with pytest.raises(UserError, match=message):
        opened(paths["set"])


def write_oriented(folder: Path, orientation: str, points: object) -> dict[str, Path]:
    """A BrainVision recording of noise, with so many data points by its header, None without."""
    paths = write(folder, "vhdr")
    text = paths["vhdr"].read_text().replace("=MULTIPLEXED", f"={orientation}")
    text = text if points is None else text.replace("SamplingInterval", f"DataPoints={points}\nSamplingInterval")
    paths["vhdr"].write_text(text + "\n[Comment]\nDataPoints=7\n")
    if orientation == "VECTORIZED":
        samples = np.frombuffer(paths["eeg"].read_bytes(), "<f4").reshape(SAMPLES, 18)
        paths["eeg"].write_bytes(samples.T.tobytes())
    return paths


@pytest.mark.parametrize("orientation", ["MULTIPLEXED", "VECTORIZED"])
def test_data_points_are_those_of_the_header(tmp_path: Path, orientation: str) -> None:
    paths = write_oriented(tmp_path, orientation, SAMPLES)
    with open_signal(paths["vhdr"]) as signal:
        np.testing.assert_allclose(signal.read(0, SAMPLES), noise_uv(4.5, SEED), rtol=1e-4, atol=1e-3)
    for samples, what in ((SAMPLES // 2, "truncated"), (SAMPLES + 1, "longer than its header says,")):
        cut(paths["eeg"], samples * 72)
        message = f"one.eeg: {what} or still being written: {samples} points, 288 by its header; fetch or export"
        with pytest.raises(UserError, match=message):
            opened(paths["vhdr"])
        assert read_outline(paths["vhdr"]) == EegOutline()  # so that no event is said to lie past its end
    paths = write_oriented(tmp_path, orientation, "many")
    with pytest.raises(UserError, match=r"one.vhdr: .*'many'.*; export it again"):
        opened(paths["vhdr"])


def test_channels_one_after_the_other_need_data_points(tmp_path: Path) -> None:
    """Without them the length is that of the file, so a part of it would be channels of other samples."""
    paths = write_oriented(tmp_path, "VECTORIZED", None)
    with pytest.raises(UserError, match=r"one.vhdr: VECTORIZED without DataPoints, .*; export it as MULTIPLEXED"):
        opened(paths["vhdr"])
    paths = write_oriented(tmp_path, "MULTIPLEXED", None)
    assert opened(paths["vhdr"]).samples == SAMPLES


@pytest.mark.parametrize("form", ["vhdr", "set and fdt"])
def test_a_recording_without_samples(tmp_path: Path, form: str) -> None:
    paths = write(tmp_path, form, **({} if form == "vhdr" else {"pnts": 0}))
    paths[FILES[form][1]].write_bytes(b"")
    with pytest.raises(UserError, match=r"one\.(vhdr|set): holds no samples; export it again"):
        opened(paths[FILES[form][0]])


def write_flat_set(path: Path, **fields: object) -> Path:
    """An EEGLAB file as newer versions write it, each field a variable."""
    channels = np.zeros(len(CHANNELS), [("labels", object)])
    channels["labels"] = CHANNELS
    signal_uv = noise_uv(4.5, SEED).astype("<f4")
    eeg = {"setname": "x", "nbchan": 18, "pnts": SAMPLES, "srate": float(RATE_HZ), "trials": 1, "xmin": 0.0}
    savemat(path, eeg | {"xmax": 4.5, "chanlocs": channels, "event": [], "data": signal_uv} | fields)
    return path


def test_a_matrix_of_another_shape_than_its_header_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_uv = noise_uv(4.5, SEED)
    monkeypatch.chdir(tmp_path)
    with open_signal(write_flat_set(Path("one.set"))) as signal:
        np.testing.assert_allclose(signal.read(0, SAMPLES), signal_uv, rtol=1e-4, atol=1e-3)
    for fields, message in (
        ({"pnts": 100}, "holds 18 x 288 samples, which are not 100 of 18 channels; export it again"),
        ({"data": signal_uv.T, "pnts": 18}, "holds 288 x 18 samples, which are not 18 of 18 channels"),
        ({"data": np.vstack([signal_uv, signal_uv])}, "holds 36 x 288 samples, which are not 288 of 18 channels"),
    ):
        with pytest.raises(UserError, match=f"one.set: {message}"):
            opened(write_flat_set(tmp_path / "one.set", **fields))
    with pytest.raises(UserError, match=r"one.set: holds 288 x 18 samples, which are not 18 of 18 channels"):
        opened(write(tmp_path, "set", data=signal_uv.T)["set"])


@pytest.mark.parametrize("form", ["set", "set and fdt"])
def test_epochs_are_named(tmp_path: Path, form: str) -> None:
    paths = write(tmp_path, form, trials=12, pnts=24)
    with pytest.raises(UserError, match=r"one.set: epoched, of 12 epochs; give the continuous recording"):
        opened(paths["set"])
    paths = write(tmp_path, form, trials=0)
    with pytest.raises(UserError, match=r"one.set: cannot be read \(damaged, or of a form that mne does not read"):
        opened(paths["set"])


def test_a_form_that_mne_does_not_read(tmp_path: Path) -> None:
    paths = write(tmp_path, "set", chaninfo=[])
    message = r"one.set: cannot be read \(damaged, or of a form that mne does not read: AttributeError in mne\)"
    with pytest.raises(UserError, match=message):
        opened(paths["set"])


def test_a_break_of_brainvision(tmp_path: Path) -> None:
    paths = write(tmp_path, "vhdr")
    with paths["vmrk"].open("a") as file:
        file.write(f"\nMk3=New Segment,,{2 * RATE_HZ + 1},1,0,20260102040405000000\n")
    with pytest.raises(UserError, match=r"one.vhdr: discontinuous, with a break at 2 s \('New Segment/'\); split"):
        opened(paths["vhdr"])


def test_a_break_of_eeglab(tmp_path: Path) -> None:
    event = {"type": "boundary", "latency": 2.0 * RATE_HZ + 1, "duration": 5.0}
    paths = write(tmp_path, "set", event=event)
    with pytest.raises(UserError, match=r"one.set: discontinuous, with a break at 2 s \('boundary'\); split"):
        opened(paths["set"])


def test_a_header_that_names_another_folder(tmp_path: Path) -> None:
    paths = write(tmp_path, "vhdr")
    header = paths["vhdr"].read_text().replace("DataFile=one.eeg", "DataFile=../one.eeg")
    paths["vhdr"].write_text(header)
    with pytest.raises(UserError, match=r"one.vhdr: names a file of another folder, '../one.eeg'; put it beside"):
        opened(paths["vhdr"])


@pytest.mark.parametrize(("form", "data"), [("vhdr", "eeg"), ("vhdr", "vmrk"), ("set and fdt", "fdt")])
def test_data_that_are_not_there(tmp_path: Path, form: str, data: str) -> None:
    paths = write(tmp_path, form)
    path = paths[data]
    path.unlink()
    path.symlink_to("../.git/annex/objects/xx/one")
    with pytest.raises(UserError, match=rf"one.{data}: its content has not been fetched .*datalad get"):
        opened(paths[FILES[form][0]])
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    message = rf"one.{data}: is not a file \(a folder, a pipe or a device\), which one\."
    with pytest.raises(UserError, match=message):
        opened(paths[FILES[form][0]])
    path.unlink()
    if data != "fdt":  # samples may also be in the .set
        with pytest.raises(UserError, match=rf"one.{data}: no such file, which one\.vhdr names; put it there"):
            opened(paths[FILES[form][0]])


def rename(paths: dict[str, Path], name: str) -> dict[str, Path]:
    """Rename the files of a recording as ``mv`` does, which leaves the names in its header as they are."""
    return {suffix: path.rename(path.with_name(f"{name}.{suffix}")) for suffix, path in paths.items()}


@pytest.mark.parametrize("is_own_there", [True, False])
def test_a_set_that_names_the_samples_of_another(tmp_path: Path, is_own_there: bool) -> None:
    """A pair was renamed, then a recording came under its old name: the samples that mne would read."""
    renamed = rename(write(tmp_path, "set and fdt"), "two")
    assert opened(renamed["set"]).duration_s == 4.5  # mne takes the .fdt of the same name where there is no other
    write(tmp_path, "set and fdt")
    if not is_own_there:
        renamed["fdt"].unlink()
    message = r"two.set: names one.fdt for its samples, not two.fdt; give them that name, then open and save it"
    with pytest.raises(UserError, match=message):
        opened(renamed["set"])
    assert read_outline(renamed["set"]) == EegOutline()
    assert opened(tmp_path / "one.set").duration_s == 4.5


@pytest.mark.parametrize(
    ("named", "beside"),
    [("one.eeg", "one.vhdr"), ("one.vmrk", "one.vhdr"), ("one.eeg", "two.eeg"), ("one.vmrk", "two.vmrk")],
)
def test_a_vhdr_that_names_a_file_of_another(tmp_path: Path, named: str, beside: str) -> None:
    paths = rename(write(tmp_path, "vhdr"), "two")
    paths["vhdr"].write_text(paths["vhdr"].read_text().replace("=one.", "=two."))
    assert opened(paths["vhdr"]).duration_s == 4.5
    paths["vhdr"].write_text(paths["vhdr"].read_text().replace(f"=two.{named[4:]}", f"={named}"))
    write(tmp_path, "vhdr")
    if beside != "one.vhdr":
        (tmp_path / "one.vhdr").unlink()
    with pytest.raises(UserError, match=rf"two.vhdr: names {named}, but {beside} is beside it, so that may be of"):
        opened(paths["vhdr"])


def test_a_vhdr_may_name_files_of_another_name_that_are_no_other_recordings(tmp_path: Path) -> None:
    paths = write(tmp_path, "vhdr")
    header = paths["vhdr"].rename(tmp_path / "two.vhdr")
    assert opened(header).duration_s == 4.5
    assert find_signal_files(header) == [header, paths["eeg"], paths["vmrk"]]


@pytest.mark.parametrize("fields", [{"chanlocs": "x"}, {"nbchan": "x"}, {"srate": []}, {"data": 0}])
def test_a_damaged_header_is_one_line(tmp_path: Path, fields: dict[str, object]) -> None:
    paths = write(tmp_path, "set", **fields)
    with pytest.raises(UserError, match=r"one.set: cannot be read \(.+\); export it again, as EDF") as raised:
        opened(paths["set"])
    assert "<class" not in str(raised.value)


@pytest.mark.parametrize("name", ["one.set", "one.edf", "one.vhdr"])
def test_a_pointer_in_the_place_of_a_recording(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("/annex/objects/SHA256E-s1--aa.edf\n")
    with pytest.raises(UserError, match=rf"{name}: its content has not been fetched \(a pointer to it\)"):
        opened(tmp_path / name)


@pytest.mark.parametrize("name", ["one.set", "one.edf", "one.vhdr"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert read_outline(tmp_path / name) == EegOutline()
    with pytest.raises(UserError, match=rf"{name}: a pipe or a device; give an EEG file"):
        opened(tmp_path / name)


@pytest.mark.parametrize("rate_hz", [np.inf, 1e9, 1.0])
def test_a_rate_of_no_eeg(tmp_path: Path, rate_hz: float) -> None:
    paths = write(tmp_path, "set", srate=rate_hz)
    with pytest.raises(UserError, match=r"one.set: sampling rate is .* Hz; allowed: 10 to 100000 Hz; correct"):
        opened(paths["set"])
