"""Who may import what, what stands where, and which names are gone."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.imports import (
    PACKAGES,
    import_graph,
    imported_names,
    longest_path,
    module_name,
    source_files,
    top_level_graph,
)
from tests.helpers.paths import ROOT

ALLOWED = {"extract": {"store"}, "heads": {"store"}, "eval": {"store", "heads"}, "store": set()}
COMPOSE = {  # go the whole way, so they also know extract
    *("eval/detect.py", "eval/export.py"),
    *(f"eval/detection/{name}.py" for name in ("detector", "onnx_file", "stream")),
    *(f"eval/study/{name}.py" for name in ("study", "checks", "work")),
}
READS_EEG = {"eval/__main__.py"}  # does with --bids, and loads extract only then
ONLY_IN = {"mne": {"extract", "eval"}, "mne_bids": {"extract"}, "h5py": {"store"}, "edfio": {"extract", "eval"}}
WITHOUT_MNE = (
    "extract/braincodec/network.py",
    "extract/braincodec/avx512.py",
    "extract/braincodec/checkpoint.py",
    "extract/encoders/registry.py",
    "extract/io/windows.py",
)
COMMANDS = {
    "extract": {"__main__", "demo", "codec", "link"},
    "store": {"__main__"},
    "heads": {"train", "sweep", "probe"},
    "eval": {"__main__", "compare", "detect", "study", "controls", "export"},
}
SHARED = {  # modules at the top that commands and folders share
    "extract": {"pipeline", "publishing", "encode_recording"},
    "store": {"schema", "layout", "reader", "writer", "gate"},
    "heads": {
        "settings",
        "folds",
        "dataset",
        "device_features",
        "run_folder",
        "inference",
        "sweep_results",
        "sklearn",
    },
    "eval": set[str](),
}
FOLDERS = {
    "extract": {"io", "planning", "encoders", "braincodec", "coding", "synthetic", "pretrain"},
    "store": {"runtime", "hdf5", "features", "interop"},
    "heads": {"models", "training", "ops", "closed_form"},
    "eval": {"scoring", "report", "detection"},
}
LONGEST_PATH = 7
MOST_EDGES = 45


def first_names(path: Path, top_level: bool = False) -> set[str]:
    return {name.split(".")[0] for name in imported_names(path, top_level)}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    for path in source_files(package):
        allowed = ALLOWED[package] | {package}
        name = path.relative_to(ROOT).as_posix()
        if name in COMPOSE | READS_EEG:
            allowed = allowed | {"extract"}
        assert first_names(path) & set(PACKAGES) <= allowed, path
        assert name not in READS_EEG or "extract" not in first_names(path, top_level=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_only_what_the_design_lists_stands_at_the_top(package: str) -> None:
    listed = {"__init__"} | COMMANDS[package] | SHARED[package] | FOLDERS[package]
    assert set(top_level_graph(package)) <= listed


def test_every_folder_is_installed() -> None:
    """Packages are listed by name, since setuptools would not find these, or find too much."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {module_name(path) for name in PACKAGES for path in source_files(name) if path.stem == "__init__"}
    assert set(listed) == folders


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_few_and_short(package: str) -> None:
    """Nodes are the modules and folders at the top of a package."""
    graph = top_level_graph(package)
    chain = longest_path(graph)
    assert len(chain) <= LONGEST_PATH, " -> ".join(chain)
    edges = sorted(f"{name} -> {other}" for name, imports in graph.items() for other in imports)
    assert len(edges) <= MOST_EDGES, "\n".join(edges)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_runs_in_a_circle(package: str) -> None:
    longest_path(import_graph(package))
    longest_path(top_level_graph(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_below_imports_a_command(package: str) -> None:
    for name, imports in top_level_graph(package).items():
        if name not in COMMANDS[package]:
            assert not imports & COMMANDS[package], name


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_where_they_belong(library: str) -> None:
    for package in PACKAGES:
        for path in source_files(package):
            assert library not in first_names(path) or package in ONLY_IN[library], path


def test_the_store_loads_no_torch() -> None:
    for path in source_files("store"):
        assert "torch" not in first_names(path, top_level=True), path


@pytest.mark.parametrize("name", WITHOUT_MNE)
def test_models_load_without_mne(name: str) -> None:
    assert not first_names(ROOT / name) & {"mne", "mne_bids"}


def test_training_loads_without_mne() -> None:
    modules = "extract.pretrain.pretraining, heads.train, heads.training.stacked, heads.sweep, heads.probe"
    script = f"import sys; sys.modules['mne'] = sys.modules['mne_bids'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_nothing_runs_at_import() -> None:
    """Modules hold imports, definitions and constants, the guard of a command, and imports for types alone."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for path in [ROOT / "braincodec_seizure.py", *(path for name in PACKAGES for path in source_files(name))]:
        for node in ast.parse(path.read_text()).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
            guard = "__name__" in test or test == "TYPE_CHECKING"
            assert isinstance(node, allowed) or docstring or guard, f"{path}: {ast.unparse(node)[:60]}"
