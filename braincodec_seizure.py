"""``braincodec-seizure COMMAND``: all commands under one name. Only the given command is imported."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

__version__ = "0.1.0"

COMMANDS = {  # name: module with a main, purpose
    "extract": ("extract.__main__", "encode the EEG of a BIDS data set into a feature store"),
    "link": ("extract.link", "make a BIDS tree of links to a downloaded CHB-MIT, Siena or TUSZ"),
    "train": ("heads.train", "train seizure detection heads on a store, all folds in one pass"),
    "eval": ("eval.__main__", "score a run by SzCORE's rules and write its report"),
    "sweep": ("heads.sweep", "train many settings at once, choose one for each fold"),
    "probe": ("heads.probe", "fit linear classifiers: a baseline in seconds"),
    "compare": ("eval.compare", "compare scored runs, person by person"),
    "detect": ("eval.detect", "detect seizures in EEG files or live samples"),
    "export": ("eval.export", "export the detector of a run as an ONNX file"),
    "study": ("eval.study.__main__", "compare encoders, features and heads: from EEG to a table"),
    "controls": ("eval.controls", "run shuffled labels, identity, untrained twin, alarms on other people"),
    "store": ("store.__main__", "inspect, verify or export a store"),
    "codec": ("extract.codec", "encode and decode an EDF file and measure the error"),
    "pretrain": ("extract.pretrain.__main__", "train a BrainCodec of your own"),
    "demo": ("extract.demo", "write a synthetic BIDS EEG data set"),
}
# Spins of a waiting thread before it sleeps. With libgomp's default of 300,000, training beside another program
# is many times slower than its share of the processor.
SPINS = "5000"
_INTERRUPTED = 130  # exit status
_USAGE = "usage: braincodec-seizure [--help] [--version] COMMAND ..."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        sys.stderr.write(_help())
        return 2
    name, *rest = arguments
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name == "--version":
        sys.stdout.write(f"braincodec-seizure {__version__}\n")
        return 0
    if name not in COMMANDS:
        from store.runtime.cli import to_one_line
        from store.runtime.options import describe_unknown  # imported here to keep --help fast

        unknown = to_one_line(describe_unknown("command", name, list(COMMANDS)))
        print(f"braincodec-seizure: error: {unknown}; allowed: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        from store.runtime.commands import called_as

        with called_as(_names()):
            status = _load_and_run(COMMANDS[name][0], rest)
    except KeyboardInterrupt:
        status = _say_interrupted(f"braincodec-seizure {name}")
    return _prepare_end(status) if argv is None else status


def run_module(module: str) -> int:
    """Run a command started by ``python -m``, return its exit status; Ctrl-C during imports prints one line."""
    try:
        status = _load_and_run(module, sys.argv[1:])
    except KeyboardInterrupt:
        status = _say_interrupted(f"python -m {module.removesuffix('.__main__')}")
    return _prepare_end(status)


def _prepare_end(status: int) -> int:
    """Ignore Ctrl-C after an interrupt, while threads end: another one would only add a traceback."""
    if status == _INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def _load_and_run(module: str, arguments: Sequence[str]) -> int:
    if find_spec("fcntl") is None:  # locks, which every command needs
        what = "needs Linux or macOS; on Windows, install and run it in WSL"
        print(f"braincodec-seizure: error: {what}", file=sys.stderr)
        return 2
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read by libgomp when torch is imported
    status: int = import_module(module).main(arguments)
    return status


def _say_interrupted(command: str) -> int:
    """Report Ctrl-C during the imports of a command; a running command reports it itself."""
    print(f"{command}: interrupted before it began", file=sys.stderr)
    return _INTERRUPTED


def _names() -> dict[str, str]:
    """Console name of each module that ``python -m`` runs."""
    modules = {"eval.compare": "eval compare"}
    return {
        modules.get(module, module.removesuffix(".__main__")): f"braincodec-seizure {name}"
        for name, (module, _) in COMMANDS.items()
    }


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            _USAGE,
            "",
            "Encode EEG once with a frozen encoder, train seizure detectors on the stored features.",
            "",
            *(f"  {name:<{width}}{what}" for name, (_, what) in COMMANDS.items()),
            "",
            "braincodec-seizure COMMAND --help lists the options of a command. A first run on synthetic EEG:",
            "",
            "  braincodec-seizure demo eeg",
            "  braincodec-seizure extract --bids eeg --store features",
            "  braincodec-seizure train --store features --fold all --out run",
            "  braincodec-seizure eval run",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
