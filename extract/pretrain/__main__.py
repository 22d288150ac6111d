"""python -m extract.pretrain: train a BrainCodec on the EEG of BIDS data sets."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("extract.pretrain.__main__"))

from collections.abc import Sequence

from extract.pretrain.settings import PretrainCommand
from store.runtime.cli import run

HELP = """Train a BrainCodec. Give the same command again to resume a killed training.

Start with: --bids and --out, --hold-out for persons to validate on, --steps for how long."""


def _run(command: PretrainCommand) -> None:
    from extract.pretrain.pretraining import pretrain  # here, since it loads torch, which --help does not need

    pretrain(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract.pretrain``."""
    return run(
        _run,
        PretrainCommand,
        argv,
        module="extract.pretrain",
        description=HELP,
        examples=["--bids one two --out mine.safetensors --hold-out one/03 one/18"],
    )
