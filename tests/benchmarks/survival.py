"""What a store survives: kills, a full disk, writers and readers at once, flipped bits. Minutes; Linux."""

import contextlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

import store
import store.writer
from extract import demo
from extract.__main__ import main as extract
from store import Store, StoreError
from store.reader import open_file
from store.schema import FeatureSpec
from tests.benchmarks import killed_commands
from tests.benchmarks.full_size import CODES, write_store
from tests.helpers.paths import DATA
from tests.helpers.processes import content, start, wait

KILLS = 30
KILLS_RELABELLING = 30
KILLS_OF_OTHERS = 40  # of all the other commands
FULL_DISKS = 20
SHARED_S = 60.0


def make_data(folder: Path) -> Path:
    """Two persons of three recordings."""
    demo.main([str(folder), "--persons", "2", "--recordings", "3", "--minutes", "1"])
    return folder


def start_extract(bids: Path, folder: Path, log: Path) -> BaseProcess:
    """Start an extraction in a process of its own."""
    return start(log, _extract, bids, folder)


def _extract(bids: Path, folder: Path) -> int:
    return extract(["--bids", str(bids), "--store", str(folder), "--encoder", "bandpower"])


def _extract_blindly(bids: Path, folder: Path) -> int:
    store.writer._require_space = lambda path, features_bytes: None
    return _extract(bids, folder)


def check_files(folder: Path) -> int:
    """Whatever has a name that readers look for is complete and right; give how many there are."""
    files = sorted(folder.rglob("sub-*.h5"))
    for path in files:
        open_file(path).verify()
    return len(files)


def kill_extraction(bids: Path, folder: Path, delay_s: float, log: Path) -> None:
    """Kill an extraction after a delay; what it left under names that readers look for is complete and right."""
    process = start_extract(bids, folder, log)
    time.sleep(delay_s)
    process.kill()
    wait(process)
    check_files(folder)


def kill_and_resume(bids: Path, folder: Path, wanted: dict[str, bytes], delays_s: list[float], log: Path) -> None:
    """Kill extractions into one store after each delay, then let one end: the store is that of an unbroken run."""
    for delay_s in delays_s:
        kill_extraction(bids, folder, delay_s, log)
    status = wait(start_extract(bids, folder, log))
    if status or content(folder) != wanted:
        raise AssertionError(f"status {status}, files {sorted(content(folder))}: {log.read_text()}")


def change_events(bids: Path) -> None:
    """Move every annotated seizure a second later and give it another type; a recording without gains none."""
    for path in sorted(bids.rglob("*_events.tsv")):
        header, *rows = path.read_text().splitlines()
        columns = header.split("\t")
        cells = [dict(zip(columns, row.split("\t"), strict=True)) for row in rows]
        for row in cells:
            if row["eventType"] != "bckg":
                row["onset"] = f"{max(0.0, float(row['onset']) - 1):.2f}"
                row["eventType"] = "sz_gen" if row["eventType"] != "sz_gen" else "sz_foc"
        path.write_text("\n".join([header, *("\t".join(row.values()) for row in cells), ""]))


def features(folder: Path) -> dict[str, str]:
    """Checksum of each recording's features, verified."""
    found = {}
    for path in sorted(folder.glob("sub-*.h5")):
        file = open_file(path)
        file.verify()
        found |= {info.name: digest for info, digest in zip(file.recordings, file.hashes, strict=True)}
    return found


def kill_and_relabel(bids: Path, folder: Path, delays_s: list[float], log: Path) -> None:
    """Kill relabellings of a store after each delay, then let one end: each file is the old or the new one.

    The data set changes before each; in the end the labels are those of a fresh extraction, the features those of
    before.
    """
    before = features(folder)
    for delay_s in delays_s:
        old = describe(folder)
        change_events(bids)
        new = describe_relabelled(bids, folder)
        kill_extraction(bids, folder, delay_s, log)
        if features(folder) != before:
            raise AssertionError(f"features changed: {log.read_text()}")
        for subject, said in describe(folder).items():
            if said not in (old[subject], new[subject]):
                raise AssertionError(f"sub-{subject} is neither old nor new: {log.read_text()}")
    status = wait(start_extract(bids, folder, log))
    fresh = folder.with_name(f"{folder.name}-fresh")
    if status or wait(start_extract(bids, fresh, log)):
        raise AssertionError(f"status {status}: {log.read_text()}")
    if describe(folder) != describe(fresh) or features(folder) != before:
        raise AssertionError(f"not the labels of a fresh extraction: {log.read_text()}")
    left = [name for name in content(folder) if not name.endswith(".h5")]
    if left:
        raise AssertionError(f"left behind: {left}")


def describe_relabelled(bids: Path, folder: Path) -> dict[str, tuple[object, ...]]:
    """What files will say once they are relabelled: a copy of the store is."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "store"
        shutil.copytree(folder, copy)
        for path in copy.glob(".*.tmp"):
            path.unlink()
        if wait(start_extract(bids, copy, Path(name) / "log")):
            raise AssertionError((Path(name) / "log").read_text())
        return describe(copy)


def describe(folder: Path) -> dict[str, tuple[object, ...]]:
    """What each file says of its recordings, labels and sources."""
    files = [open_file(path) for path in sorted(folder.glob("sub-*.h5"))]
    return {f.subject: (f.recordings, f.labels.tolist(), f.hashes, dict(f.sources)) for f in files}


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of that many bytes in memory; only root can."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size}"]
    subprocess.run(["mount", *options, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_and_resume(bids: Path, disk: Path, wanted: dict[str, bytes], size: int, blind: bool, log: Path) -> bool:
    """Extract to a disk of that size; whether it was too small. Nothing lies, and with room it goes on.

    ``blind`` leaves out the look at the free space, so that writing itself fails.
    """
    log.write_text("")
    with small_disk(disk, size):
        status = wait(start(log, _extract_blindly if blind else _extract, bids, disk / "store"))
        check_files(disk)
        said = log.read_text()
        if status and not (status == 2 and "disk full" in said and "make room" in said):
            raise AssertionError(f"status {status}: {said}")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = wait(start_extract(bids, disk / "store", log))
        if again or content(disk / "store") != wanted:
            raise AssertionError(f"status {again}, files {sorted(content(disk / 'store'))}: {log.read_text()}")
    return bool(status)


def write_and_read(folder: Path, spec: FeatureSpec, seconds: float, log: Path) -> tuple[int, int]:
    """Two writers publish the same store over and over, four readers check it: writes and reads done."""
    write_store(folder, spec, 2, 3, 400)
    first = store.open(folder)
    wanted = total(first)
    stop = time.monotonic() + seconds
    log.write_text("")
    writers = [start(log, _write_until, stop, folder, spec) for _ in range(2)]
    readers = [start(log, _read_until, stop, first, wanted) for _ in range(4)]
    statuses = [wait(process) for process in writers + readers]
    if any(statuses) or [path.name for path in sorted(folder.iterdir())] != ["sub-01.h5", "sub-02.h5"]:
        raise AssertionError(f"{statuses}: {log.read_text()}")
    counts = [line.split() for line in log.read_text().splitlines()]
    writes, reads = (sum(int(number) for kind, number in counts if kind == name) for name in ("writes", "reads"))
    return writes, reads


def _write_until(stop: float, folder: Path, spec: FeatureSpec) -> int:
    rounds = 0
    while not rounds or time.monotonic() < stop:
        write_store(folder, spec, 2, 3, 400)
        rounds += 1
    print(f"writes {rounds}")
    return 0


def _read_until(stop: float, first: Store, wanted: int) -> int:
    rounds = 0
    while not rounds or time.monotonic() < stop:
        opened = store.open(first.path)
        for file in opened.files:
            file.verify()
        for held in (opened, first):
            if total(held) != wanted:
                raise AssertionError("torn read")
        rounds += 1
    print(f"reads {rounds}")
    return 0


def total(opened: Store) -> int:
    """Sum of all bytes, read in small blocks."""
    starts = range(0, opened.windows, 50)
    blocks = (opened.read(start, min(start + 50, opened.windows)) for start in starts)
    return sum(int(block.view(np.uint8).sum(dtype=np.int64)) for block in blocks)


def flip_bits(path: Path, scratch: Path) -> int:
    """Flip a bit of every byte of a file; every one is noticed. Gives their number."""
    good = path.read_bytes()
    for at in range(len(good)):
        scratch.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :])
        with contextlib.suppress(StoreError):
            open_file(scratch).verify()
            raise AssertionError(f"{path}: nobody noticed byte {at}")
    return len(good)


def relabel_and_kill(folder: Path, bids: Path, rng: random.Random, log: Path) -> float:
    """Kill relabellings at random moments; give the seconds that an unbroken one takes."""
    own = folder / "relabelled-bids"
    shutil.copytree(bids, own)
    shutil.copytree(folder / "wanted", folder / "relabelled")
    begin = time.perf_counter()
    describe_relabelled(own, folder / "relabelled")
    whole_s = time.perf_counter() - begin
    delays_s = [rng.uniform(0, whole_s) for _ in range(KILLS_RELABELLING)]
    kill_and_relabel(own, folder / "relabelled", delays_s, log)
    return whole_s


def main() -> None:
    """Run all of it."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, bids = folder / "log", make_data(folder / "bids")
        begin = time.perf_counter()
        if wait(start_extract(bids, folder / "wanted", log)):
            raise AssertionError(log.read_text())
        whole_s = time.perf_counter() - begin
        wanted = content(folder / "wanted")
        for number in range(KILLS):
            kill_and_resume(bids, folder / f"killed-{number}", wanted, [rng.uniform(0, whole_s)], log)
        print(f"{KILLS} kills at random moments of {whole_s:.1f} s, each resumed to the bytes of an unbroken one")
        relabelled_s = relabel_and_kill(folder, bids, rng, log)
        print(
            f"{KILLS_RELABELLING} kills in relabellings of {relabelled_s:.2f} s: each file the old or the new one"
        )
        named = killed_commands.kill_all(folder / "others", KILLS_OF_OTHERS, rng)
        print(
            f"{KILLS_OF_OTHERS} kills in {named}: each went on to the bytes of an unbroken one, inputs untouched"
        )
        if os.geteuid():
            print("full disk: not checked, only root can mount one")
        else:
            need = sum(map(len, wanted.values()))
            full = sum(
                fill_and_resume(bids, folder / "disk", wanted, rng.randint(1, 3 * need), number % 4 > 0, log)
                for number in range(FULL_DISKS)
            )
            print(
                f"{full} of {FULL_DISKS} small disks ran full, each said so and went on with room: all identical"
            )
        writes, reads = write_and_read(folder / "shared", CODES, SHARED_S, log)
        print(f"2 writers, 4 readers, {SHARED_S:.0f} s: {writes} stores written, {reads} read twice, no error")
        for kind in ("latents", "codes"):
            path = DATA / "store-v1" / kind / "sub-07.h5"
            print(f"{kind}: each of {flip_bits(path, folder / 'sub-07.h5')} bytes damaged in turn, all noticed")


if __name__ == "__main__":
    main()
