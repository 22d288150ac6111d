"""Who may import what."""

import ast
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("extract", "store", "heads", "eval")
ALLOWED = {"extract": {"store"}, "heads": {"store"}, "eval": {"store", "heads"}, "store": set()}
ONLY_IN = {"mne": {"extract", "eval"}, "mne_bids": {"extract"}, "h5py": {"store"}, "edfio": {"extract", "eval"}}
WITHOUT_MNE = (
    "extract/braincodec/network.py",
    "extract/braincodec/avx512.py",
    "extract/braincodec/checkpoint.py",
    "extract/encoders/registry.py",
    "extract/encoders/protocol.py",
    "extract/encoders/braincodec.py",
    "extract/encoders/bandpower.py",
    "extract/io/windows.py",
)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path, top_level: bool = False) -> set[str]:
    """First names of what a module imports, anywhere or at its top level only."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    for path in modules(package):
        allowed = ALLOWED[package] | {package}
        if path == ROOT / "eval" / "detect.py":
            allowed = allowed | {"extract"}
        assert imported(path) & set(PACKAGES) <= allowed, path


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_where_they_belong(library: str) -> None:
    for package in PACKAGES:
        for path in modules(package):
            assert library not in imported(path) or package in ONLY_IN[library], path


def test_the_store_loads_no_torch() -> None:
    for path in modules("store"):
        assert "torch" not in imported(path, top_level=True), path


@pytest.mark.parametrize("name", WITHOUT_MNE)
def test_models_load_without_mne(name: str) -> None:
    assert not imported(ROOT / name) & {"mne", "mne_bids"}


def test_nothing_runs_at_import() -> None:
    """Modules hold imports, definitions and constants, and the guard of a command."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for package in PACKAGES:
        for path in modules(package):
            for node in ast.parse(path.read_text()).body:
                docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                guard = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
                assert isinstance(node, allowed) or docstring or guard, f"{path}: {ast.unparse(node)[:60]}"
