"""A run as an ONNX file: the module that is exported against the package, and the file where onnx is there."""

import importlib.util
import logging
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eval.__main__ import main as evaluate
from eval.detection.detector import as_stored
from eval.detection.onnx_file import make_detector, to_onnx
from eval.export import main as export
from extract.__main__ import main as extract
from extract.demo import main as demo
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from heads.models.registry import make_head
from heads.settings import HeadSettings
from heads.train import main as train
from store.runtime.errors import UserError

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, and a scored run on its latents in float32."""
    path = tmp_path_factory.mktemp("export")
    assert demo([str(path / "eeg"), "--persons", "3", "--recordings", "1", "--minutes", "1"]) == 0
    for features in ("latents", "codes"):
        store, run = str(path / features), str(path / f"run-{features}")
        arguments = ["--bids", str(path / "eeg"), "--store", store, "--features", features]
        assert extract([*arguments, "--precision", "float32"]) == 0
        for fold in ("all", "final"):
            assert train(["--store", store, "--fold", fold, "--out", run, "--epochs", "2"]) == 0
        assert evaluate([run, "--no-report"]) == 0
    return path


@pytest.mark.parametrize("head_name", ["spatial-fusion", "linear", "pooled-linear"])
@pytest.mark.parametrize("features", ["latents", "codes"])
def test_the_module_is_the_package(head_name: str, features: str) -> None:
    settings = EncoderSettings(encoder="braincodec", features=features, precision="float32", device="cpu")
    encoder = load_encoder(settings)
    spec = encoder.spec
    head = make_head(HeadSettings(head=head_name), (spec.frames, 18, 64), 4, seed=0).eval()
    windows_uv = np.random.default_rng(0).normal(0, 30, (3, 18, 2048)).astype(np.float32)
    detector = make_detector(encoder, head, spec)
    stored = torch.from_numpy(as_stored(encoder.encode(windows_uv), encoder))
    windows_uv[2, [0, 5]], stored[2, :, [0, 5]] = np.nan, np.nan  # missing channels
    with torch.no_grad():
        logits = head(stored).flatten()
        expected = torch.stack([logits[max(0, i - 2) : i + 3].mean() for i in range(12)]).sigmoid().view(3, 4)
        torch.testing.assert_close(detector(torch.from_numpy(windows_uv)), expected, rtol=0, atol=1e-4)
    assert expected.std() > 1e-4


def test_the_exporter_says_nothing_of_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def export_loudly(*arguments: Any, **options: Any) -> Any:
        logger = logging.getLogger("torch.onnx._internal.exporter._registration")
        logger.warning("torchvision is not installed. Skipping %s", "nms")
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use another", FutureWarning, stacklevel=2)
        return SimpleNamespace(model_proto=SimpleNamespace(SerializeToString=lambda: b"onnx"))

    monkeypatch.setattr(torch.onnx, "export", export_loudly)
    spec: Any = SimpleNamespace(channels=("a",), window_s=4, sample_rate_hz=256)
    detector: Any = None
    assert to_onnx(detector, spec, {}) == b"onnx"
    assert not caplog.records


def test_what_cannot_be_exported_is_named() -> None:
    bandpower = load_encoder(EncoderSettings(encoder="bandpower"))
    head = make_head(HeadSettings(head="linear"), bandpower.spec.shape, 4, seed=0)
    with pytest.raises(UserError, match="encoder bandpower: cannot be exported; allowed: BrainCodec networks"):
        make_detector(bandpower, head, bandpower.spec)
    encoder = load_encoder(EncoderSettings(encoder="random", precision="float32", device="cpu", stride=2))
    head = make_head(HeadSettings(), encoder.spec.shape, 4, seed=0)
    with pytest.raises(
        UserError, match="context of 5 s cannot be exported with windows that overlap; extract with"
    ):
        make_detector(encoder, head, encoder.spec)
    assert make_detector(
        encoder, make_head(HeadSettings(context_s=1), encoder.spec.shape, 4, seed=0), encoder.spec
    )


def test_without_onnx_it_says_how_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export([str(tmp_path / "none"), str(tmp_path / "a.onnx")]) == 2
    assert f"{tmp_path / 'none'}: no such folder" in capsys.readouterr().err
    assert export([str(folder / "run-latents"), str(tmp_path / "a.onnx"), "--seed", "7"]) == 2
    assert f"--seed 7: {folder / 'run-latents'} was trained with 0" in capsys.readouterr().err
    assert export([str(folder / "run-latents"), str(tmp_path / "a.onnx"), "--seed", "0"]) == 2
    assert "pip install --editable '.[onnx]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "folds/final/seed-1/head.safetensors", "folds/split/fold.json"])
def test_no_file_of_the_run_is_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even one that looks as if it were of this command."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of braincodec-seizure")
    assert export([str(tmp_path / "run"), str(path), "--force"]) == 2
    assert f"{path}: is the input {path}, or a link to it" in capsys.readouterr().err
    assert path.read_bytes() == b"of braincodec-seizure"


@pytest.mark.skipif(not HAS_ONNX, reason="needs the extra onnx")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("features", ["latents", "codes"])
def test_the_file_gives_what_the_package_gives(
    folder: Path, tmp_path: Path, features: str, capsys: pytest.CaptureFixture
) -> None:
    import onnxruntime

    out, run = tmp_path / "detector.onnx", str(folder / f"run-{features}")
    eeg = [str(path) for path in sorted((folder / "eeg").rglob("*.edf"))]
    assert export([run, str(out), "--check", *eeg]) == 0
    assert "Its probabilities differ from this package's by at most" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert {"spec", "postprocessing", "encoder", "input", "output", "use"} <= metadata.keys()
    assert "FP1-F3, F3-C3" in metadata["input"]
    for count in (1, 5):
        probabilities = session.run(None, {"eeg_uv": np.zeros((count, 18, 2048), np.float32)})[0]
        assert probabilities.shape == (count, 4)
    assert export([run, str(out)]) == 0  # over its own
    out.write_bytes(b"of another")
    assert export([run, str(out)]) == 2
    assert "detector.onnx" in capsys.readouterr().err
