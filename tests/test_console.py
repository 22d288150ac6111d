"""The console command, from a working folder whose names are those of our packages."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from braincodec_seizure import COMMANDS, SPINS, __version__, main, run_module
from tests.helpers.paths import ROOT

LOOK = "inspect it with: braincodec-seizure store info store"
MODULES = [module.removesuffix(".__main__") for module, _ in COMMANDS.values()]
MAY_LOAD = {
    "extract": {"mne"},  # mne-bids, for file types that it knows, loads a little of mne
    **{name: {"pandas"} for name in ("eval", "compare", "controls", "study")},
}
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


@pytest.mark.parametrize(
    ("given", "spins"), [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_threads_spin_briefly_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], spins: str | None
) -> None:
    """Set before torch is loaded, since libgomp reads it then."""
    monkeypatch.setattr("os.environ", dict(given))
    (tmp_path / "prints.py").write_text(
        "import os\nwith_spins = os.environ.get('GOMP_SPINCOUNT')\nmain = lambda argv: 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run_module("prints") == 0
    assert sys.modules.pop("prints").with_spins == spins


def test_every_command_works_beside_files_of_the_same_names(folder: Path) -> None:
    edf = "eeg/sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf"
    train = ("train", "--store", "store", "--out", "runs/a", *QUICK)
    commands = {
        ("demo", "--persons", "3", "--recordings", "1", "--minutes", "1", "eeg"): "3 persons",
        ("extract", "--bids", "eeg", "--store", "store", "--encoder", "bandpower", "--jobs", "2"): LOOK,
        ("store", "info", "store"): "bandpower",
        (*train, "--fold", "all"): "fold 03",
        (*train, "--fold", "final"): "score it with: braincodec-seizure eval runs/a",
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
        assert "python -m" not in output, command


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


def help_of(call: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        status = call()
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 0
    return capsys.readouterr().out


CALLS = [[name] for name in COMMANDS] + [["store", name] for name in ("info", "verify", "export")]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_command_explains_itself_by_its_name(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = help_of(lambda: main([*call, "--help"]), capsys)
    program = f"braincodec-seizure {' '.join(call)}"
    assert f"usage: {program} " in out
    assert f"Example: {program} " in out
    for text in ("python -m", "PATH PATH", "None", "(default: )", " STR ", "\n\n\n"):
        assert text not in out


@pytest.mark.parametrize("call", [["detect"], ["export"], ["store", "export"]], ids=" ".join)
def test_help_says_that_an_output_is_replaced(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(lambda: main([*call, "--help"]), capsys).replace("│", " ").split())
    assert re.search(r"ile to write[^.]*[;,] replaced if it is ", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_module_explains_itself_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = COMMANDS[name][0]
    out = help_of(lambda: importlib.import_module(module).main(["--help"]), capsys)
    program = "python -m " + {"eval.compare": "eval compare"}.get(module, module.removesuffix(".__main__"))
    assert f"usage: {program} " in out
    assert "braincodec-seizure" not in out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_mistakes_load_little(name: str, tmp_path: Path) -> None:
    """What takes a second to load is loaded by the work alone."""
    heavy = {"torch", "scipy", "sklearn", "matplotlib", "mne", "pandas"} - MAY_LOAD.get(name, set())
    script = f"""
import sys
from contextlib import suppress
from braincodec_seizure import main
for option in ("--help", "--no-such-option"):
    with suppress(SystemExit):
        main([{name!r}, option])
assert not {heavy!r} & set(sys.modules)
"""
    finished = run(tmp_path, "-c", script)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_while_a_command_is_loaded_is_one_line(module: str, tmp_path: Path) -> None:
    """Pressed by a library that is loaded early."""
    press = "signal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.raise_signal(signal.SIGINT)\n"
    (tmp_path / "tyro.py").write_text(f"import signal\n{press}")
    finished = run(tmp_path, "-m", module, "--help")
    assert finished.stderr == f"python -m {module}: interrupted before it began\n"
    assert finished.returncode == 130


@pytest.mark.parametrize(
    "start",
    [
        "sys.exit(run_module('works'))",
        "COMMANDS['works'] = 'works', ''; sys.argv[1:] = ['works']; sys.exit(main())",
    ],
)
def test_ctrl_c_while_an_interrupted_command_ends_is_ignored(start: str, tmp_path: Path) -> None:
    """Pressed once more while a thread finishes what it does."""
    (tmp_path / "works.py").write_text("""
import os, signal, time
from concurrent.futures import ThreadPoolExecutor
def press():
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
def main(argv):
    ThreadPoolExecutor(1).submit(press)
    return 130
""")
    finished = run(tmp_path, "-c", f"import sys; from braincodec_seizure import *; {start}")
    assert (finished.returncode, finished.stderr) == (130, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_to_start_with_fit_a_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = help_of(lambda: main([name, "--help"]), capsys)
    line = next((line for line in out.splitlines() if line.startswith("Start with: ")), "")
    assert len(line) <= 100
    assert bool(line) == (name not in ("compare", "store"))


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (["store", "info", "none"], "extract makes one"),
        (["store", "verify", "."], "extract makes them"),
        (["train", "--store", "none", "--fold", "all"], "extract makes one"),
        (["eval", "none"], "train makes one"),
        (["compare", "none", "other"], "train makes one"),
        (["detect", "a.edf", "b.tsv", "--run", "none"], "train makes one"),
        (["store", "infi"], "(did you mean info?)"),
        (["sweep", "--store", "none"], "see {}sweep --help"),
        (["sweep", "--fold", "final"], "train takes --fold"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_name_commands_as_this_one_was_called(
    call: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = " ".join(call[: 1 + (call[0] == "store" and call[1] != "infi")])
    assert main(call) == 2
    by_console = capsys.readouterr().err
    assert by_console.startswith(f"braincodec-seizure {program}: error: ")
    assert hint.format("braincodec-seizure ") in by_console
    assert "python -m" not in by_console
    assert by_console.count("\n") == 1
    assert importlib.import_module(COMMANDS[call[0]][0]).main(call[1:]) == 2
    by_module = capsys.readouterr().err
    assert by_module.startswith("python -m ")
    assert "braincodec-seizure" not in by_module


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in out


def test_no_command_is_a_mistake_that_the_help_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("usage: braincodec-seizure ")
    assert "\n  extract " in output.err


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("braincodec-seizure: error: no command trian (did you mean train?); allowed: extract, ")
    assert err.count("\n") == 1


def test_a_system_without_locks_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("braincodec_seizure.find_spec", lambda name: None)
    assert main(["train", "--help"]) == run_module("heads.train") == 2
    line = "braincodec-seizure: error: needs Linux or macOS; on Windows, install and run it in WSL\n"
    assert capsys.readouterr().err == 2 * line


def test_the_version_is_one() -> None:
    assert main(["--version"]) == 0
    assert version("braincodec-seizure") == __version__
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("package", ["extract", "store", "heads", "eval"])
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert Path(str(importlib.import_module(package).__file__)).with_name("py.typed").is_file()
