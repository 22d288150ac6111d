"""Reading features: the right windows, in any process, and never those of another file."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import store
from store import Store, StoreError
from store.writer import write_file
from tests.helpers.processes import start, wait
from tests.helpers.stores import SPEC, recording, unlabel, write_subject


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    """3 files of 100, 131 and 75 windows."""
    for person, seconds in (("01", 400), ("02", 521), ("03", 300)):
        write_subject(tmp_path / "s", person, (seconds,), int(person))
    return store.open(tmp_path / "s")


def plain(opened: Store) -> np.ndarray:
    return np.concatenate([np.array(file.features()) for file in opened.files])


def test_windows_by_slice_run_over_files(opened: Store) -> None:
    np.testing.assert_array_equal(opened.read(95, 240), plain(opened)[95:240])
    for source in (opened, opened.files[1]):
        np.testing.assert_array_equal(source.read(3, 3), np.empty((0, *SPEC.shape)))


def test_a_recording_is_mapped_where_it_lies(tmp_path: Path) -> None:
    opened = store.open(write_subject(tmp_path, "01", (40, 18, 7), 0).parent)
    for info in opened.recordings:
        wanted = plain(opened)[info.first_window : info.first_window + info.windows]
        np.testing.assert_array_equal(opened.features(info), wanted)
        np.testing.assert_array_equal(opened.latents(info, 1, 2), wanted[1:2].astype(np.float32))


def test_large_reads_are_put_together(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.reader._READ_BYTES", 1000)
    np.testing.assert_array_equal(opened.read(3, 290), plain(opened)[3:290])


def total(opened: Store) -> float:
    return float(opened.read(0, opened.windows).astype(np.float64).sum())


def _total_elsewhere(folder: Path, method: str) -> int:
    opened = store.open(folder)
    with get_context(method).Pool(1) as pool:
        assert pool.apply(total, (pickle.loads(pickle.dumps(opened)),)) == pytest.approx(total(opened))
    return 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_what_one_opened(opened: Store, tmp_path: Path, method: str) -> None:
    log = tmp_path / "log"
    assert wait(start(log, _total_elsewhere, opened.path, method)) == 0, log.read_text()


def test_a_file_written_anew_with_the_same_content_is_read_on(opened: Store) -> None:
    before = np.array(opened.files[0].features())
    write_subject(opened.path, "01", (400,), 1)
    np.testing.assert_array_equal(opened.files[0].features(), before)
    np.testing.assert_array_equal(opened.files[0].read(0, 100), before)


@pytest.mark.parametrize("read", [lambda file: file.features(), lambda file: file.read(0, 2)])
def test_a_file_of_other_content_is_noticed(opened: Store, read: Callable[[object], object]) -> None:
    write_subject(opened.path, "01", (400,), 9)
    with pytest.raises(StoreError, match=r"sub-01\.h5: changed since it was opened; open the store again"):
        read(opened.files[0])


def test_a_file_cut_off_after_opening_is_noticed(opened: Store) -> None:
    path = opened.files[0].path
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(StoreError, match="the file was cut off"):
        opened.files[0].read(0, 100)


def test_what_was_opened_is_shown_in_a_line(opened: Store) -> None:
    assert repr(opened) == f"<Store {opened.path}: 3 persons, 3 recordings of 0.34 h, random latents>"
    assert repr(opened.files[0]) == (
        f"<StoreFile {opened.path}/sub-01.h5: person 01, 1 recording of 0.11 h, random latents>"
    )
    assert (
        repr(opened.recordings[0])
        == "<RecordingInfo sub-01_ses-01_task-szMonitoring_run-00: person 01, 400.00 s, 1 seizure>"
    )
    assert repr(replace(opened.recordings[0], labelled=False)).endswith("400.00 s, no labels>")


def test_recordings_of_one_name_are_refused(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        info = replace(recording(1, 8), name="night", subject=subject, person=subject)
        features = [np.full((2, *SPEC.shape), float(subject), np.float32)]
        provenance = {"encoder": {}, "versions": {}}
        write_file(tmp_path / f"sub-{subject}.h5", SPEC, [info], np.zeros(8, np.uint8), features, provenance)
    with pytest.raises(StoreError) as raised:
        store.open(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}/sub-02.h5: holds night, which {tmp_path}/sub-01.h5 holds too; write it again with a name of "
        "its own, as BIDS gives each recording"
    )


def test_a_recording_of_another_store_is_refused(opened: Store, tmp_path: Path) -> None:
    write_subject(tmp_path / "other", "01", (60,), 1)
    write_subject(tmp_path / "other", "09", (60,), 9)
    for info in store.open(tmp_path / "other").recordings:
        for read in (opened.labels, opened.features, opened.latents):
            with pytest.raises(StoreError, match=rf"/s: holds no such recording {info.name}; give one of"):
                read(info)


def test_a_recording_without_labels_has_none(tmp_path: Path) -> None:
    unlabel(write_subject(tmp_path, "01", (40,), 0))
    opened = store.open(tmp_path)
    with pytest.raises(
        StoreError, match=r"run-00: has no labels; leave out recordings whose info.labelled is False"
    ):
        opened.labels(opened.recordings[0])
    assert not opened.stored_labels(opened.recordings[0]).any()
