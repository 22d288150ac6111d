"""Write the stores and runs of format version 1 that later versions must go on using: make_golden_v1.py DIR.

They are committed once, in ``golden-v1/``, and never written anew: the commands here are those of that version.
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
    """Run a command of that version."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def leave_a_checkpoint(*arguments: str) -> None:
    """Start a training and kill it as soon as its first epoch is saved."""
    process = subprocess.Popen([sys.executable, "-c", STOP_AFTER_AN_EPOCH, *arguments])
    while not list(Path("half").glob("training-*.pt")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main(folder: Path) -> None:
    """Everything below a folder, by relative paths, so that no path of this machine is kept."""
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
