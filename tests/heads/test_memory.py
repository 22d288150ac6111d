"""Trainings and probes keep to --memory, under a limit of the operating system; without it they would not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from heads.device_features import _KEPT_BYTES
from heads.probe import main as probe
from heads.settings import MemoryOption
from heads.sweep import main as sweep
from heads.train import main as train
from heads.training.groups import _GROUP_BYTES, _NESTED_GROUP_BYTES
from tests.benchmarks.full_size import CODES, write_store
from tests.helpers.paths import ROOT

SPARE = 650 << 20  # bytes that a command may take beyond those of its start
LIMITED = """
import resource, sys
import heads.{module} as command, heads.training.stacked, heads.training.finish, heads.sweep_results
import heads.closed_form.logistic_folds, heads.closed_form.electrodes
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {spare}, size + {spare}))
sys.exit(command.main(sys.argv[1:]))
"""
PROBE_SPARE = 440 << 20  # with 0.75 GiB 370 MiB suffice, without 500 do not
SIZE = ("--filters", "4", "--hidden", "4", "--epochs", "1", "--precision", "float32")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 12 MB whose latents in float32 are 737 MB."""
    return _write_codes(tmp_path_factory.mktemp("memory"), recordings=5)


@pytest.fixture(scope="module")
def long_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose means of each second are 276 MB, which are kept if they may be."""
    return _write_codes(tmp_path_factory.mktemp("memory"), recordings=15)


def _write_codes(folder: Path, recordings: int) -> Path:
    write_store(folder, CODES, persons=4, recordings=recordings, recording_s=1000)
    return folder


def run_limited(path: Path, out: Path, module: str, spare: int, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ("--store", str(path), "--out", str(out), *options)
    command = [sys.executable, "-c", LIMITED.format(module=module, spare=spare), *arguments]
    # one arena: each takes 64 MiB of addresses, and their number depends on which threads meet
    environment = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "options"), [("train", ("--fold", "all", "--inner", "2")), ("sweep", ("--lr", "1e-3", "1e-4"))]
)
def test_a_training_keeps_to_its_memory(path: Path, tmp_path: Path, module: str, options: tuple[str, ...]) -> None:
    done = run_limited(path, tmp_path / "little", module, SPARE, *options, *SIZE, "--memory", "0.75")
    assert done.returncode == 0, done.stderr
    done = run_limited(path, tmp_path / "default", module, SPARE, *options, *SIZE)
    require_no_memory(done)


@pytest.mark.parametrize("method", ["lda", "ridge"])
def test_a_probe_keeps_to_its_memory(long_path: Path, tmp_path: Path, method: str) -> None:
    options = ("--method", method, "--fold", "01")
    done = run_limited(long_path, tmp_path / "little", "probe", PROBE_SPARE, *options, "--memory", "0.75")
    assert done.returncode == 0, done.stderr
    require_no_memory(run_limited(long_path, tmp_path / "default", "probe", PROBE_SPARE, *options))


def test_logistic_regression_keeps_to_its_memory_or_is_refused(path: Path, tmp_path: Path) -> None:
    little = ("--method", "logistic", "--memory", "0.75")
    done = run_limited(path, tmp_path / "pooled", "probe", PROBE_SPARE, *little)
    assert done.returncode == 0, done.stderr
    done = run_limited(path, tmp_path / "refused", "probe", PROBE_SPARE, *little, "--statistics", "mean-std")
    assert done.returncode == 2
    assert "0.2 GB here, 0.1 are allowed; use more --memory" in done.stderr


def require_no_memory(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 2
    # It may end where a thread is to start as well.
    assert re.search("error: out of memory.*; close other programs, or process less at once", done.stderr)


def test_the_default_memory_is_that_of_earlier_versions() -> None:
    """So that heads train in the same groups, to the same last digit."""
    default = MemoryOption()
    assert default.kept_bytes == _KEPT_BYTES
    assert (default.group_bytes(nested=False), default.group_bytes(nested=True)) == (
        _GROUP_BYTES,
        _NESTED_GROUP_BYTES,
    )


@pytest.mark.parametrize("memory", ["0.7", "-1", "nan", "inf", "1e308"])
def test_memory_that_is_too_little_or_no_amount_is_an_error(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], memory: str
) -> None:
    arguments = ["--store", str(path), "--out", str(tmp_path / "run"), "--memory", memory]
    for main, more in ((train, ["--fold", "all"]), (sweep, []), (probe, [])):
        assert main([*arguments, *more]) == 2
        assert f"--memory {float(memory)}: not usable; allowed: 0.75 to 1000000 GiB" in capsys.readouterr().err
