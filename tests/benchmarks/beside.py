"""Training beside another program: two trainings at once against one alone.

Once as commands run, whose threads spin briefly before they sleep, and once as libgomp has it by default.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import store
from braincodec_seizure import SPINS
from heads.dataset import StoreDataset
from tests.benchmarks.full_size import LATENTS, write_store
from tests.benchmarks.heads import PERSONS, POOLING, RECORDING_S, stacked_speed
from tests.helpers.paths import ROOT

LIMIT_S = 120


def speeds(folder: str, trainings: int, environment: dict[str, str]) -> list[float]:
    """Windows x heads a second of each of some trainings at once.

    Raises
    ------
    subprocess.TimeoutExpired
        If one takes longer than the limit.
    """
    command = [sys.executable, "-m", "tests.benchmarks.beside", folder]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(trainings)
    ]
    try:
        return [float(process.communicate(timeout=LIMIT_S)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """Print the speeds."""
    bare = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), LATENTS, PERSONS, 1, RECORDING_S)
        for name, environment in (
            ("as commands run", {**bare, "GOMP_SPINCOUNT": SPINS}),
            ("libgomp's default", bare),
        ):
            begin = time.perf_counter()
            (alone,) = speeds(folder, 1, environment)
            alone_s = time.perf_counter() - begin
            try:
                together = f"{sum(speeds(folder, 2, environment)) / alone:.2f} times that"
            except subprocess.TimeoutExpired:
                together = f"not done after {LIMIT_S} s"
            print(
                f"{name}: {alone:,.0f} windows x heads/s alone, {alone_s:.0f} s; two at once {together}",
                flush=True,
            )


if __name__ == "__main__":
    print(stacked_speed(StoreDataset(store.open(sys.argv[1])), precision="auto", pooling=POOLING, epochs=1))
