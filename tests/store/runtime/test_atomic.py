"""Files that are complete or absent, whatever writes them and whatever fails."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from store.runtime.atomic import (
    atomic_write,
    require_writable,
    sync_folder,
    update_text,
    write_bytes,
    write_text,
)
from store.runtime.errors import DiskFullError, UserError
from tests.helpers.paths import ROOT


def test_a_file_appears_with_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "name", "Jos\u00e9 \udc80", sync=True)
    path = tmp_path / "a" / "b" / "name"
    assert path.read_bytes() == b"Jos\xc3\xa9 \x80"
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert os.listdir(path.parent) == ["name"]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), UserError("x"), OSError("x")])
def test_a_failing_body_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    write_bytes(tmp_path / "a", b"before")

    def fail() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def test_an_update_writes_what_differs_and_leaves_what_is_equal(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    update_text(path, "caf\u00e9")
    os.utime(path, (0, 0))
    update_text(path, "caf\u00e9")
    assert path.stat().st_mtime == 0
    for text in ("cafe!", "tea", ""):  # as many bytes, fewer, none
        update_text(path, text)
        assert path.read_text("utf-8") == text


def test_a_folder_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="a: is a folder; give a file"):
        write_bytes(tmp_path / "a", b"x")
    assert os.listdir(tmp_path) == ["a"]


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (lambda: write_bytes(tmp_path / "file" / "a", b""), lambda: require_writable(tmp_path / "file")):
        with pytest.raises(UserError, match="file: is a file; give a folder"):
            write()


def test_zip_and_numpy_and_torch_write_through_it(tmp_path: Path) -> None:
    import torch

    with atomic_write(tmp_path / "a.npz") as file:
        np.savez_compressed(file, x=np.arange(3))
    with np.load(tmp_path / "a.npz") as content:
        assert content["x"].tolist() == [0, 1, 2]
    with atomic_write(tmp_path / "a.npy") as file:
        np.save(file, np.arange(3))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]
    with atomic_write(tmp_path / "a.pt") as file:
        torch.save({"x": torch.arange(3)}, file)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["x"].tolist() == [0, 1, 2]
    with pytest.raises(OSError, match="fileno"), atomic_write(tmp_path / "b") as file:
        np.arange(3).tofile(file)


WRITERS = {
    "bytes": "file.write(bytes(100_000))",
    "numpy": "np.save(file, np.zeros(100_000))",
    "numpy, last bytes": "np.save(file, np.zeros(19_950, np.uint8)); np.save(file, np.zeros(100, np.uint8))",
    "zip": "zipfile.ZipFile(file, 'w').writestr('a', bytes(100_000))",
    "npz": "np.savez(file, x=np.zeros(100_000))",
    "torch": "import torch; torch.save(torch.zeros(100_000), file)",
    "another library": "file.write(bytes(19_000)); raise RuntimeError('short write')",
    "by name": "os.truncate(file.path, 100_000)",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, writer: str) -> None:
    """A process whose files may not grow past 20 kB stands for a disk that fills up."""
    code = (
        "import os, sys, zipfile, numpy as np\n"
        "from pathlib import Path\n"
        "from store.runtime.atomic import atomic_write\n"
        "from store.runtime.errors import DiskFullError\n"
        "def write():\n"
        "  with atomic_write(Path(sys.argv[1]) / 'a') as file:\n"
        f"    {WRITERS[writer]}\n"
        "try: write()\n"
        "except DiskFullError as error: print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        check=False,
    )
    assert finished.stdout == f"{tmp_path}/a: disk full; make room and run the same command again\n", (
        finished.stderr
    )
    assert os.listdir(tmp_path) == []


def test_what_is_said_late_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system may accept every write and refuse them on closing."""
    write_bytes(tmp_path / "a", b"before")
    close = os.close

    def refuse(number: int) -> None:
        close(number)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr("store.runtime.atomic.os.close", refuse)
    with pytest.raises(DiskFullError, match="a: disk full"):
        write_bytes(tmp_path / "a", b"after")
    monkeypatch.undo()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def leftover(folder: Path, name: str, age_s: float = 0) -> Path:
    path = folder / name.format(uuid.uuid4().hex)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_killed_writers_left_goes(tmp_path: Path) -> None:
    left = [leftover(tmp_path, name) for name in (".{}.tmp", ".sub-01.h5.{}.tmp")]
    others = [leftover(tmp_path, name) for name in (".mine.tmp", "{}.tmp")]
    with atomic_write(tmp_path / "a"), atomic_write(tmp_path / "b"):
        assert not any(path.exists() for path in left)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "a", tmp_path / "b"])


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lustre refuses flock unless it is mounted with it: files are written, old leftovers go, new ones stay."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    old, new = leftover(tmp_path, ".{}.tmp", age_s=100_000), leftover(tmp_path, ".{}.tmp", age_s=10)
    write_bytes(tmp_path / "a", b"x")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a", new])
    assert not old.exists()


def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)


def test_many_writes_look_through_a_folder_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time grows with the files; and what a killed writer left goes sooner or later."""
    for number in range(1000):
        (tmp_path / str(number)).touch()
    seen = []
    listdir = os.listdir

    def count(folder: Path) -> list[str]:
        names = listdir(folder)
        seen.append(len(names))
        return names

    monkeypatch.setattr(os, "listdir", count)
    write_bytes(tmp_path / "first", b"")
    abandoned = tmp_path / f".{uuid.uuid4().hex}.tmp"
    abandoned.touch()
    for number in range(1000):
        write_bytes(tmp_path / f"new-{number}", b"")
    assert sum(seen) < 100 * 1001
    assert not abandoned.exists()
