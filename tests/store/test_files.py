"""Writing, opening, joining: a file is complete and right, or it is not there."""

import hashlib
import os
import pickle
import resource
import subprocess
import sys
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

import store
from store import Event, StoreError
from store.reader import open_file
from store.runtime.atomic import atomic_write
from store.runtime.errors import DiskFullError, UserError
from store.writer import join_files, write_file
from tests.helpers.paths import DATA, ROOT
from tests.helpers.stores import SPEC, recording, write_part, write_subject

V1 = DATA / "store-v1"
RNG = np.random.default_rng(0)


def test_features_labels_and_events_come_back(tmp_path: Path) -> None:
    event = Event(1.25, 3.5, "sz_foc")
    first = write_part(tmp_path / "a.h5", 0, 18, events=[event])
    second = write_part(tmp_path / "b.h5", 1, 7, mask=(True, False, True))
    join_files(tmp_path / "s" / "sub-01.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    opened = store.open(tmp_path / "s")
    one, two = opened.recordings
    np.testing.assert_array_equal(opened.features(one), first.astype(np.float16))
    np.testing.assert_array_equal(opened.features(two), second.astype(np.float16))
    np.testing.assert_array_equal(opened.labels(two), [1, 0, 0, 1, 0, 0, 1])
    assert (one.windows, two.windows, two.first_window, two.first_second) == (5, 2, 5, 18)
    assert (one.events, two.events, two.channel_mask) == ((event,), (), (True, False, True))
    assert one.start == "2026-01-02T03:04:05"


def test_sums_are_those_of_the_stored_values_without_missing_electrodes(tmp_path: Path) -> None:
    first = write_part(tmp_path / "a.h5", 0, 18)
    second = write_part(tmp_path / "b.h5", 1, 7, mask=(True, False, True))
    join_files(tmp_path / "s" / "sub-01.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    sums = store.open(tmp_path / "s").moments("01")
    there = [first.reshape(-1, *SPEC.shape[1:]), second.reshape(-1, *SPEC.shape[1:])]
    there = [part.astype(np.float16).astype(np.float64) for part in there]
    for channel, parts in ((0, there), (1, there[:1]), (2, there)):
        values = np.concatenate([part[:, channel] for part in parts])
        assert sums.count[channel] == len(values)
        np.testing.assert_allclose(sums.total[channel], values.sum(0), rtol=1e-12)
        np.testing.assert_allclose(sums.squares[channel], (values**2).sum(0), rtol=1e-12)


def test_plain_h5py_reads_the_layout(tmp_path: Path) -> None:
    values = write_part(tmp_path / "sub-01.h5", 0, 8)
    with h5py.File(tmp_path / "sub-01.h5") as file:
        assert file["features"].chunks is None
        np.testing.assert_array_equal(file["features"][1], values[1].astype(np.float16))
        assert file["recordings"]["name"][0] == b"sub-01_ses-01_task-szMonitoring_run-00"
        assert file.attrs["person"] == b"01"


def test_store_is_picklable_and_holds_no_handle(tmp_path: Path) -> None:
    write_subject(tmp_path, "01", (40,), 0)
    opened = store.open(tmp_path)
    copy = pickle.loads(pickle.dumps(opened))
    info = copy.recordings[0]
    np.testing.assert_array_equal(copy.features(info), opened.features(info))
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert not [link for link in links if link.startswith(str(tmp_path.resolve()))]  # others may hold their own


def test_same_content_gives_the_same_checksum_in_other_blocks(tmp_path: Path) -> None:
    info = recording(0, 18)
    values = RNG.normal(size=(5, *SPEC.shape)).astype(np.float32)
    labels = np.zeros(18, np.uint8)
    write_file(tmp_path / "a.h5", SPEC, [info], labels, iter([values]), {})
    write_file(tmp_path / "b.h5", SPEC, [info], labels, iter([values[:1], values[1:]]), {})
    assert open_file(tmp_path / "a.h5").checksum == open_file(tmp_path / "b.h5").checksum
    write_file(tmp_path / "c.h5", SPEC, [info], labels, iter([values + 1]), {})
    assert open_file(tmp_path / "c.h5").checksum != open_file(tmp_path / "a.h5").checksum


@pytest.mark.parametrize("bad", [7e4, np.nan, np.inf])
def test_values_that_float16_cannot_hold_are_refused(tmp_path: Path, bad: float) -> None:
    values = np.ones((2, *SPEC.shape), np.float32)
    values[1, 0, 0, 0] = bad
    with pytest.raises(StoreError, match=r"run-00: a feature is not finite as float16 \(largest finite value"):
        write_file(tmp_path / "sub-01.h5", SPEC, [recording(0, 8)], np.zeros(8, np.uint8), iter([values]), {})
    assert not list(tmp_path.iterdir())


def test_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"sub-01\.h5: 7 labels for 8 seconds"):
        write_file(tmp_path / "sub-01.h5", SPEC, [recording(0, 8)], np.zeros(7, np.uint8), iter([]), {})
    assert not list(tmp_path.iterdir())


def test_missing_windows_are_refused(tmp_path: Path) -> None:
    values = np.ones((1, *SPEC.shape), np.float32)
    with pytest.raises(StoreError, match="run-00 has not the 2 windows that were announced"):
        write_file(tmp_path / "sub-01.h5", SPEC, [recording(0, 8)], np.zeros(8, np.uint8), iter([values]), {})
    assert not list(tmp_path.iterdir())


def test_an_error_while_encoding_leaves_the_published_file(tmp_path: Path) -> None:
    path = write_subject(tmp_path, "01", (40,), 0)
    before = path.read_bytes()

    def broken() -> object:
        yield np.ones((1, *SPEC.shape), np.float32)
        raise OSError("the recording went away")

    with pytest.raises(OSError, match="went away"):
        write_file(path, SPEC, [recording(0, 40)], np.zeros(40, np.uint8), broken(), {})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sub-01.h5"]


def test_full_disk_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.writer.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(
        DiskFullError, match=r"disk full: 1\.0 MB needed, 0\.0 MB free; make room and run the same"
    ):
        write_part(tmp_path / "sub-01.h5", 0, 8)
    assert not list(tmp_path.iterdir())


def test_full_disk_while_writing_publishes_nothing(tmp_path: Path) -> None:
    """A process whose files may not grow past 20 kB stands for a disk that fills up."""
    code = (
        "import sys, numpy as np; sys.path[:0] = ['.']\n"
        "from pathlib import Path\n"
        "from store.runtime.errors import DiskFullError\n"
        "from tests.helpers.stores import write_subject\n"
        "try: write_subject(Path(sys.argv[1]), '01', (900,), 0)\n"
        "except DiskFullError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, 20_000)),
        check=False,
    )
    assert "disk full; make room and run the same command again" in done.stdout
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left = tmp_path / f".{uuid.uuid4().hex}.tmp"
    left.write_bytes(b"half")
    with atomic_write(tmp_path / "sub-01.h5") as other:
        other.write(b"x")
        write_part(tmp_path / "sub-01.h5", 0, 8)
        assert not left.exists()
        assert other.path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["sub-01.h5"]
    assert (tmp_path / "sub-01.h5").read_bytes() == b"x"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/store: a part of this path is a file; give"):
        write_part(tmp_path / "file" / "store" / "sub-01.h5", 0, 8)
    with pytest.raises(UserError, match=r"file: is a file; give a folder"):
        write_part(tmp_path / "file" / "sub-01.h5", 0, 8)


def test_a_read_only_store_is_read(tmp_path: Path) -> None:
    path = write_subject(tmp_path / "s", "01", (40,), 0)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    store.open(path.parent).files[0].verify()
    path.parent.chmod(0o755)


def test_no_folder_and_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: a file; give the folder of a store; python -m extract makes one"):
        store.open(tmp_path / "file")
    with pytest.raises(StoreError, match="no such store; python -m extract makes one"):
        store.open(tmp_path / "none")
    with pytest.raises(StoreError, match=r"no subject in this folder \(sub-\*\.h5\)"):
        store.open(tmp_path)
    for number, waits in ((1, "1 recording waits"), (2, "2 recordings wait")):
        part = tmp_path / ".parts" / f"sub-{number}" / "sub-01_eeg.h5"
        part.parent.mkdir(parents=True)
        part.touch()
        message = f"no finished subject; {waits} in .parts until .*; run the same .* extract again"
        with pytest.raises(StoreError, match=message):
            store.open(tmp_path)


def test_mixed_specs_name_the_field(tmp_path: Path) -> None:
    write_subject(tmp_path, "01", (40,), 0)
    write_subject(tmp_path, "02", (40,), 0, spec=replace(SPEC, precision="bfloat16"))
    with pytest.raises(
        StoreError, match=r"sub-02\.h5: precision is 'bfloat16', wanted 'float32' as in sub-01\.h5"
    ):
        store.open(tmp_path)


def test_a_copy_under_another_name_is_refused(tmp_path: Path) -> None:
    path = write_subject(tmp_path, "01", (40,), 0)
    (tmp_path / "sub-02.h5").write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match=r"sub-02\.h5: holds subject 01; sub-01\.h5 is there too, remove one"):
        store.open(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match=r"sub-02\.h5: holds subject 01; name it sub-01\.h5"):
        store.open(tmp_path)


def test_a_joined_file_names_all_versions_that_wrote_it(tmp_path: Path) -> None:
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for run, version in enumerate(("1.0", "0.9")):
        write_part(parts[run], run, 18)
        (info,), file = open_file(parts[run]).recordings, open_file(parts[run])
        provenance = {"encoder": {}, "versions": {"torch": "2.9", "numpy": version}}
        write_file(parts[run], file.spec, [info], file.labels, file.blocks(0), provenance)
    for _ in range(2):
        join_files(tmp_path / "sub-01.h5", parts)
        joined = open_file(tmp_path / "sub-01.h5").provenance
        assert joined == {"encoder": {}, "versions": {"torch": "2.9", "numpy": "0.9 and 1.0"}}
    write_file(parts[0], file.spec, [info], file.labels, file.blocks(0), joined)
    join_files(tmp_path / "sub-01.h5", [parts[0]])
    assert open_file(tmp_path / "sub-01.h5").provenance == joined


def test_recording_hash_is_of_the_stored_bytes(tmp_path: Path) -> None:
    values = write_part(tmp_path / "sub-01.h5", 0, 18)
    wanted = hashlib.sha256(values.astype("<f2").tobytes()).hexdigest()
    assert open_file(tmp_path / "sub-01.h5").hashes == (wanted,)


@pytest.mark.parametrize(("features", "dims"), [("latents", 5), ("codes", 2)])
def test_a_store_of_version_1_is_read(features: str, dims: int) -> None:
    opened = store.open(V1 / features)
    opened.files[0].verify()
    one, two = opened.recordings
    values = np.arange(4 * 8 * 3 * dims).reshape(4, 8, 3, dims)
    if features == "codes":
        books = np.arange(40).reshape(2, 4, 5) / 8
        values = books[0][values[..., 0] % 4] + books[1][values[..., 1] % 4]
    else:
        values = values % 97 / 8
    np.testing.assert_array_equal(opened.latents(one), values[:3])
    np.testing.assert_array_equal(opened.latents(two), values[3:])
    np.testing.assert_array_equal(opened.labels(one), [0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(opened.moments("07").count, [32, 24, 32])
    np.testing.assert_allclose(opened.moments("07").total[0], values[:, :, 0].sum((0, 1)))
    assert one.events == (Event(2.25, 3.5, "sz_foc"),)
    assert (one.duration_s, one.start, two.channel_mask) == (9.5, "2026-01-02T03:04:05", (True, False, True))
    assert (opened.persons, opened.provenance["encoder"]["persons_seen"]) == (("07",), ["07", "08"])
