"""Every command in order on a data set of CHB-MIT's shape: time, memory, bytes, and how they grow.

``python -m tests.benchmarks rehearsal --scale 0.01 0.02`` makes synthetic EEG of 23 persons (at scale 1, 42
recordings of an hour each) and runs all commands on it as a user does, first at the smaller scale.
``--store-only`` writes random codes instead of encoding EEG, which takes hours at full size; the time of the
encoder is then projected from one recording. ``--folder`` keeps everything, so that a rehearsal that was stopped
goes on with the command at which it was.
"""

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from extract.demo import main as make_demo
from store.runtime.cli import run as run_command
from tests.benchmarks.detect import repeat
from tests.benchmarks.full_size import CODES, PERSONS, RECORDING_S, RECORDINGS, write_store
from tests.benchmarks.survival import change_events
from tests.helpers.usage import Usage, measure_command

TEMPLATE_S = 240  # of each recording; its EEG repeats them
SHORTEST_S = 60
SECONDS = ("240", str(RECORDING_S))  # of the two recordings from which the time of encoding is projected
HEADER = "| command | seconds | CPU s | peak GB | read GB | written GB | exponent |"

Measure = Callable[..., Usage]


@dataclass(frozen=True, kw_only=True)
class RehearsalCommand:
    """How much to rehearse."""

    scale: Annotated[tuple[float, ...], tyro.conf.arg(metavar="S ...")] = (0.01, 0.02)
    """Shares of CHB-MIT's 982 hours, one after the other. Under 0.05 recordings get shorter: a person has two."""
    persons: int = PERSONS
    """Persons; with fewer there are fewer hours."""
    store_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write random codes into the store instead of encoding EEG."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Names of the commands to run, as the table has them, and "encoder"; all if not given."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Work here, keep everything, write table.md, and go on with what is there; else in a temporary folder."""


@dataclass(frozen=True)
class Shape:
    """Size of a data set."""

    persons: int
    recordings: int
    recording_s: int

    @classmethod
    def of(cls, scale: float, persons: int = PERSONS) -> "Shape":
        """The shape whose hours a person are a share of CHB-MIT's; a recording has at least a minute."""
        recordings = max(2, round(RECORDINGS * scale))
        seconds = RECORDINGS * RECORDING_S * scale / recordings
        return cls(persons, recordings, max(SHORTEST_S, 4 * round(seconds / 4)))

    @property
    def hours(self) -> float:
        """Hours of all persons."""
        return self.persons * self.recordings * self.recording_s / 3600

    def __str__(self) -> str:
        return f"{self.persons} persons, {self.persons * self.recordings} recordings, {self.hours:.1f} h"


@dataclass(frozen=True)
class Step:
    """A command of the rehearsal."""

    name: str
    arguments: tuple[str | Path, ...]
    makes: Path | None = None  # removed before, if the command was broken off
    prepare: Callable[[], object] = lambda: None


class Record:
    """Usage of the commands that ran, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.usage: dict[str, Usage] = {}
        if path.is_file():
            self.usage = {name: Usage(**fields) for name, fields in json.loads(path.read_text()).items()}

    def run(self, step: Step, measure: Measure) -> None:
        """Run and measure a command that did not run yet."""
        if step.name in self.usage:
            return
        if step.makes is not None:
            shutil.rmtree(step.makes, ignore_errors=True)
        step.prepare()
        print(f"  {step.name}", flush=True)
        self.usage[step.name] = measure(*step.arguments)
        text = json.dumps({name: asdict(used) for name, used in self.usage.items()}, indent=2)
        self.path.write_text(text + "\n")


def make_bids(bids: Path, persons: int, recordings: int, recording_s: int) -> None:
    """Write EEG of CHB-MIT's shape; each recording repeats some minutes and has one seizure or none."""
    template_s = TEMPLATE_S if recording_s >= TEMPLATE_S else SHORTEST_S
    size = ("--recordings", str(recordings), "--minutes", str(template_s // 60))
    make_demo([str(bids), "--persons", str(persons), *size])
    for path in bids.rglob("*_eeg.edf"):
        path.write_bytes(repeat(path, recording_s / 3600))
        events = path.with_name(path.name.replace("_eeg.edf", "_events.tsv"))
        events.write_text(events.read_text().replace(f"{template_s:.2f}", f"{recording_s:.2f}"))


def make_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Make a folder that is not there yet, whole or not at all."""
    if not path.exists():
        aside = path.with_name(f"{path.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        fill(aside)
        aside.rename(path)


def make_store(folder: Path, shape: Shape) -> None:
    """Write random codes."""
    folder.mkdir()
    write_store(folder, CODES, shape.persons, shape.recordings, shape.recording_s)


def steps(folder: Path, store_only: bool) -> Iterator[Step]:
    """All commands, in order."""
    bids, features, events = folder / "bids", folder / "store", folder / "events.tsv"
    heads, sweep, probe, compared = (folder / "runs" / name for name in ("heads", "sweep", "probe", "compare"))
    encode = ("extract", "--bids", bids, "--store", features, "--features", "codes")
    train = ("heads.train", "--store", features, "--out", heads, "--fold")
    if not store_only:
        yield Step("extract", encode, features)
    yield Step("store info", ("store", "info", features))
    yield Step("store verify", ("store", "verify", features))
    yield Step("train", (*train, "all"), heads)
    yield Step("train again", (*train, "all"))
    values = ("--epochs", "5", "--lr", "3e-4", "1e-3", "3e-3")
    yield Step("sweep of 3", ("heads.sweep", "--store", features, "--out", sweep, *values), sweep)
    yield Step("probe", ("heads.probe", "--store", features, "--out", probe), probe)
    yield Step("probe again", ("heads.probe", "--store", features, "--out", probe))
    yield Step("eval", ("eval", heads))
    yield Step("eval again", ("eval", heads))
    yield Step("eval, no report", ("eval", heads, "--no-report"))
    yield Step("eval of probe", ("eval", probe))
    yield Step("compare", ("eval", "compare", heads, probe, "--out", compared), compared)
    if store_only:
        return
    yield Step("train final", (*train, "final"), heads / "folds" / "final")
    yield Step("eval of final", ("eval", heads))
    eeg = sorted(bids.rglob("*_eeg.edf"))[0]
    yield Step("detect", ("eval.detect", eeg, events, "--run", heads), prepare=partial(events.unlink, True))
    yield Step("extract again", encode)
    yield Step("relabel", encode, prepare=partial(change_events, bids))


def rehearse(folder: Path, shape: Shape, command: RehearsalCommand, measure: Measure) -> dict[str, Usage]:
    """Usage of every command, by name, in the order in which they ran."""
    if command.store_only:
        make_folder(folder / "store", partial(make_store, shape=shape))
    else:
        sizes = {"persons": shape.persons, "recordings": shape.recordings, "recording_s": shape.recording_s}
        make_folder(folder / "bids", partial(make_bids, **sizes))
    record = Record(folder / "usage.json")
    for step in steps(folder, command.store_only):
        if not command.only or step.name in command.only:
            record.run(step, measure)
    return record.usage


def project_encoding(folder: Path, measure: Measure) -> str:
    """Hours that the encoder needs for CHB-MIT's 982 h, from a short and a long recording."""
    folder.mkdir(exist_ok=True)
    record = Record(folder / "usage.json")
    for seconds in SECONDS:
        bids, features = folder / f"bids-{seconds}", folder / f"store-{seconds}"
        make_folder(bids, partial(make_bids, persons=1, recordings=1, recording_s=int(seconds)))
        arguments = ("extract", "--bids", bids, "--store", features, "--features", "codes")
        record.run(Step(f"extract {seconds} s", arguments, features), measure)
    short, long = (record.usage[f"extract {seconds} s"].wall_s for seconds in SECONDS)
    windows_s = (int(SECONDS[1]) - int(SECONDS[0])) / 4 / (long - short)
    hours = 982 * 900 / windows_s / 3600
    return f"encoder, from a recording of an hour: {windows_s:.0f} windows/s, so 982 h take {hours:.1f} h"


def table(used: dict[str, Usage], before: dict[str, Usage], growth: float) -> Iterator[str]:
    """Lines of a table; the exponent is that of the processor time between two scales.

    >>> list(table({"eval": Usage(3, 8, 10**9, 0, 0)}, {"eval": Usage(2, 4, 10**9, 0, 0)}, 2))[-1]
    '| eval | 3.0 | 8.0 | 1.00 | 0.00 | 0.00 | 1.00 |'
    """
    yield HEADER
    yield "| --- |" + " ---: |" * (HEADER.count("|") - 2)
    for name, usage in used.items():
        sizes = "".join(f" {size / 1e9:.2f} |" for size in (usage.peak, usage.read, usage.written))
        known = name in before and growth > 1
        exponent = f"{math.log(usage.cpu_s / before[name].cpu_s) / math.log(growth):.2f}" if known else "-"
        yield f"| {name} | {usage.wall_s:.1f} | {usage.cpu_s:.1f} |{sizes} {exponent} |"


def report(folder: Path, command: RehearsalCommand, measure: Measure) -> Iterator[str]:
    """Rehearse at every scale; the lines of the tables."""
    before: dict[str, Usage] = {}
    hours = 1.0
    for scale in command.scale:
        shape = Shape.of(scale, command.persons)
        print(shape, flush=True)
        used = rehearse(folder / f"scale-{scale}", shape, command, measure)
        yield from ("", f"{shape}:", "", *table(used, before, shape.hours / hours))
        before, hours = used, shape.hours
    if command.store_only and (not command.only or "encoder" in command.only):
        yield from ("", project_encoding(folder / "encoder", measure))


def rehearse_all(command: RehearsalCommand, measure: Measure = measure_command) -> None:
    """Print the tables, and write them into the folder that is kept."""
    with contextlib.ExitStack() as stack:
        folder = command.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        lines = list(report(folder.resolve(), command, measure))
        (folder / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main(argv: Sequence[str] = ()) -> int:
    """Run the rehearsal and return its exit status."""
    return run_command(
        rehearse_all, RehearsalCommand, argv, module="tests.benchmarks rehearsal", description=str(__doc__)
    )
