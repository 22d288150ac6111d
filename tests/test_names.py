"""Names that are gone stay gone: in syntax trees, in the help of commands and in the documentation."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from braincodec_seizure import COMMANDS, main
from tests.helpers.imports import PACKAGES, source_files
from tests.helpers.paths import ROOT

# Old names of modules, classes, functions and methods that are still fine as local words: only definitions count.
DEFINITIONS = {
    *(
        "cells",
        "cut",
        "fused",
        "gather",
        "half",
        "pair",
        "parts",
        "reduce",
        "respond",
        "responses",
        "share",
        "sums",
    ),
    *("weigh", "whole"),
}
# Old names that must appear nowhere, not as a variable, an attribute or an import either.
IDENTIFIERS = {
    *("ArrayWindows", "Cell", "Encoder", "Fitted", "Models", "NetworkEncoder", "Outcome", "PackedEncoder"),
    *("PartSettings", "Piece", "Seconds", "Settings", "Signal", "Slot", "Stream", "Sums", "Trained", "Windows"),
    *("_Group", "_train_slots", "ahead", "cautions", "counting", "fuse_and_pool", "fuse_and_vary", "fusion"),
    *("interrupts", "interrupts_wait", "judge", "machine", "noise_size", "on_log_scale", "own_gpu", "pieces"),
    *("pool_and_vary", "read_cells", "read_post", "run_config", "slots", "suits_avx512", "sums_of", "takes"),
    *("LinearProbe", "train_group", "work_ahead", "write_aside", "write_cells"),
}
# Words that name nothing: a variable or an argument says what it holds.
FILLERS = {"chosen", "found", "one", "own", "there", "wanted"}
# Those that no English sentence holds; help is prose.
COMPOUNDS = {name for name in IDENTIFIERS if re.search(r"_|[a-z][A-Z]", name)}
# Values that people typed and files hold; one table translates them.
SPELLINGS = {"max-deviation", "mean-deviation", "release"}
TABLE = ROOT / "store" / "runtime" / "old_spellings.py"
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))


def definitions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def local_names(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg


def identifiers(tree: ast.AST) -> Iterator[str]:
    yield from definitions(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.arg():
                yield node.arg
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias():
                yield node.asname or node.name


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def documented_names(text: str) -> set[str]:
    """Words of code spans and code blocks, comments left out.

    >>> sorted(documented_names("Take `--pooling max-deviation` for a release"))
    ['--pooling', 'max-deviation']
    """
    blocks = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    words = (re.sub(r"#.*", "", line) for block in blocks for line in block.splitlines())
    return {word for line in words for word in re.findall(r"[\w-]+", line)}


@pytest.mark.parametrize("path", [path for name in PACKAGES for path in source_files(name)], ids=str)
def test_no_module_holds_an_old_name(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert path.stem not in DEFINITIONS | IDENTIFIERS
    assert not set(definitions(tree)) & DEFINITIONS
    assert not set(identifiers(tree)) & IDENTIFIERS
    assert not set(local_names(tree)) & FILLERS
    if path != TABLE:
        assert not set(strings(tree)) & SPELLINGS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_holds_an_old_name(path: Path) -> None:
    assert not documented_names(path.read_text()) & (IDENTIFIERS | SPELLINGS)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_holds_an_old_name(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main([command, "--help"])
    assert not set(re.findall(r"[\w-]+", capsys.readouterr().out)) & (COMPOUNDS | SPELLINGS)
