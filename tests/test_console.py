"""The console command, from a working folder whose names are those of our packages."""

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from braincodec_seizure import COMMANDS, __version__, main
from tests.helpers.paths import ROOT

QUICK = ("--epochs", "1", "--filters", "2", "--hidden", "2")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300)


def console(folder: Path, *commands: Sequence[str]) -> list[str]:
    """Output of console commands, one after the other in one process, the folder of scripts first on its path."""
    script = f"""
import json, sys
sys.path[0] = {str(Path(sys.executable).parent)!r}
from braincodec_seizure import main
for arguments in json.loads(sys.argv[1]):
    if status := main(arguments):
        sys.exit(f"{{arguments}} ended with {{status}}")
    print("=" * 8)
"""
    finished = run(folder, "-c", script, json.dumps(commands))
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split("=" * 8 + "\n")[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a user's own ``store/``, ``heads/`` and ``eval.py``."""
    path = tmp_path_factory.mktemp("work")
    for name in ("store", "heads", "extract"):
        (path / name).mkdir()
    (path / "eval.py").write_text("raise SystemExit('the eval.py of the user ran')\n")
    return path


def test_every_command_works_beside_files_of_the_same_names(folder: Path) -> None:
    edf = "eeg/sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf"
    train = ("train", "--store", "store", "--out", "runs/a", *QUICK)
    commands = {
        ("demo", "--persons", "3", "--recordings", "1", "--minutes", "1", "eeg"): "3 persons",
        ("extract", "--bids", "eeg", "--store", "store", "--encoder", "bandpower", "--jobs", "2"): "3 subjects",
        ("store", "info", "store"): "bandpower",
        (*train, "--fold", "all"): "fold 03",
        (*train, "--fold", "final"): "fold final",
        ("sweep", "--store", "store", "--out", "runs/b", "--lr", "1e-3", "1e-2", *QUICK): "runs/b",
        ("probe", "--store", "store", "--out", "runs/c"): "fold 03",
        ("eval", "runs/a", "--no-report"): "AUROC",
        ("eval", "runs/b", "--no-report"): "AUROC",
        ("compare", "runs/a", "runs/b"): "persons",
        ("detect", edf, "out.tsv", "--run", "runs/a"): "Events: out.tsv",
        ("codec", edf, "decoded.edf"): "%",
    }
    for output, (command, expected) in zip(console(folder, *commands), commands.items(), strict=True):
        assert expected in output, command


def test_modules_run_beside_a_folder_of_the_same_name(folder: Path) -> None:
    """``--store store`` makes a folder ``store``; as it is no package, ours is found behind it."""
    for module in ("store", "extract", "heads.train"):
        finished = run(folder, "-m", module, "--help")
        assert finished.returncode == 0, finished.stderr
        assert f"python -m {module}" in finished.stdout


def test_python_runs_a_users_own_eval(folder: Path) -> None:
    """As the docs say: ``python -m eval`` is the user's file there, ``braincodec-seizure eval`` is ours."""
    assert "the eval.py of the user ran" in run(folder, "-m", "eval", "runs/a").stderr


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing(tmp_path: Path, option: str) -> None:
    """Under half a second of a processor, whatever else the machine does."""
    script = f"""
import resource, sys
from braincodec_seizure import main
main([{option!r}])
used = resource.getrusage(resource.RUSAGE_SELF)
assert used.ru_utime + used.ru_stime < 0.5, used
assert not {{"numpy", "torch", "tyro"}} & set(sys.modules)
"""
    finished = run(tmp_path, "-c", script)
    assert finished.returncode == 0, finished.stderr
    assert "braincodec-seizure" in finished.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: braincodec-seizure {name}" in out
    assert "PATH PATH" not in out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in out


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("braincodec-seizure: error: no command 'trian'; allowed: extract, link, train,")
    assert err.count("\n") == 1


def test_errors_name_the_command_as_it_was_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--store", str(tmp_path / "none"), "--fold", "01"]) == 2
    assert capsys.readouterr().err.startswith("braincodec-seizure train: error: ")


def test_the_version_is_one() -> None:
    assert main(["--version"]) == 0
    assert version("braincodec-seizure") == __version__
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("package", ["extract", "store", "heads", "eval"])
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert Path(str(importlib.import_module(package).__file__)).with_name("py.typed").is_file()
