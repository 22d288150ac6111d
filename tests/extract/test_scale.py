"""Extraction on clusters and in shards: byte for byte the store of one process."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from extract.__main__ import main
from extract.io.shards import parse_shard, split_by_duration
from store import Event
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.processes import content, start, wait


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two persons of three recordings."""
    folder = tmp_path_factory.mktemp("data") / "bids"
    for number in range(6):
        seconds = 20 + 4 * number
        write_recording(folder, f"{number % 2 + 1:02}", number, noise_uv(seconds, number), [Event(2, 5, "sz")])
    return folder


def run(bids: Path, folder: Path, *more: str) -> int:
    return main(["--bids", str(bids), "--store", str(folder), "--encoder", "bandpower", *more])


@pytest.fixture(scope="module")
def wanted(bids: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of an extraction in one process."""
    folder = tmp_path_factory.mktemp("one") / "store"
    assert run(bids, folder) == 0
    return content(folder)


def test_dask_makes_the_same_store(
    bids: Path, wanted: dict[str, bytes], tmp_path: Path, dask_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With relative paths, which the workers could not resolve, and with one of them killed at work."""
    monkeypatch.chdir(tmp_path)
    with dask_cluster.get_client() as client:
        workers = list(client.run(os.getpid).values())
    killer = threading.Thread(target=kill_when, args=(lambda: list(tmp_path.glob("s/.parts/*/*.h5")), workers[0]))
    killer.start()
    assert (
        run(
            Path(os.path.relpath(bids)),
            Path("s"),
            "--backend",
            "dask",
            "--scheduler",
            dask_cluster.scheduler_address,
        )
        == 0
    )
    killer.join()
    assert content(tmp_path / "s") == wanted


def kill_when(ready: Callable[[], Sequence[Path]], pid: int) -> None:
    """Kill a process as soon as there is something."""
    until = time.monotonic() + 60
    while not ready() and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)


def test_ray_makes_the_same_store(
    bids: Path, wanted: dict[str, bytes], tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above."""
    monkeypatch.chdir(tmp_path)
    killed: list[int] = []

    def kill_a_worker() -> None:
        until = time.monotonic() + 60
        while not killed and time.monotonic() < until:
            for command in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    if command.read_bytes().startswith(b"ray::_limited"):
                        os.kill(int(command.parent.name), signal.SIGKILL)
                        killed.append(int(command.parent.name))
                        break

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    status = run(Path(os.path.relpath(bids)), Path("s"), "--backend", "ray", "--address", ray_address)
    killer.join()
    assert (status, len(killed)) == (0, 1)
    assert content(tmp_path / "s") == wanted


def test_ray_on_this_machine(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="an optional extra; CONTRIBUTING says how to test it")
    assert run(bids, tmp_path / "s", "--backend", "ray", "--jobs", "2") == 0
    assert content(tmp_path / "s") == wanted


@pytest.mark.parametrize("order", [("1/2", "2/2"), ("2/2", "1/2")])
def test_shards_make_the_same_store(
    order: Sequence[str],
    bids: Path,
    wanted: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(bids, tmp_path / "s", "--shard", order[0]) == 0
    assert "2 subjects wait for other shards" in capsys.readouterr().out
    assert not list((tmp_path / "s").glob("*.h5"))
    assert run(bids, tmp_path / "s", "--shard", order[1]) == 0
    assert "2 subjects complete" in capsys.readouterr().out
    assert content(tmp_path / "s") == wanted


def test_shards_at_once_make_the_same_store(bids: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    for trial in range(2):
        folder, log = tmp_path / str(trial), tmp_path / "log"
        shards = [start(log, run, bids, folder, "--shard", shard) for shard in ("1/3", "2/3", "3/3")]
        assert [wait(process) for process in shards] == [0, 0, 0], log.read_text()
        assert content(tmp_path / str(trial)) == wanted


def test_more_shards_than_recordings(bids: Path, tmp_path: Path) -> None:
    assert run(bids, tmp_path / "s", "--shard", "9/9") == 0


def test_the_last_shard_does_not_trust_a_damaged_part(
    bids: Path, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    """It publishes nothing; the shard whose part it is mends it and publishes."""
    assert run(bids, tmp_path / "s", "--shard", "1/2") == 0
    part = next((tmp_path / "s").glob(".parts/sub-01/*.h5"))
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    part.write_bytes(damaged)
    assert run(bids, tmp_path / "s", "--shard", "2/2") == 0
    assert [path.name for path in (tmp_path / "s").glob("*.h5")] == ["sub-02.h5"]
    assert run(bids, tmp_path / "s", "--shard", "1/2") == 0
    assert content(tmp_path / "s") == wanted


def test_a_shard_takes_its_number_from_slurm(
    bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ID": "4", "MIN": "3", "COUNT": "2"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert run(bids, tmp_path / "s", "--shard", "slurm") == 0
    assert "2 subjects wait for other shards" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "1/2/3", "a/b", "-1/2", ""])
def test_shards_that_are_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "bids", tmp_path / "s", f"--shard={text}") == 2
    message = f"--shard {text}: not a shard; allowed: i/n with i from 1 to n, as 1/8, or slurm in a job array\n"
    assert capsys.readouterr().err == f"python -m extract: error: {message}"


def test_slurm_that_is_none() -> None:
    with pytest.raises(
        ValueError, match=r"SLURM_ARRAY_TASK_ID, .* not set, this is not a Slurm job array; submit"
    ):
        parse_shard("slurm", {})
    gaps = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3"}
    with pytest.raises(ValueError, match="task 7 of 3 from 1; give the array consecutive numbers"):
        parse_shard("slurm", gaps)


def test_shards_share_all_and_are_balanced() -> None:
    lengths = [4, 4, 1, 1, 1, 3, 2, 2, 2]
    shares = [split_by_duration(lengths, index, 3) for index in range(3)]
    assert sorted(number for own in shares for number in own) == list(range(9))
    assert [sum(lengths[number] for number in own) for own in shares] == [7, 7, 6]
