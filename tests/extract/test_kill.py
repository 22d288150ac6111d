"""A killed extraction, a full disk, many at once: never a file that lies, and the same store in the end."""

import shutil
import subprocess
from pathlib import Path

import pytest

from extract.__main__ import main as extract
from store.__main__ import main as store_main
from tests.benchmarks import survival
from tests.helpers.processes import content, wait
from tests.helpers.stores import SPEC


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survival.make_data(tmp_path_factory.mktemp("data") / "bids")


@pytest.fixture(scope="module")
def wanted(bids: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of an unbroken extraction."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert wait(survival.start_extract(bids, folder / "store", folder / "log")) == 0
    files = content(folder / "store")
    assert sorted(files) == ["sub-01.h5", "sub-02.h5"]
    return files


def test_killed_extractions_go_on_to_the_same_store(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    survival.kill_and_resume(bids, tmp_path / "s", wanted, [0.05, 0.15, 0.3, 0.5], tmp_path / "log")


def test_killed_relabellings_leave_the_old_or_the_new(
    bids: Path, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    own = shutil.copytree(bids, tmp_path / "bids")
    for name, file in wanted.items():
        (tmp_path / "s").mkdir(exist_ok=True)
        (tmp_path / "s" / name).write_bytes(file)
    survival.kill_and_relabel(own, tmp_path / "s", [0.02, 0.06, 0.1, 0.15], tmp_path / "log")


def test_a_relabelling_at_once_with_another(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    own = shutil.copytree(bids, tmp_path / "bids")
    for folder in ("s", "alone"):
        (tmp_path / folder).mkdir()
        for name, file in wanted.items():
            (tmp_path / folder / name).write_bytes(file)
    survival.change_events(own)
    processes = [survival.start_extract(own, tmp_path / "s", tmp_path / "log") for _ in range(3)]
    assert [wait(process) for process in processes] == [0, 0, 0], (tmp_path / "log").read_text()
    assert wait(survival.start_extract(own, tmp_path / "alone", tmp_path / "log")) == 0
    assert content(tmp_path / "s") == content(tmp_path / "alone")


def test_two_extractions_at_once_make_the_same_store(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    processes = [survival.start_extract(bids, tmp_path / "s", tmp_path / "log") for _ in range(3)]
    assert [wait(process) for process in processes] == [0, 0, 0], (tmp_path / "log").read_text()
    assert content(tmp_path / "s") == wanted


def test_a_damaged_part_is_encoded_again(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    arguments = ["--bids", str(bids), "--store", str(tmp_path / "s"), "--encoder", "bandpower"]
    assert extract([*arguments, "--shard", "1/6"]) == 0
    (part,) = (tmp_path / "s").glob(".parts/*/*.h5")
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    assert extract(arguments) == 0
    assert content(tmp_path / "s") == wanted


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder where a small disk can be mounted."""
    try:
        with survival.small_disk(tmp_path / "disk", 1 << 20):
            pass
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("only root can mount a small disk")
    return tmp_path / "disk"


@pytest.mark.parametrize("blind", [False, True])
def test_a_full_disk_is_said_and_resumed(
    bids: Path, wanted: dict[str, bytes], disk: Path, tmp_path: Path, blind: bool
) -> None:
    size = sum(map(len, wanted.values()))
    assert survival.fill_and_resume(bids, disk, wanted, size, blind, tmp_path / "log")


def test_a_read_only_disk_is_one_line(bids: Path, disk: Path, tmp_path: Path) -> None:
    with survival.small_disk(disk, 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert wait(survival.start_extract(bids, disk, tmp_path / "log")) == 2
        assert store_main(["info", str(disk)]) == 2
    said = (tmp_path / "log").read_text()
    assert "disk: the file system is read-only; use a copy" in said


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    writes, reads = survival.write_and_read(tmp_path / "s", SPEC, 1.0, tmp_path / "log")
    assert writes >= 2
    assert reads >= 4
