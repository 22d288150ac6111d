"""Trainings keep to --memory, under a limit of the operating system; without it they would not."""

import subprocess
import sys
from pathlib import Path

import pytest

from heads.device_features import _KEPT_BYTES
from heads.settings import MemoryOption
from heads.sweep import main as sweep
from heads.train import main as train
from heads.training.groups import _GROUP_BYTES, _NESTED_GROUP_BYTES
from tests.benchmarks.full_size import CODES, write_store
from tests.helpers.paths import ROOT

SPARE = 650 << 20  # bytes that a command may take beyond those of its start
LIMITED = f"""
import resource, sys
import heads.{{module}} as command, heads.training.stacked, heads.training.finish, heads.sweep_results
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {SPARE}, size + {SPARE}))
sys.exit(command.main(sys.argv[1:]))
"""
SIZE = ("--filters", "4", "--hidden", "4", "--epochs", "1", "--precision", "float32")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 MB whose latents in float32 are 737 MB."""
    folder = tmp_path_factory.mktemp("memory") / "store"
    folder.mkdir()
    write_store(folder, CODES, persons=4, recordings=5, recording_s=1000)
    return folder


@pytest.mark.parametrize(
    ("module", "options"), [("train", ("--fold", "all", "--inner", "2")), ("sweep", ("--lr", "1e-3", "1e-4"))]
)
def test_a_training_keeps_to_its_memory(path: Path, tmp_path: Path, module: str, options: tuple[str, ...]) -> None:
    def run(name: str, *more: str) -> subprocess.CompletedProcess[str]:
        arguments = ("--store", str(path), "--out", str(tmp_path / name), *options, *SIZE, *more)
        command = [sys.executable, "-c", LIMITED.format(module=module), *arguments]
        environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    done = run("little", "--memory", "0.75")
    assert done.returncode == 0, done.stderr
    done = run("default")
    assert done.returncode == 2
    assert "error: the memory does not suffice; close other programs, or take less at once" in done.stderr


def test_the_default_memory_is_that_of_earlier_versions() -> None:
    """So that heads train in the same groups, to the same last digit."""
    default = MemoryOption()
    assert default.kept_bytes == _KEPT_BYTES
    assert (default.group_bytes(nested=False), default.group_bytes(nested=True)) == (
        _GROUP_BYTES,
        _NESTED_GROUP_BYTES,
    )


@pytest.mark.parametrize("memory", ["0.7", "-1", "nan"])
def test_too_little_memory_is_an_error(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], memory: str
) -> None:
    arguments = ["--store", str(path), "--out", str(tmp_path / "run"), "--memory", memory]
    for main, more in ((train, ["--fold", "all"]), (sweep, [])):
        assert main([*arguments, *more]) == 2
        assert f"--memory {float(memory)}: not usable; allowed: 0.75 GiB and more" in capsys.readouterr().err
