"""The command that trains: every kind of fold, and folds that fail."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from heads.models.saved import load_head
from heads.run_folder import Run
from heads.train import main
from store import FeatureSpec
from store.runtime.errors import UserError

QUICK = ["--epochs", "2", "--filters", "4", "--hidden", "4", "--batch-windows", "16", "--device", "cpu"]


def test_a_final_head_is_trained_on_everyone_and_loads(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["--store", str(make_store(persons=3)), "--fold", "final", "--out", str(out), *QUICK]) == 0
    assert "fold final: best epoch" in capsys.readouterr().out
    head, spec, threshold = load_head(out / "folds" / "final" / "head.safetensors")
    assert isinstance(spec, FeatureSpec)
    assert 0 < threshold < 1
    assert head(torch.zeros(2, *spec.shape)).shape == (2, spec.window_s)
    (result,) = Run.open(out).folds
    assert (result.fold.test, result.fold.validation) == ((), ("01", "02", "03"))
    assert result.fold.inner == (("01",), ("02",), ("03",))
    assert not list(out.glob("training-*"))


def test_finished_folds_are_kept_and_other_settings_refused(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", str(make_store(persons=3)), "--out", str(tmp_path / "run"), *QUICK]
    assert main([*arguments, "--fold", "02"]) == 0
    before = (tmp_path / "run" / "folds" / "02" / "fold.json").stat().st_mtime_ns
    assert main([*arguments, "--fold", "all"]) == 0
    assert [result.fold.name for result in Run.open(tmp_path / "run").folds] == ["01", "02", "03"]
    assert (tmp_path / "run" / "folds" / "02" / "fold.json").stat().st_mtime_ns == before
    capsys.readouterr()
    stopped_before_it_was_removed, of_a_stranger = (tmp_path / "run" / f"training-{n}.pt" for n in (0, 1))
    Run.open(tmp_path / "run").checkpoints.add(stopped_before_it_was_removed, ["02"])
    stopped_before_it_was_removed.touch()
    of_a_stranger.touch()
    assert main([*arguments, "--fold", "02"]) == 0
    assert not stopped_before_it_was_removed.exists()
    assert of_a_stranger.exists()
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"nothing to train: all of the folds are in {tmp_path / 'run'}"
    assert second.startswith("fold 02: ")
    assert main([*arguments, "--fold", "all", "--lr", "0.5"]) == 2
    assert "holds a run with other settings (settings.lr is 0.001, wanted 0.5)" in capsys.readouterr().err


def test_a_run_goes_on_with_the_inner_heads_that_it_began_with(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for inner, heads in (("one", 0), ("pairs", 2), ("2", 2), (None, 2)):
        out = tmp_path / str(inner)
        arguments = ["--store", str(make_store(persons=3)), "--out", str(out), *QUICK]
        assert main([*arguments, "--fold", "01", *(["--inner", inner] if inner else [])]) == 0
        assert main([*arguments, "--fold", "02"]) == 0
        assert [len(result.fold.inner) for result in Run.open(out).folds] == [heads] * 2
        assert str(Run.open(out).config["settings"]["inner"]) == (inner or "4")
    capsys.readouterr()
    assert main([*arguments, "--fold", "03", "--inner", "pairs"]) == 2
    assert "holds a run with other settings (settings.inner is 4, wanted 'pairs')" in capsys.readouterr().err
    assert main([*arguments, "--fold", "03", "--inner", "1"]) == 2
    assert "--inner 1: allowed are 2 groups and more, pairs, one" in capsys.readouterr().err


@pytest.mark.parametrize(("fold", "most"), [("all", 2), ("01", 2), ("final", 3)])
def test_more_inner_groups_than_persons_are_refused_where_asked_for(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], fold: str, most: int
) -> None:
    out = tmp_path / "run"
    arguments = ["--store", str(make_store(persons=3)), "--fold", fold, "--out", str(out), *QUICK]
    assert main([*arguments, "--inner", "50"]) == 2
    name = "01" if fold == "all" else fold
    message = f"--inner 50: fold {name} has {most} persons to choose; allowed: 2 to {most} groups, pairs, one"
    assert capsys.readouterr().err == f"python -m heads.train: error: {message}\n"
    assert main([*arguments, "--inner", str(most + 1)]) == 2
    assert not out.exists()
    assert main([*arguments, "--inner", str(most)]) == 0
    assert {len(result.fold.inner) for result in Run.open(out).folds} == {most}


def test_a_run_of_one_keeps_training_the_final_head_in_two_steps(
    make_store: Callable[..., Path], tmp_path: Path
) -> None:
    """First on all but the validation person, which chooses the number of epochs, then on everyone."""
    arguments = ["--store", str(make_store(persons=3)), "--out", str(tmp_path / "run"), *QUICK, "--inner", "one"]
    assert main([*arguments, "--fold", "final"]) == 0
    (result,) = Run.open(tmp_path / "run").folds
    assert (result.fold.validation, result.fold.train) == (("01",), ("02", "03"))
    assert {name[4:6] for name in result.validation_probabilities()} == {"01"}


def test_others_may_read_what_they_may_read_of_a_run(make_store: Callable[..., Path], tmp_path: Path) -> None:
    """As in a container, where the detector is another user than who copied the run."""
    arguments = ["--store", str(make_store(persons=3)), "--out", str(tmp_path / "run"), *QUICK]
    assert main([*arguments, "--fold", "01"]) == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert len(modes) > 3
    assert set(modes.values()) == {modes["config.json"]}


def test_settings_that_cannot_train_leave_no_run(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", str(make_store(persons=3)), "--fold", "01", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--epochs", "0"]) == 2
    error = capsys.readouterr().err
    assert error == "python -m heads.train: error: --epochs 0: not usable; allowed: 1 and more\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lr", ["1e9", "1e18", "1e30"])
def test_diverging_folds_are_named(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], lr: str
) -> None:
    for fold, name in (("01", "01"), ("final", "final")):
        arguments = ["--store", str(make_store(persons=3)), "--fold", fold, "--out", str(tmp_path / fold), *QUICK]
        assert main([*arguments, "--lr", lr]) == 2
        error = capsys.readouterr().err
        why = r"(training diverged in epoch \d|predictions of the best epoch are not finite); lower lr$"
        assert re.search(f"error: {tmp_path / fold}: fold {name}: {why}", error)
        assert error.count("\n") == 1
        assert not list((tmp_path / fold / "folds").glob("*/fold.json"))


def test_folds_that_diverge_alike_share_a_reason(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", str(make_store(persons=3)), "--fold", "all", "--out", str(tmp_path / "run"), *QUICK]
    assert main([*arguments, "--lr", "1e30"]) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{tmp_path / 'run'}: folds 01, 02, 03: training diverged in epoch 1; lower lr\n")


@pytest.mark.parametrize("content", ["nothing", "text", "other"])
def test_files_that_are_no_head_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "head.safetensors"
    if content == "nothing":
        with pytest.raises(
            UserError, match=r"head\.safetensors: not a trained head; give the head\.safetensors of a"
        ):
            load_head(path)
        return
    if content == "text":
        path.write_text("not a head")
    else:
        header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        path.write_bytes(np.uint64(len(header)).tobytes() + header + bytes(4))
    with pytest.raises(ValueError, match=r"head.safetensors: not a head that python -m heads.train wrote"):
        load_head(path)


FULL_AT_BYTES = """
import resource, signal, sys
from importlib import import_module
module, limit, *arguments = sys.argv[1:]
main = import_module(module).main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit is an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
sys.exit(main(arguments))
"""


@pytest.mark.parametrize("module", ["heads.train", "heads.sweep"])
@pytest.mark.parametrize("limit", [300, 20_000])
def test_a_full_disk_is_one_line_and_leaves_no_parts(
    make_store: Callable[..., Path], tmp_path: Path, module: str, limit: int
) -> None:
    arguments = ["--store", str(make_store(persons=3, lengths_s=(60,))), "--out", str(tmp_path / "run"), *QUICK]
    arguments += ["--fold", "all"] if module == "heads.train" else ["--hidden", "4", "400"]
    if module == "heads.train":
        arguments += ["--hidden", "400"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_AT_BYTES, module, str(limit), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert "disk full; make room and run the same command again" in line
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".tmp", ".part")]
