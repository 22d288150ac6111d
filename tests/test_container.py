"""The container as far as it can be tried without Docker: the same steps in virtual environments."""

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from eval.detect import main as detect
from eval.scoring.events import Detections
from tests.helpers.detectors import make_line, write
from tests.helpers.paths import ROOT

SCRIPT = ROOT / "container" / "detect.sh"
EXTENSIONS = ("extract.braincodec._encoder", "extract.braincodec._activation", "heads.ops._kernel")
TOOLS = ("sh", "cat", "mkdir", "mktemp", "dirname", "rm")  # that the script needs


def instructions() -> list[list[str]]:
    """Words of the Dockerfile's instructions."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def copied() -> list[str]:
    """Paths of this folder that the Dockerfile copies."""
    words = [line[1:-1] for line in instructions() if line[0] == "COPY" and not line[1].startswith("--from")]
    return [path for paths in words for path in paths if path != "${RUN}"]


def is_sent(path: str) -> bool:
    """Whether Docker sees a file: the last rule of .dockerignore counts that matches it or a folder it is in."""
    ignored = False
    parts = path.split("/")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        rule = line.removeprefix("!")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(_matches(head, rule) for head in heads):
            ignored = not line.startswith("!")
    return not ignored


def _matches(path: str, rule: str) -> bool:
    parts = re.split(r"(\*\*/)", rule)
    pattern = "".join("(?:.*/)?" if part == "**/" else re.escape(part).replace(r"\*", "[^/]*") for part in parts)
    return re.fullmatch(pattern, path) is not None


@pytest.mark.parametrize(
    "path",
    [
        *("pyproject.toml", "extract/weights/braincodec.safetensors", "heads/ops/csrc/kernel.h"),
        *("eval/report/page.html", "container/detect.sh", "demo/run/config.json", "constraints.txt"),
        *("demo/run/folds/final/head.safetensors", "runs/a/folds/final/seed-1/postprocessing.json"),
    ],
)
def test_what_is_built_and_run_is_sent(path: str) -> None:
    assert is_sent(path)


@pytest.mark.parametrize(
    "path",
    [
        *("stores/a/sub-01.h5", "demo/store/sub-01.h5", "demo/bids/sub-01/eeg/a.edf", ".git/HEAD", "tests/x.py"),
        *("heads/ops/_kernel.so", "store/__pycache__/a.pyc", "runs/a/predictions/b.npy", "demo/run/report.html"),
        *("runs/a/training.pt", "chb-mit/sub-01/eeg/a.edf", ".venv/bin/python"),
    ],
)
def test_nothing_else_is_sent(path: str) -> None:
    assert not is_sent(path)


def test_the_dockerfile_copies_what_is_there_and_sent() -> None:
    for path in copied():
        assert (ROOT / path).exists(), path
        assert is_sent(path), path
    packages = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert packages
    assert {name.partition(".")[0] for name in re.findall(r'"(.*?)"', packages[1])} <= set(copied())


def test_it_runs_as_another_user_in_a_stage_without_a_compiler() -> None:
    build, run = re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    assert "gcc" in build
    assert "gcc" not in run
    user = re.search(r"^USER (\d+):\d+$", run, re.MULTILINE)
    assert user
    assert int(user[1]) > 0
    assert 'VOLUME ["/data", "/output"]' in run
    assert 'ENV INPUT="" OUTPUT=""' in run
    assert 'CMD ["/app/detect.sh"]' in run


def run_script(folder: Path, tools: Path, line: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The container's command, with folders in the place of its volumes."""
    environment = {
        **{"PATH": str(tools), "HOME": str(folder), "MNE_DONTWRITE_HOME": "true"},
        **{"DATA": str(folder / "data"), "RESULTS": str(folder / "output"), "RUN": str(line / "run"), **more},
    }
    return subprocess.run(
        [str(tools / "sh"), str(SCRIPT)], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )


def make_tools(folder: Path, python: Path) -> Path:
    """A folder for PATH with Python and what the script needs, and no compiler."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    start = folder / "python"
    start.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    start.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_line(tmp_path_factory.mktemp("line"), "bandpower")


def test_the_script_writes_into_the_file_that_szcore_makes(line: Path, tmp_path: Path) -> None:
    """An empty file in a folder to which nothing can be added; a failure leaves it empty."""
    data, output = tmp_path / "data", tmp_path / "output"
    for folder in (data, output):
        folder.mkdir()
    eeg = write(data / "a", seconds=40)
    assert detect([str(eeg), str(tmp_path / "wanted.tsv"), "--run", str(line / "run")]) == 0
    tools = make_tools(tmp_path / "bin", Path(sys.executable))
    (output / "a.tsv").touch()
    number = (output / "a.tsv").stat().st_ino
    done = run_script(tmp_path, tools, line, INPUT="a.edf", OUTPUT="a.tsv", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert (output / "a.tsv").read_bytes() == (tmp_path / "wanted.tsv").read_bytes()
    assert (output / "a.tsv").stat().st_ino == number
    (data / "b.edf").write_text("no EEG")
    (output / "b.tsv").touch()
    done = run_script(tmp_path, tools, line, INPUT="b.edf", OUTPUT="b.tsv", PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert "b.edf: no valid EDF or BDF header" in done.stderr
    assert (output / "b.tsv").read_bytes() == b""
    done = run_script(tmp_path, tools, line, OUTPUT="b.tsv")
    assert done.returncode != 0
    assert "the name of an EDF file in /data is missing" in done.stderr


def make_venv(folder: Path, *shared: str) -> Path:
    """The Python of a new environment; it also sees the packages of other folders."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    if shared:
        code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        own = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        (Path(own) / "shared.pth").write_text("\n".join(shared) + "\n")
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of what the Dockerfile copies, built in an environment of its own."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("build")
    for path in copied():
        source, target = ROOT / path, folder / "source" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(source, target)
    python = make_venv(folder / "venv")
    command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheels", "."]
    done = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True)
    if "No matching distribution found for setuptools" in done.stderr or "Could not fetch" in done.stderr:
        pytest.skip("needs a package index, for setuptools")
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "wheels").iterdir()
    return built


def test_the_wheel_runs_where_there_is_no_compiler(wheel: Path, line: Path, tmp_path: Path) -> None:
    """Installed elsewhere it has the compiled parts, needs no other torch, and detects."""
    import torch

    shared = [path for path in sys.path if path.endswith("site-packages")]
    python = make_venv(tmp_path / "venv", *shared)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--constraint", "constraints.txt"]
    once = [*pip, "--no-deps", "--force-reinstall", "--quiet", str(wheel)]
    subprocess.run(once, cwd=ROOT, check=True, capture_output=True)
    report = [*pip, "--dry-run", "--quiet", "--report", "-", str(wheel)]
    planned = subprocess.run(report, cwd=ROOT, capture_output=True, text=True)
    if planned.returncode and "No matching distribution" in planned.stderr:
        pytest.skip("needs a package index")
    names = {item["metadata"]["name"].lower() for item in json.loads(planned.stdout)["install"]}
    assert not names & {"torch", "triton"}, "another torch would be installed"
    tools = make_tools(tmp_path / "bin", python)
    assert shutil.which("gcc", path=str(tools)) is None
    code = f"""
import importlib, torch
from heads.ops import avx512_impl
for name in {EXTENSIONS}:
    module = importlib.import_module(name)
    assert "{tmp_path}" in module.__file__, module.__file__
print(torch.__version__)
"""
    environment = {"PATH": str(tools), "HOME": str(tmp_path)}
    loaded = subprocess.run([python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == torch.__version__
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "a", seconds=40)
    done = run_script(tmp_path, tools, line, INPUT="a.edf", OUTPUT="new/a.tsv")
    assert done.returncode == 0, done.stderr
    found = Detections.from_tsv((tmp_path / "output" / "new" / "a.tsv").read_text(), "a.tsv")
    assert found.duration_s == 40
    assert found.events
