"""Kill every command but extract at random moments: the same command then ends as if nothing had happened."""

import contextlib
import io
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from eval.__main__ import main as evaluate
from eval.detect import main as detect
from extract.__main__ import main as extract
from extract.codec import main as codec
from extract.link import main as link
from extract.pretrain.__main__ import main as pretrain
from heads.probe import main as probe
from heads.sweep import main as sweep
from heads.train import main as train
from store.__main__ import main as store_main
from tests.extract.io.datasets.trees import write_chbmit
from tests.fuzz.base import checkpoint_bytes, write_data_set
from tests.helpers.processes import content, start, wait

HEADS = ("--epochs", "20", "--filters", "4", "--hidden", "4", "--precision", "float32", "--device", "cpu")


@dataclass(frozen=True)
class Killed:
    """A command, its arguments, and which names in its folder it makes."""

    name: str
    main: Callable[[Sequence[str]], int]
    arguments: tuple[str, ...]  # a name that the folder has, or will have, is a path
    outputs: tuple[str, ...]
    more: tuple[str, ...] = ()  # arguments that are no paths

    def start(self, folder: Path, log: Path) -> BaseProcess:
        """Start it in a folder, in a process of its own."""
        paths = [part if part.startswith("-") else str(folder / part) for part in self.arguments]
        return start(log, self.main, [*paths, *self.more])


def _compare(argv: Sequence[str]) -> int:
    return evaluate(["compare", *argv])


def _export(argv: Sequence[str]) -> int:
    return store_main(["export", *argv])


def _link(argv: Sequence[str]) -> int:
    return link(["chbmit", *argv])


EDF = "bids/sub-01/ses-01/eeg/sub-01_ses-01_task-x_run-00_eeg.edf"
COMMANDS = (
    Killed("train", train, ("--store", "store", "--out", "made"), ("made",), ("--fold", "all", *HEADS)),
    Killed("sweep", sweep, ("--store", "store", "--out", "made"), ("made",), (*HEADS, "--lr", "1e-2", "1e-3")),
    Killed("probe", probe, ("--store", "store", "--out", "made"), ("made", "store/statistics")),
    Killed("eval", evaluate, ("run",), ("run",), ("--no-report",)),
    Killed(
        "eval --on",
        evaluate,
        ("run", "--on", "store", "--out", "made"),
        ("made",),
        ("--allow-training-persons", "--no-report"),
    ),
    Killed("eval compare", _compare, ("run", "other", "--out", "made"), ("made",)),
    Killed(
        "detect",
        detect,
        (EDF, "made.tsv", "--run", "run", "--probabilities", "p.tsv"),
        ("made.tsv", "p.tsv"),
        ("--device", "cpu"),
    ),
    Killed("codec", codec, (EDF, "made.edf", "--weights", "tiny.safetensors"), ("made.edf",)),
    Killed(
        "store export",
        _export,
        ("store", "--out", "made.npz"),
        ("made.npz",),
        ("--person", "01"),
    ),
    Killed("link", _link, ("source", "made"), ("made",)),
    Killed("link --copy", _link, ("source", "made"), ("made",), ("--copy",)),
    Killed(
        "pretrain",
        pretrain,
        ("--bids", "bids", "--out", "made.safetensors"),
        ("made.safetensors",),
        ("--steps", "6", "--every", "2", "--batch", "2", "--quantize-from", "3", "--precision", "float32"),
    ),
)


def kill_all(folder: Path, kills: int, rng: random.Random) -> str:
    """Kill the commands in turn; their names, and how long each takes.

    Raises
    ------
    AssertionError
        If a command changes an input, or does not go on to what an unbroken one makes.
    """
    prepare(folder / "inputs")
    wanted = {command.name: make_unbroken(command, folder) for command in COMMANDS}
    for number in range(kills):
        command = COMMANDS[number % len(COMMANDS)]
        whole_s, files = wanted[command.name]
        kill_and_repeat(command, folder, rng.uniform(0, whole_s), files)
    return ", ".join(f"{name} ({whole_s:.1f} s)" for name, (whole_s, _) in wanted.items())


def prepare(inputs: Path) -> None:
    """A data set, its store, two scored runs, a download and a checkpoint."""
    write_data_set(inputs / "bids")
    write_chbmit(inputs / "source")
    (inputs / "tiny.safetensors").write_bytes(checkpoint_bytes())
    log = inputs.with_name("log")
    store, run = str(inputs / "store"), str(inputs / "run")
    for main, arguments in (
        (extract, ["--bids", str(inputs / "bids"), "--store", store, "--encoder", "bandpower"]),
        *((train, ["--store", store, "--out", run, "--fold", fold, *HEADS]) for fold in ("all", "final")),
        (probe, ["--store", store, "--out", str(inputs / "other")]),
        (evaluate, [run, "--no-report"]),
        (evaluate, [str(inputs / "other"), "--no-report"]),
    ):
        if wait(start(log, main, arguments)):
            raise AssertionError(log.read_text())
    shutil.rmtree(inputs / "store" / "statistics")


def make_unbroken(command: Killed, folder: Path) -> tuple[float, dict[str, bytes]]:
    """Seconds that a command takes, and all files of its folder after it."""
    with box(folder) as own:
        begin = time.perf_counter()
        if wait(command.start(own, folder / "log")):
            raise AssertionError((folder / "log").read_text())
        return time.perf_counter() - begin, comparable(content(own))


def kill_and_repeat(command: Killed, folder: Path, delay_s: float, wanted: dict[str, bytes]) -> None:
    """Kill a command after a delay, look at its inputs, and repeat it to the end."""
    log = folder / "log"
    log.write_text("")
    with box(folder) as own:
        before = content(own)
        process = command.start(own, log)
        time.sleep(delay_s)
        process.kill()
        wait(process)
        require_same(command, before, content(own), f"an input of {command.name} changed")
        status = wait(command.start(own, log))
        if status:
            raise AssertionError(f"{command.name} does not go on: status {status}, {log.read_text()}")
        after = comparable(content(own))
        differing = [name for name in wanted.keys() | after.keys() if wanted.get(name) != after.get(name)]
        if differing:
            raise AssertionError(f"{command.name} ends otherwise: {differing}; {log.read_text()}")


def comparable(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files; those whose library writes one content in several ways, as their content."""
    readers = {".safetensors": _in_order, ".state": _training_state}
    return {name: readers.get(Path(name).suffix, bytes)(file) for name, file in files.items()}


def _training_state(file: bytes) -> bytes:
    return json.dumps(_plain(torch.load(io.BytesIO(file), weights_only=True)), sort_keys=True).encode()


def _plain(value: Any) -> Any:
    """Tensors as text, with what holds them."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), *value.shape, value.numpy().tobytes().hex()]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _in_order(file: bytes) -> bytes:
    start = 8 + int.from_bytes(file[:8], "little")
    return json.dumps(json.loads(file[8:start]), sort_keys=True).encode() + file[start:]


def require_same(command: Killed, before: dict[str, bytes], after: dict[str, bytes], what: str) -> None:
    """What is no output is as it was."""
    for name in before:
        is_output = any(name == output or name.startswith(f"{output}/") for output in command.outputs)
        if not is_output and after.get(name) != before[name]:
            raise AssertionError(f"{what}: {name}")


@contextlib.contextmanager
def box(folder: Path) -> Iterator[Path]:
    """A copy of the inputs, always at the same place: runs know where their store is."""
    own = folder / "box"
    shutil.copytree(folder / "inputs", own, symlinks=True)
    try:
        yield own
    finally:
        shutil.rmtree(own)


def main() -> None:
    """Kill each command five times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(kill_all(folder, 5 * len(COMMANDS), random.Random(0)), "killed five times each")
