"""``python -m eval.study``: from EEG to a table of encoders, features and heads in one command."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.study.__main__"))

from collections.abc import Sequence

from eval.study.options import StudyCommand
from store.runtime.cli import run as run_command

_DESCRIPTION = """Extract, train, score and compare every combination of encoder, features and head.

Start with: --bids and --out, --encoders, --heads.

Stop the command whenever you like and run it again: finished parts are kept. You can add encoders, heads and seeds
to the command later; an added seed trains alone."""


def _run(command: StudyCommand) -> None:
    from eval.study.study import study  # imported here to keep --help fast

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
