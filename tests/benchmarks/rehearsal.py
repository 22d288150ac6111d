"""Every command in order on a data set of CHB-MIT's shape: time, memory, bytes, and how they grow.

``python -m tests.benchmarks rehearsal --scale 0.02`` makes synthetic EEG of 23 persons (at scale 1, 42 recordings
of an hour each) and runs all commands on it as a user does, first at half of the scale. ``--store-only`` writes
random codes instead of encoding EEG, which takes hours at full size; the time of the encoder is then projected
from one recording.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from extract.demo import main as make_demo
from store.runtime.cli import run as run_command
from tests.benchmarks.detect import repeat
from tests.benchmarks.full_size import CODES, PERSONS, RECORDING_S, RECORDINGS, write_store
from tests.benchmarks.survival import change_events

TEMPLATE_MINUTES = 4  # of each recording; its EEG repeats them
COLUMNS = f"{'':<16}{'seconds':>9}{'CPU s':>9}{'peak GB':>9}{'read GB':>9}{'written':>9}{'exponent':>10}"


@dataclass(frozen=True, kw_only=True)
class RehearsalCommand:
    """How much to rehearse."""

    scale: float = 0.02
    """Share of CHB-MIT's 982 hours. Under 0.05 recordings get shorter, as each person has two."""
    store_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write random codes into the store instead of encoding EEG."""
    folder: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Work in a new folder below this one, where there is space; the system's for temporary files if not given."""


@dataclass(frozen=True)
class Usage:
    """What a command took: wall-clock and processor seconds, peak resident, read and written bytes."""

    wall_s: float
    cpu_s: float
    peak: int
    read: int
    written: int


@dataclass(frozen=True)
class Shape:
    """Size of a data set of 23 persons."""

    recordings: int
    recording_s: int

    @classmethod
    def of(cls, scale: float) -> "Shape":
        """The shape whose hours are a share of CHB-MIT's."""
        recordings = max(2, round(RECORDINGS * scale))
        seconds = RECORDINGS * RECORDING_S * scale / recordings
        return cls(recordings, max(240, 4 * round(seconds / 4)))

    @property
    def hours(self) -> float:
        """Hours of all persons."""
        return PERSONS * self.recordings * self.recording_s / 3600


def run(*arguments: str | Path) -> Usage:
    """Run ``python -m ARGUMENTS`` to its end and measure it with its workers.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *map(str, arguments)], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its counts can be read until it is waited for
    wall_s = time.perf_counter() - begin
    counts = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"python -m {' '.join(map(str, arguments))}: failed")
    return Usage(
        wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, int(counts["rchar"]), int(counts["wchar"])
    )


def make_bids(bids: Path, shape: Shape) -> None:
    """Write EEG of CHB-MIT's shape; each recording repeats some minutes and has one seizure or none."""
    size = ("--recordings", str(shape.recordings), "--minutes", str(TEMPLATE_MINUTES))
    make_demo([str(bids), "--persons", str(PERSONS), *size])
    for path in bids.rglob("*_eeg.edf"):
        path.write_bytes(repeat(path, shape.recording_s / 3600))
        events = path.with_name(path.name.replace("_eeg.edf", "_events.tsv"))
        template_s, seconds = f"{TEMPLATE_MINUTES * 60:.2f}", f"{shape.recording_s:.2f}"
        events.write_text(events.read_text().replace(template_s, seconds))


def rehearse(folder: Path, shape: Shape, store_only: bool) -> dict[str, Usage]:
    """Usage of every command, by name, in the order in which they ran."""
    bids, features, out = folder / "bids", folder / "store", folder / "runs"
    used = {}
    encode = ("extract", "--bids", bids, "--store", features, "--features", "codes")
    if store_only:
        features.mkdir(parents=True)
        write_store(features, CODES, PERSONS, shape.recordings, shape.recording_s)
    else:
        make_bids(bids, shape)
        used["extract"] = run(*encode)
    used |= {
        "store info": run("store", "info", features),
        "store verify": run("store", "verify", features),
        "train, 23 folds": run("heads.train", "--store", features, "--fold", "all", "--out", out / "heads"),
        "sweep of 3": run(
            *("heads.sweep", "--store", features, "--out", out / "sweep"),
            *("--epochs", "5", "--lr", "3e-4", "1e-3", "3e-3"),
        ),
        "probe": run("heads.probe", "--store", features, "--out", out / "probe"),
        "eval, no report": run("eval", out / "heads", "--no-report"),
        "eval": run("eval", out / "heads"),
        "eval of probe": run("eval", out / "probe"),
        "compare": run("eval", "compare", out / "heads", out / "probe", "--out", out / "compare"),
    }
    if not store_only:
        used["train final"] = run("heads.train", "--store", features, "--fold", "final", "--out", out / "heads")
        used["eval again"] = run("eval", out / "heads")
        eeg = next(bids.rglob("*_eeg.edf"))
        used["detect"] = run("eval.detect", eeg, folder / "events.tsv", "--run", out / "heads")
        used["extract again"] = run(*encode)
        change_events(bids)
        used["relabel"] = run(*encode)
    return used


def project_encoding(folder: Path) -> str:
    """Hours that the encoder needs for CHB-MIT's 982 h, from a short and a long recording."""
    short, long = (Shape(1, seconds) for seconds in (240, RECORDING_S))
    taken = []
    for shape in (short, long):
        bids = folder / f"bids-{shape.recording_s}"
        make_demo([str(bids), "--persons", "1", "--recordings", "1", "--minutes", str(TEMPLATE_MINUTES)])
        eeg = next(bids.rglob("*_eeg.edf"))
        eeg.write_bytes(repeat(eeg, shape.recording_s / 3600))
        store = folder / f"store-{shape.recording_s}"
        taken.append(run("extract", "--bids", bids, "--store", store, "--features", "codes").wall_s)
    windows_s = (long.recording_s - short.recording_s) / 4 / (taken[1] - taken[0])
    hours = 982 * 900 / windows_s / 3600
    return f"encoder, from a recording of an hour: {windows_s:.0f} windows/s, so 982 h take {hours:.1f} h"


def row(name: str, used: Usage, before: Usage, growth: float) -> str:
    """Text of a line of the table; the exponent is that of the time between the two scales."""
    exponent = math.log(used.wall_s / before.wall_s) / math.log(growth)
    sizes = "".join(f"{size / 1e9:>9.2f}" for size in (used.peak, used.read, used.written))
    return f"{name:<16}{used.wall_s:>9.1f}{used.cpu_s:>9.1f}{sizes}{exponent:>10.2f}"


def measure(command: RehearsalCommand) -> None:
    """Print the table."""
    shapes = [Shape.of(command.scale / 2), Shape.of(command.scale)]
    results = []
    for shape in shapes:
        with tempfile.TemporaryDirectory(dir=command.folder) as folder:
            print(f"{PERSONS} persons, {PERSONS * shape.recordings} recordings, {shape.hours:.1f} h", flush=True)
            results.append(rehearse(Path(folder), shape, command.store_only))
    print(COLUMNS)
    for name, used in results[1].items():
        print(row(name, used, results[0][name], shapes[1].hours / shapes[0].hours))
    if command.store_only:
        with tempfile.TemporaryDirectory(dir=command.folder) as folder:
            print(project_encoding(Path(folder)))


def main(argv: Sequence[str] = ()) -> int:
    """Run the rehearsal and return its exit status."""
    return run_command(
        measure, RehearsalCommand, argv, prog="python -m tests.benchmarks rehearsal", description=__doc__
    )
