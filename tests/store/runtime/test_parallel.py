"""Tasks on processes, on Dask and on Ray: the same results, and nothing lost with a worker."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

import store.runtime.parallel
from store.runtime.commands import called_as
from store.runtime.errors import UserError
from store.runtime.parallel import WorkerSettings, run_tasks
from tests.helpers import tasks
from tests.helpers.paths import ROOT


@pytest.fixture(params=["loky", "dask", "ray"])
def two(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    """Two workers of each kind."""
    if request.param == "dask":
        return WorkerSettings(backend="dask", scheduler=request.getfixturevalue("dask_cluster").scheduler_address)
    if request.param == "ray":
        pytest.importorskip("ray", reason="an optional extra; CONTRIBUTING says how to test it")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for Ray's workers to find tests.helpers.tasks
    return WorkerSettings(backend=request.param, jobs=2)


def test_a_lost_worker_loses_nothing(two: WorkerSettings, tmp_path: Path) -> None:
    markers = [tmp_path / str(number) for number in range(4)]
    for marker in markers[1:]:
        marker.touch()
    assert sorted(run_tasks(tasks.die_once, markers, two)) == [(marker, marker.name) for marker in markers]


def test_a_task_that_loses_every_worker_ends(two: WorkerSettings) -> None:
    with pytest.raises(UserError, match=r"lost its worker 4 times, perhaps for lack of memory; run the same"):
        list(run_tasks(tasks.die, [1], two))


def test_errors_come_back_as_they_were(two: WorkerSettings) -> None:
    with pytest.raises(OSError, match="disk full; make room") as caught:
        list(run_tasks(tasks.full_disk, [1, 2], two))
    assert caught.value.errno == 28


def test_workers_name_commands_as_they_were_called(two: WorkerSettings) -> None:
    with called_as({"eval": "braincodec-seizure eval"}):
        assert list(run_tasks(tasks.name_command, ["eval"], two)) == [("eval", "braincodec-seizure eval")]
    assert list(run_tasks(tasks.name_command, ["eval"], two)) == [("eval", "python -m eval")]


def test_cores_are_shared_out() -> None:
    ((_, threads),) = run_tasks(tasks.Threads(), [1], WorkerSettings(jobs=2))
    assert threads == max(1, joblib.cpu_count() // 2)


def test_no_more_processes_than_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    started, parallel = [], joblib.Parallel

    def record(jobs: int, **options: str) -> joblib.Parallel:
        started.append(jobs)
        return parallel(min(jobs, 3), **options)

    monkeypatch.setattr(joblib, "Parallel", record)
    assert sorted(run_tasks(tasks.square, [3, 2], WorkerSettings(jobs=100_000))) == [(2, 4), (3, 9)]
    assert started == [2]


def test_one_job_needs_no_process() -> None:
    assert list(run_tasks(tasks.square, [3, 2], WorkerSettings())) == [(3, 9), (2, 4)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 0}, "--jobs 0: not usable; allowed: 1 and more"),
        ({"scheduler": "tcp://a:1"}, "--scheduler tcp://a:1: goes with --backend dask, not with loky"),
        ({"address": "auto", "backend": "dask"}, "--address auto: goes with --backend ray, not with dask"),
        (
            {"scheduler": "tcp://a:1", "backend": "dask", "jobs": 2},
            "--jobs 2: the cluster of --scheduler has its own; leave it out",
        ),
    ],
)
def test_options_that_do_not_go_together(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"^--") as caught:
        run_tasks(tasks.square, [1], WorkerSettings(**settings))
    assert str(caught.value) == message


@pytest.mark.parametrize(("backend", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_that_is_not_installed(backend: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    message = rf"--backend {backend}: not installed; pip install --editable '\.\[{backend}\]'"
    with pytest.raises(ValueError, match=message):
        list(run_tasks(tasks.square, [1], WorkerSettings(backend=backend)))


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port on which nobody listens."""
    monkeypatch.setattr(store.runtime.parallel, "ANSWER_S", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("form", ["tcp://127.0.0.1:{}", "nonsense://127.0.0.1:{}", "127.0.0.1"])
def test_a_scheduler_that_does_not_answer(form: str, closed_port: int) -> None:
    pytest.importorskip("distributed", reason="an optional extra")
    address = form.format(closed_port)
    with pytest.raises(UserError, match=f"--scheduler {address}: no Dask scheduler answers; start one"):
        list(run_tasks(tasks.square, [1], WorkerSettings(backend="dask", scheduler=address)))


def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="an optional extra")
    monkeypatch.setattr(store.runtime.parallel, "ANSWER_S", 1)
    with distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        settings = WorkerSettings(backend="dask", scheduler=cluster.scheduler_address)
        with pytest.raises(UserError, match="no worker has come within 1 s; start some with dask worker tcp://"):
            list(run_tasks(tasks.square, [1], settings))


def test_a_scheduler_that_is_lost(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="an optional extra")
    there, never = tmp_path / "there", tmp_path / "never"
    there.touch()
    with distributed.LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        settings = WorkerSettings(backend="dask", scheduler=cluster.scheduler_address)
        results = run_tasks(tasks.wait_for, [there, never], settings)
        assert next(results) == (there, None)
        cluster.close()
        with pytest.raises(UserError, match="--backend dask: the scheduler was lost; run the same command again"):
            next(results)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "127.0.0.1:x"])
def test_a_ray_cluster_that_does_not_answer(form: str, closed_port: int) -> None:
    pytest.importorskip("ray", reason="an optional extra")
    address = form.format(closed_port)
    with pytest.raises(UserError, match=f"--address {address}: no Ray cluster answers; start one with"):
        list(run_tasks(tasks.square, [1], WorkerSettings(backend="ray", address=address)))
