"""What is damaged in a run folder is one line, whichever command reads it."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.__main__ import main as evaluate
from heads.models.saved import load_head
from heads.run_folder import Run
from heads.sweep import main as sweep
from heads.train import main as train
from store.runtime.errors import UserError
from tests.helpers.runs import MAINS, commands
from tests.helpers.stores import write_subject


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store and a run of a fold, and a sweep."""
    folder = tmp_path_factory.mktemp("small")
    for number, person in enumerate(("01", "02", "03")):
        write_subject(folder / "store", person, (60,), number)
    torch.set_num_threads(1)
    assert train(commands(folder / "store", folder / "run")["train"]) == 0
    assert sweep(commands(folder / "store", folder / "sweep")["sweep"]) == 0
    return folder


def damaged(content: bytes) -> dict[str, bytes]:
    """Ways in which a file can be wrong."""
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "other": b"\x00\xff" * 20,
        "list": b"[1, 2]",
        "object": b"{}",
        "deep": b"[" * 100_000,
        "flipped": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "begin flipped": bytes([content[0] ^ 0xFF]) + content[1:],
    }


WRONG = (None, -1, 1e999, "x", [], {}, [None], True, 10**30)
FILES = ("run/config.json", "run/folds/01/fold.json", "run/folds/01/validation.npz", "run/predictions/**/*.npy")
MORE_FILES = ("run/folds/01/head.safetensors", "sweep/cells/*.json", "sweep/cells/*.safetensors")


def use(folder: Path) -> list[int]:
    """Every command on the runs of a folder."""
    statuses = [
        train(commands(folder / "store", folder / "run")["train"]),
        sweep(commands(folder / "store", folder / "sweep")["sweep"]),
        evaluate([str(folder / "run"), "--no-report", "--store", str(folder / "store")]),
    ]
    with contextlib.suppress(UserError):
        load_head(folder / "run" / "folds" / "01" / "head.safetensors")
    return statuses


@pytest.mark.parametrize("pattern", [*FILES, *MORE_FILES])
def test_damaged_files_are_one_line(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    for number, (how, content) in enumerate(damaged(next(small_run.glob(pattern)).read_bytes()).items()):
        folder = Path(shutil.copytree(small_run, tmp_path / str(number)))
        next(folder.glob(pattern)).write_bytes(content)
        capsys.readouterr()
        statuses = use(folder)
        error = capsys.readouterr().err
        assert set(statuses) <= {0, 2}, (how, error)
        assert "Traceback" not in error, how
        assert "pickle" not in error, how
        assert len([line for line in error.splitlines() if "error:" in line]) == statuses.count(2), how


def mutations(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to the fields of a JSON value, lists by their first entry."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(below for key, entry in entries for below in mutations(entry, (*path, key)))]


@pytest.mark.parametrize("pattern", ["run/config.json", "run/folds/01/fold.json", "sweep/cells/*.json"])
def test_each_field_may_be_wrong(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    rng = np.random.default_rng(0)
    folder = Path(shutil.copytree(small_run, tmp_path / "copy"))
    file = next(folder.glob(pattern))
    original = file.read_text()
    for path in mutations(json.loads(original))[1:]:
        content = json.loads(original)
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        wrong = WRONG[rng.integers(len(WRONG))]
        if rng.random() < 0.2:
            del parent[path[-1]]
        else:
            parent[path[-1]] = wrong
        file.write_text(json.dumps(content))
        capsys.readouterr()
        run = folder / pattern.split("/")[0]
        with contextlib.suppress(UserError):
            Run.open(run).open_store([folder / "store"])
        command = {"run": "train", "sweep": "sweep"}[run.name]
        assert MAINS[command](commands(folder / "store", run)[command]) in (0, 2), (path, wrong)
        assert "Traceback" not in capsys.readouterr().err, (path, wrong)
        shutil.rmtree(folder)
        shutil.copytree(small_run, folder)
