"""python -m extract: fill a store from a BIDS data set."""

import sys
import time
from collections.abc import Sequence

from extract.pipeline import ExtractCommand, extract
from store.runtime.cli import run


def _command(settings: ExtractCommand) -> int:
    begin = time.perf_counter()
    summary = extract(settings)
    elapsed_s = time.perf_counter() - begin
    print(
        f"{len(summary.subjects)} subjects complete in {settings.store}; {summary.encoded_hours:.2f} h of EEG "
        f"encoded in {elapsed_s:.0f} s"
    )
    if summary.failures:
        print(f"{len(summary.failures)} failed, their subjects are left out until mended:", file=sys.stderr)
        for failure in summary.failures:
            print(f"  {failure}", file=sys.stderr)
        return 1
    if summary.waiting:
        print(f"{len(summary.waiting)} subjects wait for other shards; the last of them publishes")
        return 0
    print(f"look at it with: python -m store info {settings.store}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m extract``."""
    return run(
        _command,
        ExtractCommand,
        argv,
        prog="python -m extract",
        description="Encode the EEG of a BIDS data set into a store.",
    )


if __name__ == "__main__":
    sys.exit(main())
