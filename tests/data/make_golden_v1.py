"""Record of how ``golden-v1/`` was made: the stores and runs of format version 1 that every version must read.

It does not run on today's code: ``heads.fused`` and ``max-deviation`` are names of version 0.1.0, and today's code
writes store format 2. It ran once, ``python tests/data/make_golden_v1.py DIR``, on the commit that added it, which
``git log --diff-filter=A -- tests/data/make_golden_v1.py`` names. The files are never written again.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SMALL_HEAD = ("--filters", "4", "--hidden", "8", "--batch-windows", "16", "--precision", "float32")
STOP_AFTER_AN_EPOCH = (
    "import sys, heads.fused; heads.fused._SAVE_EVERY_S = 0.0; from heads.train import main; sys.exit(main())"
)


def call(module: str, *arguments: str) -> None:
    """Run a command of version 0.1.0."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def leave_a_checkpoint(*arguments: str) -> None:
    """Start a training and kill it as soon as its first epoch is saved."""
    process = subprocess.Popen([sys.executable, "-c", STOP_AFTER_AN_EPOCH, *arguments])
    while not list(Path("half").glob("training-*.pt")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main(folder: Path) -> None:
    """Write everything below a folder, by relative paths, so that no file names the machine."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    call("extract.demo", "bids", "--persons", "4", "--recordings", "2", "--minutes", "1.5")
    for name, options in {
        "bandpower": ("--encoder", "bandpower"),
        "codes": ("--features", "codes", "--precision", "float32"),
    }.items():
        call("extract", "--bids", "bids", "--store", name, *options)
    train = ("--store", "bandpower", *SMALL_HEAD, "--epochs", "4")
    call("heads.train", *train, "--fold", "all", "--out", "train")
    call("heads.train", *train, "--fold", "final", "--out", "train")
    call("eval", "train", "--no-report")
    call("heads.train", *train, "--fold", "01", "--out", "half")
    half = ("--store", "bandpower", *SMALL_HEAD, "--epochs", "4", "--fold", "02", "--out", "half")
    leave_a_checkpoint(*half)
    grid = ("--lr", "1e-2", "1e-3", "--pooling", "max", "max-deviation", "--seed", "0", "1")
    call("heads.sweep", "--store", "bandpower", *SMALL_HEAD, "--epochs", "3", *grid, "--out", "sweep")
    call("eval", "sweep", "--no-report")
    call("heads.train", "--store", "codes", *SMALL_HEAD, "--epochs", "3", "--fold", "final", "--out", "final")
    call("eval", "final", "--no-report")
    call("heads.probe", "--store", "bandpower", "--method", "lda", "--out", "probe")
    call("eval", "probe", "--no-report")
    edf = next(Path("bids/sub-03").rglob("*.edf"))
    for run in ("train", "final"):
        call("eval.detect", str(edf), f"{run}.tsv", "--run", run, "--probabilities", f"{run}-probabilities.tsv")
    shutil.copy(edf, "recording.edf")
    shutil.rmtree("bids")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
