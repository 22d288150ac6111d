"""Small stores on disk, and the real EEG where it is at hand."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from store import FeatureSpec
from tests.helpers.paths import REAL
from tests.helpers.stores import SPEC, write_subject

# as in an activated environment: hints call this Python "python"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a cluster in one worker of pytest-xdist, so that it starts once."""
    for item in items:
        for cluster in {"dask_cluster", "ray_address"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(cluster))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors compute fastest on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """What a test draws without a generator of its own is the same in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[Any]:
    """A Dask cluster of two processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="an optional extra")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", memory_limit=None, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Address of a Ray cluster of two processes on this machine."""
    pytest.importorskip("ray", reason="an optional extra; CONTRIBUTING says how to test it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=2"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as head:
            _wait_for_port(port)
            yield f"127.0.0.1:{port}"
            head.terminate()


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until, f"nobody listens at {port}"
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def real_clips() -> Path:
    """The BIDS clips of CHB-MIT."""
    if not (REAL / "chbmit-clips").is_dir():
        pytest.skip("needs ../shared/data/chbmit-clips, real EEG that does not travel with the project")
    return REAL / "chbmit-clips"


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Make a store: ``make_store(persons=5, lengths_s=(120, 90), signal=1.5, spec=SPEC)``."""

    def make(
        persons: int = 5,
        lengths_s: Sequence[int] = (120, 90),
        signal: float = 1.5,
        spec: FeatureSpec = SPEC,
        name: str = "store",
    ) -> Path:
        for number in range(persons):
            write_subject(tmp_path / name, f"{number + 1:02}", lengths_s, number, signal, spec)
        return tmp_path / name

    return make
