"""A head of one's own whose source changes: what it trained before does not mix with what it trains now."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.__main__ import main as evaluate
from eval.detect import main as detect
from heads.run_folder import Run
from heads.run_folder.head_sources import describe_changed_heads
from heads.sweep import main as sweep
from heads.train import main as train
from heads.training import stacked
from heads.training.head_sources import describe_sources
from tests.heads.test_own_head import OWN_HEAD, QUICK
from tests.helpers.paths import DATA

HEAD = "edited_head:AverageHead"
EDIT = ("standard.mean(2)", "standard.amax(2)")  # of which the weights fit


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's module, in the working folder."""
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "edited_head.py"
    path.write_text(OWN_HEAD)
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it is edited within a second
    monkeypatch.delitem(sys.modules, "edited_head", raising=False)
    yield path
    sys.modules.pop("edited_head", None)


def edit(path: Path, before: str = EDIT[0], after: str = EDIT[1]) -> None:
    """Change the module, as if a new process imported it."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    sys.modules.pop("edited_head", None)


def arguments_of(store: Path, run: Path, fold: str = "01") -> list[str]:
    return ["--store", str(store), "--out", str(run), "--fold", fold, "--head", HEAD, "--inner", "one", *QUICK]


def test_the_folds_of_a_run_have_one_source(
    module: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(arguments_of(store, run)) == 0
    assert train(arguments_of(store, run, "02")) == 0
    (source,) = json.loads((run / "config.json").read_text())["head_sources"].values()
    assert source["file"] == str(module)
    edit(module)
    capsys.readouterr()
    assert train(arguments_of(store, run, "03")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        f"{run}: folds 01, 02 were trained with another version of {HEAD} ({module} changed); choose another "
        "--out, or --retrain, which moves them aside"
    )
    assert train([*arguments_of(store, run, "03"), "--retrain"]) == 0
    assert [result.fold.name for result in Run.open(run).folds] == ["03"]
    (aside,) = run.glob("folds-before-*")
    assert sorted(path.parent.name for path in aside.glob("folds/*/head.safetensors")) == ["01", "02"]
    assert train(arguments_of(store, run, "all")) == 0
    assert evaluate([str(run), "--no-report"]) == 0


def test_cells_of_a_sweep_have_one_source(
    module: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    arguments = ["--store", str(store), "--out", str(run), "--head", HEAD, "linear", "--inner", "one", *QUICK]
    assert sweep(arguments) == 0
    cells = {path.name for path in run.glob("cells/*.json")}
    edit(module)
    assert sweep(arguments) == 2
    assert (
        f"folds 01, 02, 03 and partly trained heads were trained with another version of {HEAD}"
        in capsys.readouterr().err
    )
    assert sweep([*arguments, "--retrain"]) == 0
    assert len({path.name for path in run.glob("cells/*.json")} & cells) == 1  # that of our own head


def test_a_checkpoint_is_of_one_source(
    module: Path,
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("heads.training.finish.write_fold", interrupt)
        assert train(arguments_of(store, run)) == 130
    (checkpoint,) = run.glob("training-*.pt")
    edit(module)
    assert train(arguments_of(store, run)) == 2
    assert f"partly trained heads were trained with another version of {HEAD}" in capsys.readouterr().err
    assert train([*arguments_of(store, run), "--retrain"]) == 0
    assert list(run.glob(f"folds-before-*/{checkpoint.name}"))


def test_a_fold_that_trained_while_another_process_took_a_new_source_is_not_kept(
    module: Path,
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    work, old = stacked.train_stacked, []

    def train_then(*arguments: Any) -> Any:
        results = work(*arguments)
        monkeypatch.setattr(stacked, "train_stacked", work)
        old.append(sys.modules["edited_head"])
        edit(module)
        assert train([*arguments_of(store, run, "02"), "--retrain"]) == 0
        monkeypatch.setitem(sys.modules, "edited_head", old[0])
        return results

    monkeypatch.setattr(stacked, "train_stacked", train_then)
    assert train(arguments_of(store, run)) == 2
    assert (
        f"fold 01 not kept, since {run / 'config.json'} records another version of {HEAD} ({module} changed) by "
        "now; give the same command again" in capsys.readouterr().err
    )
    assert [result.fold.name for result in Run.open(run).folds] == ["02"]


def test_a_run_from_before_sources_were_kept_goes_on(
    module: Path, make_store: Callable[..., Path], tmp_path: Path
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(arguments_of(store, run)) == 0
    config = json.loads((run / "config.json").read_text())
    del config["head_sources"]
    (run / "config.json").write_text(json.dumps(config))
    edit(module)
    assert train(arguments_of(store, run, "02")) == 0
    assert "head_sources" not in Run.open(run).config


@pytest.mark.usefixtures("module")
def test_heads_of_this_project_and_without_source_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_sources(["linear", "heads.models.linear:LinearHead", "builtins:print"]) == {}
    assert list(describe_sources([HEAD, HEAD])) == [HEAD]
    made = type("Made", (), {"__module__": "nowhere"})
    monkeypatch.setattr(sys.modules["edited_head"], "Made", made, raising=False)
    assert describe_sources(["edited_head:Made"]) == {}


def test_a_damaged_record_is_one_line(
    module: Path, make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = make_store(persons=3, lengths_s=(60,)), tmp_path / "run"
    assert train(arguments_of(store, run)) == 0
    config = json.loads((run / "config.json").read_text())
    for damage in ([], {HEAD: str(module)}, {HEAD: {"file": str(module)}}):
        (run / "config.json").write_text(json.dumps({**config, "head_sources": damage}))
        capsys.readouterr()
        assert train(arguments_of(store, run)) == 2
        assert "config.json: damaged (head_sources holds no files and hashes)" in capsys.readouterr().err


def test_a_source_that_is_recorded_without_hash_is_another() -> None:
    """Else what the file names would be imported as if the command had named it."""
    recorded = {"head_sources": {HEAD: {"file": "edited_head.py", "sha256": ""}}}
    assert describe_changed_heads(recorded, {}) == f"another version of {HEAD} (edited_head.py changed)"


def test_what_uses_a_trained_head_warns_and_refuses_weights_that_do_not_fit(
    module: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, run = DATA / "golden-v1", tmp_path / "run"
    arguments = ["--store", str(golden / "bandpower"), "--fold", "final", "--head", HEAD]
    assert train([*arguments, *QUICK, "--out", str(run)]) == 0
    assert evaluate([str(run), "--no-report"]) == 0
    command = [str(golden / "recording.edf"), str(tmp_path / "events.tsv"), "--run", str(run), "--head", HEAD]
    capsys.readouterr()
    assert detect(command) == 0
    assert "warning" not in capsys.readouterr().err
    edit(module)
    assert detect(command) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert line == (
        f"warning: {run}: was trained with another version of {HEAD} ({module} changed); its weights fit, what "
        "they predict may differ"
    )
    on = ["--on", str(golden / "bandpower"), "--out", str(tmp_path / "scores"), "--allow-training-persons"]
    assert evaluate([str(run), *on, "--no-report", "--head", HEAD]) == 0
    assert f"{line}\n" in capsys.readouterr().err
    edit(module, "settings.hidden)", "settings.hidden + 1)")
    edit(module, "nn.Linear(settings.hidden,", "nn.Linear(settings.hidden + 1,")
    assert detect(command) == 2
    assert f"its weights do not fit {HEAD}" in capsys.readouterr().err
