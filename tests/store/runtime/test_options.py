"""Mistakes in options, each in one line that says what, what was given, what is allowed and where the help is."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from store.runtime.options import read_options
from tests.helpers.paths import ROOT

STORE = ["--store", "s"]
TRAIN = [*STORE, "--fold", "all"]
SWEEP = [*STORE, "--out", "o"]
STUDY = ["--bids", "b", "--out", "o"]
MISTAKES = [
    ("extract", ["--bids", "b", "--store", "s", "--jobs", "two"], '--jobs: "two" is not a whole number'),
    ("extract", ["--bids", "b", "--store", "s", "--jobs", "1.5"], '--jobs: "1.5" is not a whole number'),
    ("extract", ["--bids", "b"], "--store is required"),
    ("extract", [], "--bids and --store are required"),
    ("extract", ["-bids", "b"], "no option -bids (did you mean --bids?)"),
    ("extract.link", ["x", "y", "z"], 'DATA-SET: "x" is not one of chbmit, siena, tusz'),
    ("extract.demo", ["eeg", "--minutes", "1 h"], '--minutes: "1 h" is not a number'),
    ("extract.codec", [], "INPUT.edf is required"),
    (
        "extract.pretrain",
        ["--bids", "b", "--out", "o", "--ratios", "2", "x"],
        '--ratios: "x" is not a whole number',
    ),
    ("heads.sweep", STORE, "--out is required"),
    ("heads.train", [*TRAIN, "--foldd", "3"], "no option --foldd (did you mean --fold?)"),
    ("heads.train", ["--foldd", "3"], "no option --foldd (did you mean --fold?)"),
    ("heads.train", [*TRAIN, "--qwxz=1"], "no option --qwxz"),
    ("heads.train", [*TRAIN, "--lr"], "--lr: a value is missing"),
    ("heads.train", [*TRAIN, "--lr=abc"], '--lr: "abc" is not a number'),
    (
        "heads.train",
        [*TRAIN, "--pooling", "mex"],
        '--pooling: "mex" is not one of max, max-std, max-std-electrodes',
    ),
    ("heads.train", [*TRAIN, "--positive-weight", "x"], '--positive-weight: "x" is not a number or none'),
    ("heads.train", [*TRAIN, "--inner", "x"], '--inner: "x" is not a whole number or pairs or one'),
    ("heads.train", [*STORE, "--random", "1"], "no option --random"),
    ("heads.train", [*TRAIN, "--retrain", "yes"], "--retrain takes no value; got yes"),
    ("heads.train", [*STORE, "--fold", "01", "02"], "--fold takes one value; got 01 02"),
    ("heads.train", [*STORE, "--fold=01", "02", "03", "--lr", "1"], "--fold takes one value; got 01 02 03"),
    ("heads.train", [*TRAIN, "--forse"], "no option --forse"),
    ("heads.train", [*TRAIN, "--lr", "\x1b[31m\n"], r'--lr: "\u001b[31m\n" is not a number'),
    ("heads.sweep", [*SWEEP, "--lr", "1e-3", "abc"], '--lr: "abc" is not a number'),
    (
        "heads.sweep",
        [*SWEEP, "--pooling", "max", "foo"],
        '--pooling: "foo" is not one of max, max-std, max-std-electrodes',
    ),
    ("heads.sweep", [*SWEEP, "--random", "x"], '--random: "x" is not a whole number'),
    (
        "heads.sweep",
        [*SWEEP, "--fold", "01"],
        "no option --fold: a sweep tests on every person in turn and ends with the command for a detector; "
        "python -m heads.train takes --fold",
    ),
    (
        "heads.probe",
        ["--store", "s", "--statistics", "x"],
        '--statistics: "x" is not one of pooled, mean, mean-std',
    ),
    ("eval", [], "RUN is required"),
    ("eval", ["run", "other"], '"other" is one value too many'),
    ("eval", ["--jobs", "2", "run", "other"], '"other" is one value too many'),
    ("eval compare", ["--uot", "x", "a", "b"], "no option --uot (did you mean --out?)"),
    (
        "eval.detect",
        ["a.edf", "b.tsv", "--run", "r", "--missing", "no"],
        '--missing: "no" is not one of error, zero',
    ),
    ("eval.study", ["--bids", "b"], "--out is required"),
    ("eval.study", [*STUDY, "--features", "latent"], '--features: "latent" is not one of latents, codes'),
    ("eval.study", [*STUDY, "--seeds", "0", "x"], '--seeds: "x" is not a whole number'),
    ("eval.study", [*STUDY, "--encoder", "x"], "no option --encoder (did you mean --encoders?)"),
    ("eval.controls", [], "RUN is required"),
    ("eval.controls", ["run", "other"], '"other" is one value too many'),
    ("eval.controls", ["run", "--seed", "x"], '--seed: "x" is not a whole number'),
    ("eval.controls", ["run", "--twins", "x"], "no option --twins (did you mean --twin?)"),
    ("eval.export", ["run"], "OUTPUT.onnx is required"),
    ("eval.export", ["run", "a.onnx", "--to", "onx"], '--to: "onx" is not one of onnx'),
    ("eval.export", ["run", "a.onnx", "--chek", "x"], "no option --chek (did you mean --check?)"),
    ("store info", ["--jsn"], "no option --jsn (did you mean --json?)"),
    ("store verify", ["s", "--sample", "x"], '--sample: "x" is not a number'),
    ("store export", ["s"], "--person is required"),
]


def call(module: str, arguments: Sequence[str]) -> int:
    package, _, part = module.partition(" ")
    try:
        main = importlib.import_module(f"{package}.__main__").main
    except ModuleNotFoundError:
        main = importlib.import_module(package).main
    status: int = main([*part.split(), *arguments])
    return status


@pytest.mark.parametrize(("module", "arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line(
    module: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(module, arguments) == 2
    program = f"python -m {module}"
    assert capsys.readouterr() == ("", f"{program}: error: {message}; see {program} --help\n")


def test_a_command_of_the_store_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("store", ["verfy", "s"]) == 2
    message = "no command verfy (did you mean verify?); allowed: info, verify, export"
    assert capsys.readouterr() == ("", f"python -m store: error: {message}\n")


def test_values_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    from heads.sweep import SweepCommand

    def read(*arguments: str) -> Any:
        return read_options(SweepCommand, [*SWEEP, *arguments], "sweep", "")

    command = read("--lr", "1e-3", "1", "--hidden", "8", "--positive-weight", "none", "2", "--pooling", "max")
    expected = {"lr": (0.001, 1.0), "hidden": (8,), "positive_weight": (None, 2.0), "pooling": ("max",)}
    assert {name: getattr(command, name) for name in expected} == expected
    assert (command.random, command.head, command.epochs) == (None, ("spatial-fusion",), (30,))
    assert read("--positive-weight", "None") == read("--positive_weight", "none")


@pytest.mark.parametrize(
    "change",
    [
        'sys.modules["tyro._errors"] = None',
        'sys.modules["tyro._errors"].MissingArgs.__name__ = "Other"',
        'sys.modules["tyro._errors"].MissingArgs.__name__ = "InvalidChoice"',  # whose fields it lacks
    ],
)
def test_without_tyros_hook_its_own_message_is_printed(change: str) -> None:
    """The hook is private to tyro: a later version may lack it, or tell less."""
    program = f"import sys, tyro\n{change}\nfrom store.__main__ import main\nmain(['export', 's'])"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2, finished.stderr
    assert "--person" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_help_beside_an_option_is_one_line() -> None:
    """The help keeps the line breaks of a field's docstring; longer ones are ``help`` of ``arg``."""
    broken = [
        f"{path.relative_to(ROOT)}: {ast.unparse(field)}"
        for package in ("extract", "store", "heads", "eval")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for field, after in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and "\n" in str(after.value.value)
    ]
    assert not broken
