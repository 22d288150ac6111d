"""The benchmark for GPUs as far as it runs without one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.accelerators import KNOWN, find_peaks
from tests.helpers.paths import ROOT

_WITHOUT_MNE = """
import runpy, sys
sys.modules["mne"] = sys.modules["mne_bids"] = None
sys.argv = ["tests.benchmarks", "gpu", *sys.argv[1:]]
runpy.run_module("tests.benchmarks", run_name="__main__", alter_sys=True)
"""


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """The command in a process that has neither mne nor mne-bids."""
    command = [sys.executable, "-c", _WITHOUT_MNE, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_the_gpu_benchmark_measures_each_part(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    done = run("--device", "cpu", "--quick", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "limits not known here: TFLOP/s, and no shares" in done.stdout
    rows = json.loads(out.read_text())["rows"]
    (flop,) = (row["gflop_a_window"] for row in rows if row["part"] == "arithmetic")
    assert 3 < flop < 5  # 3.6 by hand
    encoder = [row for row in rows if row["part"].startswith("encoder")]
    assert {row["part"] for row in encoder} == {
        f"encoder, {form}, {arithmetic}"
        for form in ("eager", "channels-last", "compiled")
        for arithmetic in ("float32", "bfloat16")
    }
    for row in encoder:
        assert "failed" not in row, row
        assert row["share"] is None
        assert row["tflops"] == pytest.approx(row["windows_s"] * flop / 1e3)
        assert row["error"] < (1e-5 if row["part"].endswith("float32") else 0.03), row
    training = [row for row in rows if row["part"].startswith("training, 3 folds together")]
    assert len(training) == 2
    assert all(row["windows_heads_s"] > 0 for row in training)
    (memory,) = (row for row in rows if row["part"] == "memory ends (simulated)")
    assert (memory["asked"], memory["largest_batch"], memory["encoded"]) == (4, 2, 4)
    assert memory["outcome"] == "all encoded"
    best = max(row["windows_s"] for row in encoder)
    assert rows[-1]["encoding_minutes"] == pytest.approx(882_000 / best / 60)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 1
    assert done.stderr.strip() == "gpu: this torch sees no GPU; --device cpu --quick tries the command without one"


def test_limits_are_of_the_arithmetic() -> None:
    for peaks in KNOWN.values():
        speeds = [peaks.float32, *(speed for speed in (peaks.tf32, peaks.bfloat16) if speed)]
        assert speeds == sorted(speeds)
    hopper = find_peaks("NVIDIA H100 80GB HBM3")
    assert hopper is not None
    assert hopper.of("bfloat16") == 989
    assert find_peaks("Quadro K2200") is None
