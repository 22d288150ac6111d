"""A store of each montage: what it holds, and what follows when channels or the montage change."""

from pathlib import Path

import numpy as np
import pytest

import store
from extract.io.montage import CHANNELS, ELECTRODES
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import Data, name_data_set
from tests.helpers.paths import REAL

NAMES = ("EEG Fp1-REF", "EEG T3-REF", "EEG AF3-REF", "ECG")
RECORDED = ("--montage", "as-recorded")


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Two subjects with three electrodes and an ECG."""
    data = Data(tmp_path / "bids", tmp_path / "store")
    for number, subject in enumerate(("01", "02")):
        write_recording(data.bids, subject, 0, noise_uv(8, number, 4), names=NAMES)
    return data


def test_as_recorded(data: Data) -> None:
    assert data.extract(*RECORDED) == 0
    opened = store.open(data.store)
    assert opened.spec.channels == ("FP1-REF", "T7-REF", "AF3-REF")
    assert opened.spec.montage == "as-recorded"
    assert all(info.channel_mask == (True,) * 3 for info in opened.recordings)
    assert data.extract(*RECORDED, "--check") == 0


def test_features_are_of_the_channels_asked_for(data: Data, tmp_path: Path) -> None:
    table = tmp_path / "mine.tsv"
    table.write_text("name\tanode\tcathode\nleft\tFP1\tT7\nfront\tAF3\tn/a\n")
    assert data.extract("--montage", str(table)) == 0
    opened = store.open(data.store)
    assert (opened.spec.montage, opened.spec.channels) == ("table", ("left", "front"))
    assert opened.spec.derivations == ("left\tFP1\tT7", "front\tAF3\t")
    other = Data(data.bids, tmp_path / "recorded")
    assert other.extract(*RECORDED) == 0
    recorded = store.open(other.store)
    latents, all_latents = opened.latents(opened.recordings[0]), recorded.latents(recorded.recordings[0])
    np.testing.assert_array_equal(latents[:, :, 1], all_latents[:, :, 2])
    both, difference = 10.0 ** all_latents[:, :, :2, :4].mean((0, 1, 3)), 10.0 ** latents[:, :, 0, :4].mean()
    assert difference == pytest.approx(both.sum(), rel=0.3)  # of two white noises


def test_a_store_of_one_montage_takes_no_other(data: Data, capsys: pytest.CaptureFixture) -> None:
    assert data.extract(*RECORDED) == 0
    for more in (
        (),
        ("--montage", "referential-1020"),
        ("--check",),
        ("--check", "--encoder", "random", *RECORDED),
    ):
        assert data.extract(*more) == 2
        message = capsys.readouterr().err
        assert "montage is 'as-recorded', wanted" in message or "wanted 'random'" in message
        assert "another --store" in message


def test_a_changed_table_of_channels_encodes_its_recording_again(
    data: Data, capsys: pytest.CaptureFixture
) -> None:
    arguments = (*RECORDED, "--channels", "common")
    assert data.extract(*arguments) == 0
    table = data.stem("02", 0).with_name(f"{data.stem('02', 0).name}_channels.tsv")
    table.write_text("name\ttype\n" + "".join(f"{name}\tEEG\n" for name in NAMES[:3]) + "ECG\tECG\n")
    capsys.readouterr()
    assert data.extract(*arguments) == 0
    assert "sub-02: encoded 1 recording (channels.tsv changed)" in capsys.readouterr().out
    assert data.extract(*arguments) == 0
    assert "2 up to date" in capsys.readouterr().out


@pytest.mark.parametrize("channels", ["same", "common"])
def test_a_bad_channel_concerns_its_own_recording_alone(
    channels: str, data: Data, capsys: pytest.CaptureFixture
) -> None:
    arguments = (*RECORDED, "--channels", channels)
    assert data.extract(*arguments) == 0
    table = data.stem("02", 0).with_name(f"{data.stem('02', 0).name}_channels.tsv")
    rows = zip(NAMES, ("EEG\tgood", "EEG\tbad", "EEG\tgood", "ECG\tgood"), strict=True)
    table.write_text("name\ttype\tstatus\n" + "".join(f"{name}\t{row}\n" for name, row in rows))
    write_recording(data.bids, "03", 0, noise_uv(8, 3, 4), names=NAMES)
    capsys.readouterr()
    assert data.extract(*arguments) == 1
    out, error = capsys.readouterr()
    assert "sub-03: encoded 1 recording (new)" in out
    assert "missing channel T7-REF" in error
    assert "to encode zeros instead, add --missing zero" in error
    masks = [info.channel_mask for info in store.open(data.store).recordings]
    assert masks == [(True,) * 3] * 3  # the file of sub-02 stays as it was
    assert data.extract(*arguments, "--missing", "zero") == 0
    opened = store.open(data.store)
    assert opened.spec.channels == ("FP1-REF", "T7-REF", "AF3-REF")
    assert [info.channel_mask for info in opened.recordings] == [(True,) * 3, (True, False, True), (True,) * 3]
    assert data.extract(*arguments, "--missing", "zero", "--check") == 0


def test_a_channel_more_than_the_store_has_is_refused_unless_common_ones_are_taken(
    data: Data, capsys: pytest.CaptureFixture
) -> None:
    assert data.extract(*RECORDED) == 0
    write_recording(data.bids, "03", 0, noise_uv(8, 3, 5), names=("EEG O1-REF", *NAMES))
    assert data.extract(*RECORDED) == 2
    assert "recordings differ in their channels" in capsys.readouterr().err
    assert data.extract(*RECORDED, "--channels", "common") == 0


def test_a_table_that_cannot_be_used_stops_no_other_recording(data: Data, capsys: pytest.CaptureFixture) -> None:
    table = data.stem("02", 0).with_name(f"{data.stem('02', 0).name}_channels.tsv")
    table.write_text("name\tkind\n")
    assert data.extract(*RECORDED) == 1
    assert f"{table.name}: has no column type; correct its header, or remove the file" in capsys.readouterr().err
    assert [info.subject for info in store.open(data.store).recordings] == ["01"]
    assert data.extract(*RECORDED, "--skip-unusable") == 0


def test_a_later_subject_may_have_more_than_the_common_channels(data: Data) -> None:
    arguments = (*RECORDED, "--channels", "common")
    assert data.extract(*arguments) == 0
    more = ("EEG O1-REF", *reversed(NAMES))
    write_recording(data.bids, "03", 0, noise_uv(8, 3, 5), names=more)
    assert data.extract(*arguments, "--subject", "03") == 0
    assert store.open(data.store).spec.channels == ("FP1-REF", "T7-REF", "AF3-REF")
    assert len(store.open(data.store).recordings) == 3


def test_workers_take_the_same_montage(data: Data) -> None:
    assert data.extract(*RECORDED, "--jobs", "2") == 0
    assert store.open(data.store).spec.channels == ("FP1-REF", "T7-REF", "AF3-REF")


def test_a_store_of_the_double_banana_is_as_it_was(tmp_path: Path) -> None:
    data = Data(tmp_path / "bids", tmp_path / "store")
    write_recording(data.bids, "01", 0, noise_uv(4, 0))
    assert data.extract() == 0
    spec = store.open(data.store).spec
    assert (spec.montage, spec.derivations, spec.channels) == ("double-banana", (), CHANNELS)
    assert not {"montage", "derivations"} & spec.to_dict().keys()


@pytest.mark.parametrize(
    ("name", "recordings", "channels", "more"),
    [
        ("guinea-bissau", 60, 14, RECORDED),
        ("healthy", 48, 19, ("--montage", "referential-1020")),
        ("icu", 23, 19, ("--montage", "referential-1020", "--unlabelled")),
    ],
)
def test_real_data_sets_without_error_and_without_zeros(
    name: str, recordings: int, channels: int, more: tuple[str, ...], tmp_path: Path
) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"needs ../shared/data/{name}, real EEG that does not travel with the project")
    data = Data(REAL / name, tmp_path / "store")
    assert data.extract(*more) == 0
    opened = store.open(data.store)
    assert len(opened.recordings) == recordings
    assert all(info.channel_mask == (True,) * channels for info in opened.recordings)
    if channels == 19:
        assert opened.spec.channels == ELECTRODES
    assert all((opened.features(info).std((0, 1, 3)) > 0).all() for info in opened.recordings)


def test_a_channel_that_no_recording_has_is_named(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A name with a typo in a table; without ``--missing zero`` the table is named."""
    table = tmp_path / "mine.tsv"
    table.write_text("name\tanode\tcathode\nleft\tFP1\tTT7\nfront\tAF3\tn/a\n")
    assert data.extract("--montage", str(table)) == 1
    assert "missing channel left (FP1-TT7)" in (error := capsys.readouterr().err)
    assert "; check the montage table; to encode zeros instead, add --missing zero" in error
    assert data.extract("--montage", str(table), "--missing", "zero") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "warning: channel left missing in every recording of the store, encoded as zeros; look for a mistake in "
        "the montage table"
    )


def test_a_channel_that_stored_recordings_have_is_not_missing_in_every_one(
    data: Data, capsys: pytest.CaptureFixture
) -> None:
    write_recording(data.bids, "91", 0, noise_uv(8, 9, 1), names=NAMES[:1])
    write_recording(data.bids, "92", 0, noise_uv(8, 9, 4), names=NAMES)
    arguments = ("--montage", "referential-1020", "--missing", "zero", "--subject")
    assert data.extract(*arguments, "92") == 0
    assert "missing in every recording" in (before := capsys.readouterr().err)
    assert data.extract(*arguments, "91") == 0
    assert capsys.readouterr().err == before


def test_a_second_data_set_in_a_store_is_named(data: Data, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    name_data_set(data.bids, "Clips")
    assert data.extract(*RECORDED) == 0
    assert "warning" not in capsys.readouterr().err
    other = Data(tmp_path / "other", data.store)
    write_recording(other.bids, "91", 0, noise_uv(8, 9, 4), names=NAMES)
    name_data_set(other.bids, "Healthy")
    assert other.extract(*RECORDED) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"warning: {data.store} holds Clips, and now Healthy too; unless that is its new name, or this was "
        "meant, remove sub-91.h5"
    )
    assert other.extract(*RECORDED) == 0
    assert not capsys.readouterr().err
