"""Encoders of other people: a short one runs from the command line, mistakes end in one line."""

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import store
from extract.encoders import protocol, registry
from extract.encoders.checked import CheckedEncoder
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from store.runtime.errors import UserError
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.paths import ROOT
from tests.helpers.stores import OWN_ENCODER_SPEC as SPEC

SETTINGS = EncoderSettings(encoder="mine:Mine")


class Mine:
    codebooks: object = None
    spec: object = SPEC
    provenance: object = {"name": "mine"}

    def __init__(self, settings: EncoderSettings | None = None) -> None:
        self.settings = settings

    def encode(self, windows_uv: np.ndarray) -> np.ndarray:
        seconds = windows_uv.reshape(len(windows_uv), 18, 4, 100)
        return np.stack([seconds.std(3), seconds.mean(3)], -1).transpose(0, 2, 1, 3)


def docs_example() -> str:
    """The encoder that the protocol's docstring prints."""
    assert protocol.__doc__
    code = protocol.__doc__.split("::\n", 1)[1].split("``python -m extract", 1)[0]
    return textwrap.dedent(code)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "extract", "--bids", "bids", "--store", "features", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recording(tmp_path / "bids", "01", 0, noise_uv(10, 0))
    (tmp_path / "mine.py").write_text(docs_example())
    return tmp_path


def test_the_encoder_of_the_documentation_fills_a_store(folder: Path) -> None:
    assert 20 < len(docs_example().splitlines()) < 40
    finished = run(folder, "--encoder", "mine:StandardDeviation")
    assert finished.returncode == 0, finished.stderr
    opened = store.open(folder / "features")
    assert opened.spec.encoder == "standard-deviation"
    latents = opened.latents(opened.recordings[0])
    assert latents.shape == (3, 4, 18, 1)
    assert latents.mean() == pytest.approx(30 * np.sqrt(2 / 3), rel=0.05)  # of white noise, interpolated


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other:Thing", r"other:Thing: cannot be imported \(ModuleNotFoundError: No module named 'other'\)"),
        ("mine.py", "encoder mine.py: a module, not an encoder; give the class or function in it, mine:Name"),
        (
            "mine.Thing",
            "encoder mine.Thing: a module, not an encoder; give the class or function in it, mine:Thing",
        ),
        ("./mine.py:Thing", "; give mine:Thing"),
        ("..", r"encoder \.\.: no such file; allowed: "),
        ("mine:Thing", "mine:Thing: mine has no Thing; give a name that the module defines"),
        ("mine:np", r"encoder mine:np: is <module 'numpy'.*, not a factory"),
        ("mine:FeatureSpec", r"encoder mine:FeatureSpec: its factory failed \(TypeError: .*missing"),
        (
            "broken:Thing",
            r"broken:Thing: cannot be imported \(ZeroDivisionError: division by zero\); mend broken; --debug",
        ),
        ("leaves:Thing", r"leaves:Thing: cannot be imported \(SystemExit: 3\)"),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_line(folder: Path, name: str, message: str) -> None:
    (folder / "broken.py").write_text("1 / 0")
    (folder / "leaves.py").write_text("raise SystemExit(3)")
    finished = run(folder, "--encoder", name)
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.count("\n") == 1
    assert re.search(message, finished.stderr), finished.stderr


def test_what_fits_is_passed_through() -> None:
    encoder = CheckedEncoder(Mine, SETTINGS)
    assert (encoder.spec, encoder.provenance, encoder.codebooks) == (SPEC, {"name": "mine"}, None)
    windows_uv = np.random.default_rng(0).normal(0, 30, (3, 18, 400)).astype(np.float32)
    np.testing.assert_array_equal(encoder.encode(windows_uv), Mine().encode(windows_uv))


def without(name: str) -> type:
    return type("Mine", (), {key: value for key, value in vars(Mine).items() if key != name})


@pytest.mark.parametrize("name", ["spec", "provenance", "codebooks", "encode"])
def test_a_missing_attribute_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"encoder mine:Mine: Mine has no {name}; an encoder has spec, "):
        CheckedEncoder(without(name), SETTINGS)


def fail(encoder: object, windows_uv: np.ndarray) -> np.ndarray:
    raise KeyError("nothing")


def gave(features: object) -> object:
    return lambda encoder, windows_uv: features


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": "mine"}, "spec is a str; allowed: store.FeatureSpec"),
        ({"spec": dataclasses.replace(SPEC, stride_s=2)}, "spec.stride_s is 2; these settings require 4"),
        ({"spec": dataclasses.replace(SPEC, channels=("A",))}, r"spec.channels is \('A',\); these settings"),
        ({"spec": dataclasses.replace(SPEC, dtype="float64")}, "spec.dtype is 'float64'; these settings require"),
        ({"spec": dataclasses.replace(SPEC, frames=0)}, "spec.frames is 0; allowed: whole numbers from 1"),
        ({"provenance": {"path": Path("x")}}, r"provenance cannot be JSON \(.*\); use text, numbers"),
        ({"provenance": ["x"]}, "provenance is a list; allowed: a dict"),
        ({"codebooks": np.zeros((1, 2, 3))}, "codebooks belong to codes; set codebooks to None"),
        ({"encode": fail}, r"encode failed \(KeyError: 'nothing'\); --debug shows where"),
        ({"encode": gave(None)}, r"encode returned NoneType; its spec says a numpy array \(2, 4, 18, 2\)"),
        ({"encode": gave(np.zeros((2, 18, 4, 2)))}, r"encode returned ndarray \(2, 18, 4, 2\); its spec says"),
        ({"encode": gave(np.zeros((2, 4, 18, 2), int))}, "encode returned int64; latents are float16"),
        ({"encode": gave(np.full((2, 4, 18, 2), np.nan))}, "features that are not finite"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"^encoder mine:Mine: .*{message}"):
        CheckedEncoder(type("Mine", (Mine,), changes), SETTINGS)


def test_codes_need_codebooks_of_their_shape() -> None:
    settings = dataclasses.replace(SETTINGS, features="codes")
    spec = dataclasses.replace(SPEC, features="codes", dtype="uint8")
    codes = {"spec": spec, "encode": lambda encoder, windows_uv: np.zeros((len(windows_uv), 4, 18, 2), np.uint8)}
    for codebooks in (None, np.zeros((3, 256, 8)), np.zeros((2, 300, 8))):
        with pytest.raises(UserError, match=r"codebooks are .*; codes need float32 \(Q, K, D\) with Q = .* = 2"):
            CheckedEncoder(type("Mine", (Mine,), {**codes, "codebooks": codebooks}), settings)
    books = np.zeros((2, 256, 8), np.float32)
    assert CheckedEncoder(type("Mine", (Mine,), {**codes, "codebooks": books}), settings).codebooks is books


def test_an_installed_package_adds_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it: a module, and metadata with entry points."""
    (tmp_path / "their_package.py").write_text(docs_example())
    metadata = tmp_path / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\ntheirs = their_package:StandardDeviation\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_encoder(EncoderSettings(encoder="theirs", stride=2)).spec.encoder == "standard-deviation"
    with pytest.raises(
        UserError,
        match=r'no encoder "their" \(did you mean theirs\?\); allowed: .*, theirs, braindecode:NAME, a ch',
    ):
        load_encoder(EncoderSettings(encoder="their"))
    again = tmp_path / "again-1.0.dist-info"
    again.mkdir()
    (again / "METADATA").write_text("Metadata-Version: 2.1\nName: again\nVersion: 1.0\n")
    (again / "entry_points.txt").write_text(f"[{registry.GROUP}]\ntheirs = again:Other\n")
    with pytest.raises(UserError, match=r"theirs: given by more than one package \(again:Other, their_package"):
        load_encoder(EncoderSettings(encoder="theirs", stride=1))


def test_the_registry_loads_no_torch() -> None:
    code = "import sys, extract.encoders.registry; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
