"""``python -m eval.study``: one command from EEG to a table of encoders, features and heads."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.study.__main__"))

from collections.abc import Sequence

from eval.study.options import StudyCommand
from store.runtime.cli import run as run_command

_DESCRIPTION = """Extract, train, score and compare: every encoder with every kind of features and every head.

What matters first: --bids and --out, --encoders, --heads.

Stop it whenever you like and run the same command again: what is finished is kept. Encoders, heads and seeds that
you add are added to the table, and a seed that is added trains alone."""


def _run(command: StudyCommand) -> None:
    from eval.study.study import study  # here, since it loads torch, which --help does not need

    study(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.study``."""
    return run_command(
        _run,
        StudyCommand,
        argv,
        module="eval.study",
        description=_DESCRIPTION,
        examples=["--bids chb-mit --out studies/chb-mit --encoders braincodec random bandpower"],
    )
