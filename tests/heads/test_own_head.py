"""A head in a file of the user: trained from the command line, swept, scored, used by detect."""

import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from textwrap import dedent

import pytest
import torch

import store
from eval.__main__ import main as evaluate
from eval.controls import main as controls
from eval.detect import main as detect
from eval.export import main as export
from heads.dataset import StoreDataset
from heads.models.head import Head
from heads.models.registry import make_head
from heads.models.saved import load_head
from heads.run_folder import Run
from heads.settings import HeadSettings, TrainSettings
from heads.sweep import main as sweep
from heads.train import main as train
from heads.training.stacked import train_stacked
from heads.training.trials import Trial
from store.runtime.errors import UserError
from tests.helpers.paths import DATA

OWN_HEAD = dedent(
    """
    import torch
    from torch import nn

    from heads.models.head import Head, drop


    class AverageHead(Head):
        def __init__(self, settings, shape, seconds):
            super().__init__(shape, seconds, settings.dropout)
            frames, channels, dims = shape
            self.hidden = nn.Linear(channels * dims, settings.hidden)
            self.out = nn.Linear(settings.hidden, 1)

        @property
        def dropout_units(self):
            return self.hidden.out_features

        def forward(self, features, dropout_uniforms=None):
            standard = ((features - self.mean) * self.scale).unflatten(1, (self.seconds, -1))
            hidden = self.hidden(standard.mean(2).flatten(2)).relu()
            uniforms = None if dropout_uniforms is None else dropout_uniforms[:, None]
            return self.out(drop(hidden, self.dropout, uniforms))[..., 0]


    class OneLogit(AverageHead):
        def forward(self, features, dropout_uniforms=None):
            return super().forward(features, dropout_uniforms)[:, :1]


    class Random(AverageHead):
        def forward(self, features, dropout_uniforms=None):
            return super().forward(features + torch.randn(1), dropout_uniforms)


    class Centred(AverageHead):
        def forward(self, features, dropout_uniforms=None):
            logits = super().forward(features, dropout_uniforms)
            return logits - logits.mean(0)


    class BatchNorm(AverageHead):
        def __init__(self, settings, shape, seconds):
            super().__init__(settings, shape, seconds)
            self.norm = nn.BatchNorm1d(seconds)
            nn.init.zeros_(self.out.weight)  # which hides what is before it

        def forward(self, features, dropout_uniforms=None):
            standard = (features - self.mean) * self.scale
            hidden = self.norm(standard.unflatten(1, (self.seconds, -1)).mean(2).flatten(2))
            return self.out(self.hidden(hidden).relu())[..., 0]


    class Counts(AverageHead):
        def __init__(self, settings, shape, seconds):
            super().__init__(settings, shape, seconds)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, features, dropout_uniforms=None):
            self.calls += 1
            return super().forward(features, dropout_uniforms)


    class Learns(AverageHead):
        def __init__(self, settings, shape, seconds):
            super().__init__(settings, shape, seconds)
            self.rate = settings.lr


    class Logarithm(AverageHead):
        def forward(self, features, dropout_uniforms=None):
            return super().forward(features.log(), dropout_uniforms)


    NUMBER = 3
    """
)
QUICK = ("--epochs", "6", "--hidden", "4", "--lr", "0.03", "--batch-windows", "16", "--device", "cpu")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds the user's module."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "my_heads.py").write_text(OWN_HEAD)
    (tmp_path / "work" / "my_needs.py").write_text("import no_such_thing\n")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_heads", raising=False)
    return tmp_path / "work"


@pytest.mark.usefixtures("workplace")
def test_it_trains_with_all_folds_together_as_alone(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=4, signal=3.0)
    arguments = ["--store", str(path), "--fold", "all", "--head", "my_heads:AverageHead", *QUICK]
    assert train([*arguments, "--out", str(tmp_path / "run")]) == 0
    dataset = StoreDataset(store.open(path))
    settings = TrainSettings(head="my_heads:AverageHead", epochs=6, hidden=4, lr=0.03, batch_windows=16)
    for result in Run.open(tmp_path / "run").folds:
        head, _, _ = load_head(result.head_path, ["my_heads:AverageHead"])
        trial = Trial(result.fold, settings)
        (alone,) = train_stacked([trial], dataset, torch.device("cpu"), tmp_path / f"{result.fold.name}.pt")
        assert alone.score > 0.9
        for name, value in head.state_dict().items():
            torch.testing.assert_close(value, alone.head.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("workplace")
def test_it_sweeps_beside_ours(make_store: Callable[..., Path], tmp_path: Path) -> None:
    path = make_store(persons=3, signal=3.0, lengths_s=(60,))
    heads = ("--head", "my_heads:AverageHead", "linear")
    assert sweep(["--store", str(path), "--out", str(tmp_path / "run"), *heads, *QUICK]) == 0
    assert "my_heads:AverageHead" in (tmp_path / "run" / "sweep.csv").read_text()


def test_detect_uses_it_where_its_module_is_found(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, run = DATA / "golden-v1", tmp_path / "run"
    arguments = ["--store", str(golden / "bandpower"), "--fold", "final", "--head", "my_heads:AverageHead"]
    assert train([*arguments, *QUICK, "--out", str(run)]) == 0
    assert evaluate([str(run), "--no-report"]) == 0
    arguments = [str(golden / "recording.edf"), str(tmp_path / "events.tsv"), "--run", str(run)]
    arguments += ["--head", "my_heads:AverageHead"]
    assert detect(arguments) == 0
    monkeypatch.delitem(sys.modules, "my_heads")
    sys.path.remove(str(workplace))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert detect(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "its head cannot be made: my_heads:AverageHead: cannot be imported (ModuleNotFoundError" in line


def test_a_run_folder_runs_no_code_that_the_user_does_not_name(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, run, name = DATA / "golden-v1", tmp_path / "run", "my_heads:AverageHead"
    store = str(golden / "bandpower")
    for fold in ("all", "final"):
        arguments = ["--store", store, "--fold", fold, "--head", name, "--inner", "one"]
        assert train([*arguments, *QUICK, "--out", str(run)]) == 0
    assert evaluate([str(run), "--no-report"]) == 0
    (workplace / "my_heads.py").write_text("raise SystemExit('run')")
    del sys.modules["my_heads"]
    on = ["--on", store, "--out", str(tmp_path / "scores"), "--allow-training-persons", "--no-report"]
    head_path = run / "folds" / "final" / "head.safetensors"
    for command, arguments, path in (
        (detect, [str(golden / "recording.edf"), str(tmp_path / "events.tsv"), "--run", str(run)], head_path),
        (export, [str(run), str(tmp_path / "detector.onnx")], head_path),
        (evaluate, [str(run), *on], head_path),
        (controls, [str(run), "--out", str(tmp_path / "controls")], run),
    ):
        capsys.readouterr()
        assert command(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        remedy = f"add --head {name} to run that code"
        assert line.endswith(f"{path}: its head {name} is code of another package; {remedy}")
        assert command([*arguments, "--head", name]) == 2
        assert f"{name}: cannot be imported (SystemExit: run)" in capsys.readouterr().err


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("my_heads:Absent", "my_heads:Absent: my_heads has no Absent; give a name that the module defines"),
        ("no_such_module:Head", "No module named 'no_such_module'); give package.module:name of an installed"),
        ("./my_heads.py:Average", "; give my_heads:Average"),
        ("../my_heads.py:Average", "; give my_heads:Average and run the command in .., or install the module"),
        ("..", "head '..' is unknown; allowed: "),
        (".", "head '.' is unknown; allowed: "),
        ("my_heads.py", "head 'my_heads.py' is unknown; give my_heads:Name; allowed"),
        ("my_heads.Average", "head 'my_heads.Average' is unknown; give my_heads:Average; allowed"),
        ("my_heads", "head 'my_heads' is unknown; give my_heads:Name; allowed"),
        (
            "my_needs:Head",
            "No module named 'no_such_thing'); install no_such_thing, or mend the import in my_needs",
        ),
        ("my_heads:NUMBER", "head my_heads:NUMBER: is a int; give a subclass of heads.models.head.Head"),
        ("my_heads:OneLogit", "gives (2, 1) for windows (2, 8, 3, 5), expected logits (2, 4)"),
        (
            "my_heads:Random",
            "Random: cannot be used (forward draws random numbers, as nn.Dropout does;",
        ),
        (
            "my_heads:Centred",
            "head my_heads:Centred: gives a window other logits beside another window than",
        ),
        ("my_heads:BatchNorm", "head my_heads:BatchNorm: gives a window other logits beside another window than"),
        ("my_heads:Counts", "head my_heads:Counts: forward changes the buffer calls; heads that train together"),
        (
            "my_heads:Learns",
            "Learns: cannot be used (AttributeError: 'HeadSettings' object has no attribute 'lr'); --debug shows",
        ),
        ("my_heads:Logarithm", "head my_heads:Logarithm: gives logits that are not finite for windows of sub-01_"),
        ("builtins:print", "head builtins:print: is a NoneType; give a subclass of heads.models.head.Head"),
        ("torch.nn:Linear", "head torch.nn:Linear: cannot be used (TypeError"),
    ],
)
def test_what_is_no_head_is_one_line(
    make_store: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str, message: str
) -> None:
    arguments = ["--store", str(make_store(persons=3)), "--fold", "all", "--out", str(tmp_path / "run")]
    assert train([*arguments, "--head", head]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("workplace")
def test_a_trained_head_loads_although_it_depends_on_the_batch() -> None:
    settings = HeadSettings(head="my_heads:Centred", hidden=2)
    with pytest.raises(UserError, match="gives a window other logits beside another window than alone"):
        make_head(settings, (8, 3, 5), 4, 0)
    assert type(make_head(settings, (8, 3, 5), 4, 0, is_trained=True)).__name__ == "Centred"


@pytest.mark.usefixtures("workplace")
def test_an_installed_package_gives_heads_by_entry_points(
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = "braincodec_seizure.heads"
    points = EntryPoints([EntryPoint("average", "my_heads:AverageHead", group)])
    sys.path.append(".")
    monkeypatch.setattr("store.runtime.plugins.entry_points", lambda **selection: points.select(**selection))
    assert isinstance(make_head(HeadSettings(head="average", hidden=2), (8, 3, 5), 4, 0), Head)
    arguments = ["--store", str(make_store(persons=3)), "--head", "average", "--fold", "01", *QUICK]
    assert train([*arguments, "--out", str(tmp_path / "run")]) == 0
    head_path = tmp_path / "run" / "folds" / "01" / "head.safetensors"
    assert type(load_head(head_path)[0]).__name__ == "AverageHead"
    with pytest.raises(
        ValueError, match="head 'cubic' is unknown; allowed: spatial-fusion, linear, pooled-linear, average, or"
    ):
        make_head(HeadSettings(head="cubic"), (8, 3, 5), 4, 0)
    points = EntryPoints([])
    with pytest.raises(ValueError, match=r"'average' is unknown; .*; it was my_heads:AverageHead when it was"):
        load_head(head_path)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["head"] == "average"
