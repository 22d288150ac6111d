"""Stretches of recordings by name: the right samples, within the recording."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.__main__ import open_eeg, open_eeg_of
from extract.io.montage import CHANNELS
from store import Store, open_stores
from store.runtime.errors import UserError
from tests.helpers.eeg import RATE_HZ, noise_uv, write_recording
from tests.helpers.stores import SPEC, write_subject

STEP_UV = 1600 / 65535  # of the EDF


def name_of(path: Path) -> str:
    return path.name.removesuffix("_eeg.edf")


def test_a_stretch_holds_the_samples_of_its_time(tmp_path: Path) -> None:
    first, second = noise_uv(30, seed=0), noise_uv(20, seed=1)
    names = [name_of(write_recording(tmp_path, "01", run, uv)) for run, uv in enumerate((first, second))]
    with open_eeg({tmp_path: {name: name for name in names}}, SPEC) as read:
        for name, signal_uv, start_s, stop_s in ((names[0], first, 5, 25), (names[1], second, 2, 12)):
            snippet = read(name, start_s, stop_s)
            assert (snippet.start_s, snippet.sample_rate_hz) == (start_s, RATE_HZ)
            assert snippet.channels == CHANNELS
            assert snippet.channel_mask == (True,) * len(CHANNELS)
            expected = signal_uv[:, start_s * RATE_HZ : stop_s * RATE_HZ]
            np.testing.assert_allclose(snippet.signal_uv, expected, atol=STEP_UV)


def test_a_stretch_ends_with_its_recording(tmp_path: Path) -> None:
    signal_uv = noise_uv(30, seed=0)
    name = name_of(write_recording(tmp_path, "01", 0, signal_uv))
    with open_eeg({tmp_path: {name: name}}, SPEC) as read:
        before, after = read(name, -8, 12), read(name, 25, 45)
    assert (before.start_s, before.signal_uv.shape[1]) == (0, 12 * RATE_HZ)
    assert (after.start_s, after.signal_uv.shape[1]) == (25, 5 * RATE_HZ)


def test_a_missing_channel_is_said(tmp_path: Path) -> None:
    signal_uv = noise_uv(30, seed=0, channels=len(CHANNELS) - 1)
    name = name_of(write_recording(tmp_path, "01", 0, signal_uv, names=CHANNELS[:-1]))
    with open_eeg({tmp_path: {name: name}}, SPEC) as read:
        assert read(name, 0, 5).channel_mask == (True,) * (len(CHANNELS) - 1) + (False,)


def test_a_bad_channel_of_a_montage_as_recorded_is_missing_as_in_the_store(tmp_path: Path) -> None:
    path = write_recording(tmp_path, "01", 0, noise_uv(8, 0, 2), names=("F7", "F8"))
    table = "name\ttype\tunits\tstatus\nF7\tEEG\tuV\tbad\nF8\tEEG\tuV\tgood\n"
    path.with_name(f"{name_of(path)}_channels.tsv").write_text(table)
    spec = replace(SPEC, montage="as-recorded", channels=("F7", "F8"))
    with open_eeg({tmp_path: {name_of(path): name_of(path)}}, spec) as read:
        assert read(name_of(path), 0, 5).channel_mask == (False, True)


def test_a_recording_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = write_recording(tmp_path, "01", 0, noise_uv(30, seed=0))
    path.write_bytes(path.read_bytes()[:1000])
    with (
        open_eeg({tmp_path: {name_of(path): name_of(path)}}, SPEC) as read,
        pytest.raises(UserError, match="sub-01"),
    ):
        read(name_of(path), 0, 5)


def make_stores(root: Path, datasets: tuple[str, str], bids: tuple[str, str]) -> Store:
    """A store of each data set, and a recording of noise in the folder of each."""
    for number, (dataset, folder) in enumerate(zip(datasets, bids, strict=True)):
        person = "01" if len({*datasets}) > 1 else f"0{number}"
        write_subject(root / f"store-{number}", person, (30,), number, dataset=dataset)
        write_recording(root / folder, person, 0, noise_uv(30, number))
    return open_stores([root / "store-0", root / "store-1"])


def test_several_stores_are_read_from_the_data_set_of_each(tmp_path: Path) -> None:
    store = make_stores(tmp_path, ("CHB-MIT", "Siena"), ("chb", "siena"))
    bids = [tmp_path / "chb", tmp_path / "siena"]
    names = [info.name for info in store.recordings]
    assert [name.split("/")[0] for name in names] == ["store-0", "store-1"]
    with open_eeg_of(store, bids) as read:
        for seed, name in enumerate(names):
            np.testing.assert_allclose(read(name, 0, 30).signal_uv, noise_uv(30, seed), atol=STEP_UV)
    message = (
        f"--bids: 1 folder, of 2 stores ({tmp_path / 'store-0'}, {tmp_path / 'store-1'}); give the data set of"
    )
    with pytest.raises(UserError, match=re.escape(message)), open_eeg_of(store, bids[:1]):
        pass


def test_stores_of_one_data_set_are_read_from_it(tmp_path: Path) -> None:
    store = make_stores(tmp_path, ("CHB-MIT", "CHB-MIT"), ("chb", "chb"))
    with open_eeg_of(store, [tmp_path / "chb"]) as read:
        for seed, info in enumerate(store.recordings):
            np.testing.assert_allclose(read(info.name, 0, 30).signal_uv, noise_uv(30, seed), atol=STEP_UV)
