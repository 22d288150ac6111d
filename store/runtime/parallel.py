"""Run tasks in parallel: in local processes, or on a Dask or Ray cluster with the same files."""

import importlib
import logging
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import joblib

from store.runtime.commands import keep_names
from store.runtime.errors import UserError
from store.runtime.options import optional

Task = TypeVar("Task")
Result = TypeVar("Result")

ANSWER_S = 10  # how long a cluster may take to answer
_LOSSES = 3  # how often a task may lose its worker, as with Dask and Ray


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Parallel tasks: how many, and where they run."""

    jobs: int = 1
    """Largest number of parallel tasks, one process each; they share the cores evenly."""
    backend: Literal["loky", "dask", "ray"] = "loky"
    """Where tasks run: local processes (loky), Dask or Ray; a cluster needs the same files and paths."""
    scheduler: Annotated[str | None, optional("ADDRESS")] = None
    """Address of a Dask scheduler, such as tcp://host:8786; without it, Dask starts --jobs local workers."""
    address: Annotated[str | None, optional("ADDRESS")] = None
    """Address of a Ray cluster, such as host:6379 or "auto"; without it, Ray starts --jobs local workers."""

    @property
    def alone(self) -> bool:
        """Whether all tasks run in this process."""
        return self.backend == "loky" and self.jobs == 1

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises
        ------
        UserError
            Naming the option and what is allowed.
        """
        if self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: not usable; allowed: 1 and more")
        for option, value, backend in (("scheduler", self.scheduler, "dask"), ("address", self.address, "ray")):
            if value is None:
                continue
            if self.backend != backend:
                raise UserError(f"--{option} {value}: goes with --backend {backend}, not with {self.backend}")
            if self.jobs != 1:
                raise UserError(f"--jobs {self.jobs}: the cluster of --{option} has its own; leave it out")


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], settings: WorkerSettings, device: str = "cpu"
) -> Iterator[tuple[Task, Result]]:
    """Run a function on every task; yield (task, result) as they finish, in any order.

    A task whose worker is lost runs again, so it has to bear that. Tasks should carry paths and settings, no
    arrays. ``device`` is what they compute on: only Ray has to know, which hides GPUs nobody asks for.

    Raises
    ------
    UserError
        If the settings do not go together, a library is not installed, no cluster answers or it is lost, or a
        task loses its worker again and again.
    Whatever the function raises.
    """
    settings.check()
    if settings.alone:
        return ((task, function(task)) for task in tasks)
    most = max(2, len(tasks))  # since joblib runs a single job in this process, which would end with its worker
    settings = replace(settings, jobs=min(settings.jobs, most))
    function = keep_names(function)
    if settings.backend == "dask":
        return _run_dask(function, tasks, settings)
    if settings.backend == "ray":
        return _run_ray(function, tasks, settings, device)
    return _run_loky(function, tasks, settings.jobs)


def _run_loky(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Result]]:
    work = joblib.delayed(_numbered)
    waiting = dict(enumerate(tasks))
    for _ in range(_LOSSES + 1):
        parallel = joblib.Parallel(jobs, return_as="generator_unordered")
        given = [work(function, number, task, _threads(jobs)) for number, task in waiting.items()]
        try:
            for number, result in parallel(given):
                yield waiting.pop(number), result
            return
        except BrokenProcessPool:
            continue
    raise _lost(f"one of {len(waiting)} tasks")


# Dask and Ray are used without joblib: its Dask backend waits for ever when a task has lost too many workers,
# its Ray backend loses all results with one worker, and gives them only when all are there.


def _run_dask(
    function: Callable[[Task], Result], tasks: Sequence[Task], settings: WorkerSettings
) -> Iterator[tuple[Task, Result]]:
    distributed = _load("distributed", "dask")
    threads = None if settings.scheduler else _threads(settings.jobs)
    with _dask_client(distributed, settings) as client:
        futures = {client.submit(_limited, function, task, threads, pure=False): task for task in tasks}
        for future in distributed.as_completed(futures, loop=client.loop):
            task = futures.pop(future)
            try:
                yield task, future.result()
            except distributed.KilledWorker as error:
                raise _lost(str(task)) from error
            except CancelledError as error:
                raise UserError(
                    "--backend dask: the scheduler was lost; run the same command again: finished parts are kept"
                ) from error


def _run_ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], settings: WorkerSettings, device: str
) -> Iterator[tuple[Task, Result]]:
    ray = _load("ray", "ray")
    threads = None if settings.address else _threads(settings.jobs)
    with _ray_cluster(ray, settings):
        gpus = int(device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        remote = ray.remote(_limited).options(num_cpus=1, num_gpus=gpus, max_retries=_LOSSES)
        waiting = {remote.remote(function, task, threads): task for task in tasks}
        while waiting:
            for reference in ray.wait(list(waiting))[0]:
                task = waiting.pop(reference)
                try:
                    yield task, ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except ray.exceptions.WorkerCrashedError as error:
                    raise _lost(str(task)) from error


@contextmanager
def _dask_client(distributed: Any, settings: WorkerSettings) -> Iterator[Any]:
    if settings.scheduler is None:
        with (
            # no limit, since Dask kills a worker that reaches it; any port, since its own may be taken
            distributed.LocalCluster(
                n_workers=settings.jobs,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                memory_limit=None,
                silence_logs=logging.ERROR,
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    try:
        _knock(settings.scheduler)  # a client that never connected leaves a traceback when the program ends
        client = distributed.Client(settings.scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--scheduler {settings.scheduler}: no Dask scheduler answers; start one with dask scheduler, "
            "and give the address that it prints, as tcp://host:8786"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWER_S)
        except TimeoutError as error:
            raise UserError(
                f"--scheduler {settings.scheduler}: no worker has come within {ANSWER_S} s; start some with "
                f"dask worker {settings.scheduler}"
            ) from error
        yield client


@contextmanager
def _ray_cluster(ray: Any, settings: WorkerSettings) -> Iterator[None]:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if settings.address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray reports usage to its makers
        ray.init("local", num_cpus=settings.jobs, **quiet)
    else:
        try:
            if settings.address != "auto":
                _knock(settings.address)  # Ray itself tries for much longer
            ray.init(settings.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError) as error:
            raise UserError(
                f"--address {settings.address}: no Ray cluster answers; start one with "
                "ray start --head, and give the address that it prints, or auto on a machine of the cluster"
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise an OSError if nothing listens at the address, a ValueError if it has no port."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.port is None:
        raise UserError("no port")
    socket.create_connection((parts.hostname, parts.port), ANSWER_S).close()


def _limited(function: Callable[[Task], Result], task: Task, threads: int | None) -> Result:
    """Compute with ``threads`` threads; with None, as many as the cluster has set."""
    torch = sys.modules.get("torch")  # what computes with it has loaded it by now
    if threads is not None and torch is not None:
        torch.set_num_threads(threads)
    return function(task)


def _numbered(function: Callable[[Task], Result], number: int, task: Task, threads: int) -> tuple[int, Result]:
    return number, _limited(function, task, threads)


def _threads(jobs: int) -> int:
    """Threads of each job, so that all of them together have the cores.

    >>> _threads(10_000)
    1
    """
    return max(1, int(joblib.cpu_count()) // jobs)


def _lost(task: str) -> UserError:
    return UserError(
        f"{textwrap.shorten(task, 80)}: lost its worker {_LOSSES + 1} times, perhaps for lack of memory; run the "
        "same command again with fewer --jobs, or workers with more memory: finished parts are kept"
    )


def _load(library: str, backend: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise UserError(
            f"--backend {backend}: not installed; pip install --editable '.[{backend}]' in the project's folder"
        ) from error
