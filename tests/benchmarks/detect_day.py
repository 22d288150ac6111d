"""The detector on a day of EEG, as a file and on standard input: processor time, memory, same events."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from extract.encoders.shipped import WEIGHTS
from extract.io.montage import CHANNELS
from extract.io.raw import open_signal
from tests.benchmarks.detect import make_run, repeat, rows

_BLOCK_S = 60


def finish(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Seconds of processors and peak bytes of a process that ends well."""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the detector failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def on_file(eeg: Path, output: Path, run: Path) -> tuple[float, int]:
    """Detect in a file."""
    command = [sys.executable, "-m", "eval.detect", str(eeg), str(output), "--run", str(run)]
    return finish(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def on_stream(eeg: Path, output: Path, run: Path) -> tuple[float, int]:
    """Detect in the samples of a file on standard input."""
    with open_signal(eeg) as signal:
        rate_hz = signal.sample_rate_hz
        options = ["--sample-rate-hz", f"{rate_hz:g}", "--channel-names", *CHANNELS]
        command = [sys.executable, "-m", "eval.detect", "-", str(output), "--run", str(run), *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin
        step = round(_BLOCK_S * rate_hz)
        for start in range(0, signal.samples, step):
            block_uv = signal.read(start, min(start + step, signal.samples))
            process.stdin.write(block_uv.T.astype("<f4").tobytes())
        process.stdin.close()
    return finish(process)


def main(arguments: Sequence[str] = ()) -> None:
    """Print processor time and memory of both ways, and whether their events are the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks detect_day")
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--encoder", default="braincodec" if WEIGHTS.is_file() else "random")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = make_run(root, options.encoder)
        eeg = root / "day.edf"
        eeg.write_bytes(repeat(next((root / "bids").rglob("*_eeg.edf")), options.hours))
        found = []
        for name, detect in (("file", on_file), ("standard input", on_stream)):
            output = root / f"{name}.tsv"
            processor_s, peak = detect(eeg, output, run)
            found.append(rows(output.read_text()))
            print(f"{options.encoder}, {options.hours:g} h, {name}: {processor_s:.0f} s of processors, ", end="")
            print(f"peak memory {peak / 1e9:.2f} GB, {len(found[-1])} events", flush=True)
        print("the events are the same" if found[0] == found[1] else "the events DIFFER")
