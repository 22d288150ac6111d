"""How the processor time of commands grows, one dimension at a time: persons, recordings, hours, folds, settings.

``python -m tests.benchmarks growth [--only eval/persons ...]`` runs each command on synthetic stores of one, four
and sixteen times a size. There are two exponents from the second size to the third: of the time, and of what the
time grows by, in which the start of a command does not count.
"""

import contextlib
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

import store
from extract.demo import main as make_demo
from heads.dataset import StoreDataset
from heads.folds import Inner, make_folds
from heads.run_folder import FoldResult, Run, describe_run
from heads.settings import TrainSettings
from store import RecordingInfo
from store.runtime.cli import run as run_command
from tests.benchmarks.full_size import write_store
from tests.helpers import stores
from tests.helpers.usage import measure_command

SPEC = dataclasses.replace(stores.SPEC, encoder="synthetic", hop=512, frames=4)
QUICK = ("--filters", "4", "--hidden", "4", "--pooling", "max", "--batch-windows", "64", "--epochs", "2")
TIMES = (1, 4, 16)  # sizes
MOST = 1.1  # exponent
LEAST_S = 0.5  # less growth is within what times vary by
FOLD_RECORDINGS = 512  # of all persons together, where the folds grow

Arguments = Sequence[str | Path]


@dataclass(frozen=True, kw_only=True)
class GrowthCommand:
    """What to measure."""

    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Rows to measure, as the table names them, or commands; all if not given."""


@dataclass(frozen=True)
class Size:
    """Size of a synthetic data set, and of what is done with it."""

    persons: int = 6
    recordings: int = 2  # a person
    recording_s: int = 600
    folds: int = 0  # persons who share a number of recordings; 0 for as many as `persons` says
    settings: int = 1


SIZES = {  # of what grows: the smallest size
    "persons": Size(persons=20),
    "recordings": Size(recordings=160, recording_s=60),
    "recording_s": Size(recording_s=7200),
}
HEAD_SIZES = {  # where heads train
    "recordings": Size(recordings=60, recording_s=168),
    "recording_s": Size(recording_s=1200),
}
EEG_SIZES = {  # the synthetic data set has 99 recordings a person and 60 minutes a recording at most
    "persons": Size(persons=4, recording_s=60),
    "recordings": Size(persons=2, recordings=5, recording_s=60),
    "recording_s": Size(persons=8, recording_s=180),
}


def make_store(folder: Path, size: Size) -> Path:
    """A store of noise, with a seizure in every fifth recording."""
    path = folder / "store"
    path.mkdir()
    shape = (size.folds, FOLD_RECORDINGS // size.folds) if size.folds else (size.persons, size.recordings)
    write_store(path, SPEC, *shape, size.recording_s)
    return path


def predict(info: RecordingInfo, rng: np.random.Generator) -> NDArray[np.float32]:
    """Probabilities as a head gives them: low, slowly varying, and high in most of a seizure."""
    steps = rng.normal(size=info.seconds + 20)
    logits = np.convolve(steps, np.ones(21) / 4, "valid") - 3
    for event in info.events:
        logits[int(event.onset_s) + 5 : int(event.onset_s + event.duration_s)] += 4
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def make_run(folder: Path, features: Path, inner: Inner) -> Path:
    """A run of all folds whose predictions are made up."""
    opened = store.open(features)
    dataset, rng = StoreDataset(opened), np.random.default_rng(0)
    settings = {**dataclasses.asdict(TrainSettings()), "inner": inner}
    run = Run.create(folder / "run", describe_run(settings, opened))
    for info in opened.recordings:
        run.write_probabilities(info, predict(info, rng))
    for fold in make_folds(dataset.label_counts(), "all", inner):
        result = FoldResult(fold, run.fold_path(fold.name), 1, 0.5, ({"epoch": 1, "validation_auroc": 0.5},))
        infos = [info for person in fold.validation for info, _ in dataset.recordings_of(person)]
        result.write_validation({info.name: predict(info, rng) for info in infos})
        run.finish_fold(result)
    return run.path


def evaluate(folder: Path, size: Size, *options: str, inner: Inner = "one") -> Arguments:
    """Score a run of made-up predictions."""
    return ("eval", make_run(folder, make_store(folder, size), inner), *options)


def train(folder: Path, size: Size, *options: str, module: str = "heads.train") -> Arguments:
    """Train on a store of noise."""
    return (module, "--store", make_store(folder, size), "--out", folder / "run", *options)


def sweep(folder: Path, size: Size) -> Arguments:
    """Try learning rates."""
    rates = [f"{1e-4 * (1 + number):.4f}" for number in range(size.settings)]
    return train(folder, size, *QUICK, "--inner", "one", "--lr", *rates, module="heads.sweep")


def extract(folder: Path, size: Size) -> Arguments:
    """Extract band powers of synthetic EEG."""
    shape = ("--recordings", str(size.recordings), "--minutes", str(size.recording_s / 60))
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        status = make_demo([str(folder / "bids"), "--persons", str(size.persons), *shape])
    assert status == 0, f"no data set of {size}"
    return ("extract", "--bids", folder / "bids", "--store", folder / "store", "--encoder", "bandpower")


def look(folder: Path, size: Size, command: str) -> Arguments:
    """Describe or verify a store."""
    return ("store", command, make_store(folder, size))


def rows() -> Iterator[tuple[str, Callable[[Path, Size], Arguments], Size]]:
    """Every row of the table: its name, command/what grows, the command, and the smallest size."""
    options = ("--inner", "one", *QUICK)
    all_folds = {"folds": Size(folds=4, recording_s=168), **HEAD_SIZES}
    one_fold = {"persons": Size(recording_s=1200), **HEAD_SIZES}
    measured = (
        ("extract", extract, EEG_SIZES),
        ("store info", partial(look, command="info"), SIZES),
        ("store verify", partial(look, command="verify"), SIZES),
        ("train", lambda folder, size: train(folder, size, "--fold", "all", *options), all_folds),
        ("train one fold", lambda folder, size: train(folder, size, "--fold", "01", *options), one_fold),
        ("sweep", sweep, {"settings": Size(settings=10)}),
        ("probe", partial(train, module="heads.probe"), all_folds),
        ("eval", lambda folder, size: evaluate(folder, size, "--no-report"), SIZES),
        (
            "eval --inner 4",
            lambda folder, size: evaluate(folder, size, "--no-report", inner=4),
            {**SIZES, "persons": Size(persons=10)},
        ),
        ("eval and report", evaluate, SIZES),
    )
    for name, command, sizes in measured:
        for what, size in sizes.items():
            yield f"{name}/{what}", command, size


def cpu_s(command: Callable[[Path, Size], Arguments], size: Size) -> float:
    """Processor time of a command on a data set of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return measure_command(*command(Path(folder), size)).cpu_s


def exponents(times_s: Sequence[float]) -> tuple[float, float]:
    """Exponent of the time from the second size to the third, and of what it grows by; nan if it hardly grows.

    >>> exponents([5, 8, 20])
    (0.66, 1.0)
    """
    first, second = times_s[1] - times_s[0], times_s[2] - times_s[1]
    grows = min(first, second) >= LEAST_S
    ratios = times_s[2] / times_s[1], second / first if grows else math.nan
    whole, growing = (round(math.log(ratio, TIMES[1]), 2) for ratio in ratios)
    return whole, growing


def measure(command: GrowthCommand) -> None:
    """Print the table."""
    print("| row | CPU s | four times | sixteen times | exponent | of the growth |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, make, size in rows():
        work, what = name.split("/")
        if not command.only or {name, work} & {*command.only}:
            sizes = [dataclasses.replace(size, **{what: times * getattr(size, what)}) for times in TIMES]
            times_s = [cpu_s(make, one) for one in sizes]
            values = (f"{value:.2f}{' (!)' * (value > MOST)}" for value in exponents(times_s))
            print(f"| {name} | {' | '.join([*(f'{time_s:.1f}' for time_s in times_s), *values])} |", flush=True)


def main(argv: Sequence[str] = ()) -> int:
    """Measure and return the exit status."""
    return run_command(measure, GrowthCommand, argv, module="tests.benchmarks growth", description=str(__doc__))
