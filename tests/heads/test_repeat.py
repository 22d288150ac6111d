"""Which command a message names to make a fold, and how settings that differ are told."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from heads.probe import main as probe
from heads.run_folder import Run
from heads.run_folder.repeat import describe_difference, fold_command
from heads.sweep import main as sweep
from heads.train import main as train

QUICK = ["--epochs", "2", "--lr", "0.01", "--filters", "4", "--hidden", "4", "--positive-weight", "2"]


@pytest.mark.parametrize(
    ("settings", "fold", "command"),
    [
        (
            {"head": "spatial-fusion", "lr": 1e-3, "inner": 4},
            "final",
            "heads.train --store s --fold final --out r/a",
        ),
        (
            {"head": "linear", "lr": 0.5},
            "all",
            "heads.train --store s --fold all --out r/a --head linear --lr 0.5",
        ),
        (
            {"background_per_seizure": None},
            "all",
            "heads.train --store s --fold all --out r/a --background-per-seizure none",
        ),
        (
            {"method": "lda", "statistics": "mean", "head": "linear"},
            "final",
            "heads.probe --store s --fold final --out r/a --method lda --statistics mean",
        ),
        (
            {"seed": [0, 1], "split": "participants:part", "inner": "one"},
            "final",
            "heads.train --store s --split participants:part --out r/a --seed 0 1",
        ),
        ({"lr": [0.1, 0.2], "random": 1}, "all", "heads.sweep --store s --out r/a --lr 0.1 0.2 --random 1"),
        (
            {"lr": [0.1, 0.2], "hidden": 8, "random": None},
            "final",
            "heads.train --store s --fold final --out r/a-final --hidden 8 --lr 0.2",
        ),
        (
            {"lr": [0.1, 0.2], "random": None, "inner": "pairs", "seed": [3, 4]},
            "final",
            "heads.train --store s --fold final --out r/a-final --lr 0.2 --seed 3 --inner pairs",
        ),
        (
            {"lr": [0.1, 0.2], "random": None, "inner": "one", "split": "participants:part"},
            "final",
            "heads.train --store s --split participants:part --out r/a-final --lr 0.2",
        ),
    ],
)
def test_the_command_is_whole(settings: dict[str, object], fold: str, command: str) -> None:
    config = {"settings": {"inner": 4, **settings}, "store": {"path": "s"}}
    assert fold_command(Path("r/a"), config, fold, sweep_choice={"lr": "0.2"}) == f"python -m {command}"


def test_a_run_given_as_a_dot_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweep").mkdir()
    monkeypatch.chdir(tmp_path / "sweep")
    config = {"settings": {"random": None, "inner": 4}, "store": {"path": "s"}}
    assert fold_command(Path(), config, "final").endswith(f"--out {tmp_path / 'sweep-final'}")


def test_it_names_all_stores_or_where_they_are_now() -> None:
    members = [{"name": "a", "path": "/a"}, {"name": "b", "path": "/b c"}]
    config = {"settings": {}, "store": {"path": "/", "members": members}}
    assert "--store /a '/b c' --fold" in fold_command(Path("r"), config, "all")
    assert "--store x --fold" in fold_command(Path("r"), config, "all", [Path("x")])


def test_it_goes_on_with_the_run_and_other_commands_are_told_the_kind(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = ["--store", str(make_store(persons=3))], tmp_path / "a run"
    for kind, main, options in (("train", train, QUICK), ("probe", probe, ["--method", "ridge"])):
        path = out / kind
        assert main([*store, "--fold", "01", "--out", str(path), *options]) == 0
        typed = shlex.split(Run.open(path).command_for("final"))
        assert typed[:3] == ["python", "-m", f"heads.{kind}"]
        assert main(typed[3:]) == 0
        assert [result.fold.name for result in Run.open(path).folds] == ["01", "final"]
    capsys.readouterr()
    for kind, path, main, more in (
        ("train, not of probe", out / "train", probe, []),
        ("train, not of sweep", out / "train", sweep, []),
        ("probe, not of train", out / "probe", train, ["--fold", "all"]),
    ):
        assert main([*store, "--out", str(path), *more]) == 2
        assert capsys.readouterr().err.endswith(f"{path}: is a run of {kind}; choose another --out\n")


def test_three_settings_are_named_and_the_others_counted() -> None:
    settings = dict.fromkeys("abcde", 1)
    assert describe_difference(settings, settings) == ""
    assert describe_difference(settings, {**settings, "b": 2}) == "settings.b is 1, wanted 2"
    assert describe_difference(settings, dict.fromkeys("abcde")) == (
        "settings.a is 1, wanted None; settings.b is 1, wanted None; settings.c is 1, wanted None; and 2 more"
    )
    assert (
        describe_difference({"lr": list(range(9))}, {"lr": 1})
        == "settings.lr is [0, 1, 2, ... 9 in all], wanted 1"
    )
