"""Other labels, events or person for the features of a file: what a new extraction would write."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store import Event, LeftOut, RecordingInfo, Source, StoreError
from store.reader import open_file, open_store
from store.runtime.errors import DiskFullError
from store.writer import relabel_file, write_file
from tests.helpers.paths import DATA, ROOT
from tests.helpers.stores import SPEC, recording

SOURCE = Source(10, 20, "a" * 64, "b" * 64, "01", "error", witnessed=True)
VALUES = np.random.default_rng(0).normal(size=(7, *SPEC.shape)).astype(np.float32)


def write_both(path: Path, infos: list[RecordingInfo], labels: np.ndarray, **more: Any) -> None:
    blocks = (VALUES[info.first_window : info.first_window + info.windows] for info in infos)
    write_file(path, SPEC, infos, labels, blocks, {}, **more)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    first, second = recording(0, 18), replace(recording(1, 7), first_window=5, first_second=18)
    write_both(tmp_path / "sub-01.h5", [first, second], np.zeros(25, np.uint8))
    return tmp_path / "sub-01.h5"


def test_it_holds_what_a_new_extraction_writes(path: Path) -> None:
    labels = (np.arange(25) % 2).astype(np.uint8)
    event, before = Event(0.0, 1.0, "sz_foc_\u00e9" * 20), open_file(path)
    rows = [replace(info, person="7/\u00e4", events=(event,)) for info in before.recordings]
    more: dict[str, Any] = {
        "dataset": "Clips",
        "sources": {rows[0].name: SOURCE},
        "left_out": [LeftOut("sub-01_run-09", "no events file")],
        "participant": {"age": "7"},
    }
    relabel_file(path, recordings=rows, labels=labels, **more)
    write_both(path.with_name("new.h5"), rows, labels, **more)
    relabelled, extracted = open_file(path), open_file(path.with_name("new.h5"))
    relabelled.verify()
    assert (relabelled.checksum, relabelled.hashes) == (extracted.checksum, extracted.hashes)
    assert relabelled.features().tobytes() == extracted.features().tobytes()
    assert relabelled.recordings == tuple(rows)
    assert (relabelled.version, relabelled.dataset, relabelled.sources) == (2, "Clips", {rows[0].name: SOURCE})
    assert (relabelled.left_out, relabelled.participant) == (tuple(more["left_out"]), {"age": "7"})
    assert relabelled.identity != before.identity
    assert relabelled.former_checksums == ()


def test_pruned_recordings_go(path: Path) -> None:
    second = open_file(path).recordings[1]
    relabel_file(path, recordings=[second], labels=np.ones(7, np.uint8))
    file = open_file(path)
    file.verify()
    assert file.recordings == (replace(second, first_window=0, first_second=0),)
    np.testing.assert_array_equal(file.features(), VALUES[5:].astype(np.float16))
    np.testing.assert_array_equal(file.moments.count, [16, 16, 16])


@pytest.mark.parametrize("name", ["latents", "codes"])
def test_a_file_of_version_1_keeps_its_identity(tmp_path: Path, name: str) -> None:
    path = tmp_path / "sub-07.h5"
    path.write_bytes((DATA / "store-v1" / name / "sub-07.h5").read_bytes())
    before = open_file(path)
    assert (before.version, before.dataset, before.sources, before.left_out) == (1, "", {}, ())
    assert all(info.labelled for info in before.recordings)
    relabel_file(path, recordings=before.recordings, labels=before.labels, dataset="Clips")
    after = open_file(path)
    after.verify()
    assert (after.version, after.dataset, after.identity) == (2, "Clips", before.identity)
    assert after.former_checksums == (before.checksum,)
    relabel_file(path, recordings=before.recordings, labels=before.labels)
    assert open_file(path).former_checksums == (before.checksum, after.checksum)


def test_what_the_file_lacks_is_refused(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"sub-01\.h5: holds no recording sub-01_\S+_run-02; extract the subject"):
        relabel_file(path, recordings=[recording(2, 8)], labels=np.zeros(8, np.uint8))
    with pytest.raises(ValueError, match="windows, seconds and channels belong to its features"):
        relabel_file(path, recordings=[recording(1, 8)], labels=np.zeros(8, np.uint8))
    with pytest.raises(StoreError, match=r"sub-01\.h5: 24 labels for 25 seconds"):
        relabel_file(path, recordings=open_file(path).recordings, labels=np.zeros(24, np.uint8))
    assert path.read_bytes() == before


def test_damaged_features_are_not_given_a_new_file(path: Path) -> None:
    file = open_file(path)
    content = bytearray(path.read_bytes())
    content[file.offset] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"features of sub-01_\S+_run-00 differ from their checksum"):
        relabel_file(path, recordings=file.recordings, labels=file.labels)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_full_disk_leaves_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, before = open_file(path), path.read_bytes()

    def fail(*numbers: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("store.features.transfer.os.copy_file_range", fail)
    monkeypatch.setattr("store.features.transfer.os.pwrite", fail)
    with pytest.raises(DiskFullError, match=r"sub-01\.h5: disk full; make room and run the same command again"):
        relabel_file(path, recordings=file.recordings, labels=file.labels)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_copies_where_the_file_system_cannot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*numbers: int) -> int:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr("store.features.transfer.os.copy_file_range", refuse)
    file = open_file(path)
    relabel_file(path, recordings=file.recordings, labels=file.labels, dataset="Clips")
    open_file(path).verify()


def test_identity_is_of_what_a_run_was_trained_on(path: Path) -> None:
    before = open_file(path)
    first, second = before.recordings
    same = [first, replace(second, start="2030-01-01T00:00:00")]
    event = replace(first, events=(Event(1.0, 2.0, "sz"),))
    labels = before.labels.copy()
    labels[3] = 1
    changes = {
        "labels": (before.recordings, labels),
        "events": ([event, second], before.labels),
        "person": ([replace(info, person="9") for info in before.recordings], before.labels),
        "labelled": ([first, replace(second, labelled=False)], before.labels),
    }
    relabel_file(path, recordings=same, labels=before.labels, dataset="x", participant={"sex": "f"})
    assert open_file(path).identity == before.identity
    seen = {before.identity}
    for recordings, changed in changes.values():
        relabel_file(path, recordings=recordings, labels=changed)
        file = open_file(path)
        assert file.former_checksums == ()
        seen.add(file.identity)
    assert len(seen) == 5


def test_a_store_says_what_moved(path: Path) -> None:
    before = open_store(path.parent)
    first, second = before.recordings
    labels = before.files[0].labels.copy()
    labels[20] = 1
    relabel_file(path, recordings=[first, second], labels=labels)
    after = open_store(path.parent)
    old, new = before.recording_identities(), after.recording_identities()
    assert old[first.name] == new[first.name]
    assert old[first.name].keys() == {"person", "labels", "features"}
    assert old[second.name]["labels"] != new[second.name]["labels"]
    assert old[second.name]["features"] == new[second.name]["features"]
    assert before.identities.keys() == after.identities.keys() == {"01"}
    assert before.identities != after.identities


def test_an_opened_store_is_read_on_when_only_its_sources_change(path: Path) -> None:
    opened = open_store(path.parent)
    values = np.array(opened.features(opened.recordings[0]))
    relabel_file(path, recordings=opened.recordings, labels=opened.files[0].labels, dataset="Clips")
    np.testing.assert_array_equal(opened.features(opened.recordings[0]), values)
    relabel_file(path, recordings=opened.recordings, labels=opened.files[0].labels + 1)
    with pytest.raises(StoreError, match="changed since it was opened"):
        opened.features(opened.recordings[0])


@pytest.mark.parametrize("moment", range(0, 40, 4))
def test_a_kill_leaves_the_old_file_or_the_new_one(path: Path, moment: int) -> None:
    """Killed at one of the calls that change files."""
    code = (
        "import os, sys, numpy as np\n"
        "from pathlib import Path\n"
        "import store.runtime.atomic, store.features.transfer\n"
        "from store.reader import open_file\n"
        "from store.writer import relabel_file\n"
        "path, left = Path(sys.argv[1]), int(sys.argv[2])\n"
        "def count(function):\n"
        "    def counted(*arguments, **more):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), 9)\n"
        "        return function(*arguments, **more)\n"
        "    return counted\n"
        "write = store.runtime.atomic.AtomicFile.write\n"
        "store.runtime.atomic.AtomicFile.write = count(write)\n"
        "for name in ('replace', 'fsync', 'copy_file_range', 'pread'):\n"
        "    setattr(os, name, count(getattr(os, name)))\n"
        "file = open_file(path)\n"
        "relabel_file(path, recordings=file.recordings, labels=np.ones(25, np.uint8))\n"
    )
    before = path.read_bytes()
    finished = subprocess.run([sys.executable, "-c", code, str(path), str(moment)], cwd=ROOT, check=False)
    assert finished.returncode == -9 or moment > 8
    file = open_file(path)
    file.verify()
    assert file.labels.all() if finished.returncode == 0 else file.labels.all() or path.read_bytes() == before
    relabel_file(path, recordings=file.recordings, labels=np.ones(25, np.uint8))
    assert os.listdir(path.parent) == [path.name]
