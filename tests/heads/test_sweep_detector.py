"""From a sweep to a detector: the final head has the setting that most folds chose."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from braincodec_seizure import main as main_of_console
from eval.__main__ import main as evaluate
from eval.detection.detector import load_detector
from heads.run_folder import Run
from heads.run_folder.sweep_choice import read_most_chosen
from heads.sweep import SweepCommand, main, sweep
from heads.train import main as train
from store.runtime.errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.sweeps import GRID

TABLE = "lr,background_per_seizure,validation_auroc,folds_choosing\n"


def options(grid: dict[str, tuple[object, ...]]) -> list[str]:
    return [word for name, values in grid.items() for word in (f"--{name.replace('_', '-')}", *map(str, values))]


def test_a_sweep_leads_to_a_detector(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, grid = tmp_path / "sweep", GRID | {"lr": (1e-5, 1e-2), "hidden": (6,)}
    arguments = ["--store", str(make_store(persons=3, signal=3.0)), "--out", str(out), "--inner", "pairs"]
    assert main([*arguments, *options(grid)]) == 0
    chosen = read_most_chosen(out, "")
    assert chosen == {"lr": "0.01"}
    said = capsys.readouterr().out.splitlines()[-1]
    command = said.removeprefix("for a detector, with the setting that most folds chose: ")
    with pytest.raises(UserError) as refused:
        load_detector(out)
    assert (
        f"no trained head; {command} makes one in a run of its own, with the setting that most folds chose"
        in str(refused.value)
    )
    assert train(shlex.split(command)[3:]) == 0
    final = Run.open(tmp_path / "sweep-final")
    settings = final.config["settings"]
    assert (settings["lr"], settings["hidden"], settings["inner"]) == (0.01, 6, "pairs")
    assert evaluate([str(final.path), "--no-report"]) == 0
    assert (final.fold_path("final") / "postprocessing.json").is_file()


def test_the_setting_of_most_folds_is_the_best_of_several(tmp_path: Path) -> None:
    (tmp_path / "sweep.csv").write_text(f"{TABLE}0.1,2.0,0.9,1\n0.2,,0.8,2\n0.3,5.0,0.7,2\n")
    assert read_most_chosen(tmp_path, "") == {"lr": "0.2", "background_per_seizure": None}


def test_a_sweep_of_the_first_version_has_todays_values(tmp_path: Path) -> None:
    (table,) = (ROOT / "tests" / "data" / "golden-v1").rglob("sweep.csv")
    assert read_most_chosen(table.parent, "") == {"pooling": "max", "lr": "0.01"}
    (tmp_path / "sweep.csv").write_text(table.read_text().replace(",0\n", ",5\n", 1))
    assert read_most_chosen(tmp_path, "") == {"pooling": "max-std", "lr": "0.01"}


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff", b"lr\n0.1\n", f"{TABLE}0.1,2.0,0.9,x\n".encode(), b"\0,a\n"]
)
def test_a_sweep_without_its_table_is_given_again(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = make_store(persons=3, lengths_s=(60,))
    run, _ = sweep(SweepCommand(store=(path,), out=tmp_path / "run", **GRID | {"hidden": (4,), "seed": (0,)}))
    table = run.path / "sweep.csv"
    table.unlink() if content is None else table.write_bytes(content)
    assert main_of_console(["detect", "a.edf", "b.tsv", "--run", str(run.path)]) == 2
    error = capsys.readouterr().err
    assert f"{table}: missing or damaged; braincodec-seizure sweep --store {path} --out {run.path} " in error
    again = error.partition("; braincodec-seizure ")[2].removesuffix(" writes it\n")
    assert main_of_console(shlex.split(again)) == 0
    assert read_most_chosen(run.path, "").keys() == {"lr"}
