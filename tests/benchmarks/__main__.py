"""python -m tests.benchmarks [NAME ...]: measure speeds, as ratios within one run. Each module here is one."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
QUICK = ("encoder", "extract", "heads", "store")  # what runs when none is named


def main(argv: Sequence[str]) -> int:
    """Run the benchmarks that are named."""
    if unknown := set(argv) - set(NAMES):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in argv or QUICK:
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
