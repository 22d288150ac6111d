"""The detector on a day of EEG, as a file and on standard input: processor time, memory, same events."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from extract.encoders.shipped import WEIGHTS
from extract.io.montage import CHANNELS
from extract.io.raw import EegFile, open_signal
from tests.benchmarks.detect import make_run, repeat, rows
from tests.helpers.usage import Usage, measure_command

_BLOCK_S = 60


def on_file(eeg: Path, output: Path, run: Path) -> Usage:
    """Detect in a file."""
    return measure_command("eval.detect", eeg, output, "--run", run)


def on_stream(eeg: Path, output: Path, run: Path) -> Usage:
    """Detect in the samples of a file on standard input."""
    with open_signal(eeg) as signal:
        options = ("--sample-rate-hz", f"{signal.sample_rate_hz:g}", "--channel-names", *CHANNELS)
        return measure_command("eval.detect", "-", output, "--run", run, *options, stdin=samples(signal))


def samples(signal: EegFile) -> Iterator[bytes]:
    """A recording as the detector reads it on standard input, minute by minute."""
    step = round(_BLOCK_S * signal.sample_rate_hz)
    for start in range(0, signal.samples, step):
        yield signal.read(start, min(start + step, signal.samples)).T.astype("<f4").tobytes()


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
            usage = detect(eeg, output, run)
            found.append(rows(output.read_text()))
            print(f"{options.encoder}, {options.hours:g} h, {name}: {usage.cpu_s:.0f} s of processors, ", end="")
            print(f"peak memory {usage.peak / 1e9:.2f} GB, {len(found[-1])} events", flush=True)
        print("the events are the same" if found[0] == found[1] else "the events DIFFER")
