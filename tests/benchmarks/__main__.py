"""python -m tests.benchmarks [NAME [OPTIONS] | NAME ...]: measure speeds, as ratios within one run.

Each module here is one.
"""

import importlib
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
QUICK = ("encoder", "extract", "heads", "store")  # what runs when none is named


def machine() -> str:
    """Processor, threads and device that are measured."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later know
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    vector = torch.backends.cpu.get_cpu_capability()
    more = " ".join(key for key in ("avx512_bf16", "amx_bf16") if known.get(key))
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name} {vector} {more}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}"


def main(argv: Sequence[str]) -> int:
    """Run the benchmarks that are named; options after a single name are its own."""
    options = argv[1:] if len(argv) > 1 and argv[1].startswith("-") else ()
    names = argv[: len(argv) - len(options)]
    if unknown := set(names) - set(NAMES):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(machine())
    for name in names or QUICK:
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").main(*[options] if options else [])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
