"""Models of braindecode as encoders: on a stand-in of the package, and on the package itself where it is there."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.io.montage import NAMED
from store.runtime.errors import UserError

STAND_IN = """
import torch


class _Model(torch.nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        assert (n_times, sfreq) == (2000, 200)
        self.weight = torch.nn.Parameter(torch.randn(200))
        self.final_layer = torch.nn.Linear(1, n_outputs)


class CBraMod(_Model):
    def __init__(self, **more):
        super().__init__(**more)
        self.proj_out = torch.nn.Sequential(torch.nn.Linear(200, 200))  # of pretraining alone

    def forward(self, x, return_features):
        return {"features": self.proj_out(x.unflatten(2, (-1, 200)) * self.weight)}  # (B, C, F, D)


class Labram(_Model):
    def forward(self, x, return_features, ch_names):
        assert len(ch_names) == x.shape[1] and not set(ch_names) - set(labram.LABRAM_CHANNEL_ORDER)
        return {"features": (x.unflatten(2, (-1, 200)) * self.weight).flatten(1, 2)}  # (B, C * F, D)


class BIOT(_Model):
    def __init__(self, n_chans, **more):
        super().__init__(n_chans, **more)
        self.tokens = torch.nn.Parameter(torch.zeros(n_chans))

    def forward(self, x, return_features):
        return {"features": x.mean(1)[:, :256]}  # (B, D)
"""
KNOWN = set(NAMED["referential-1020"].channels)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name with small models; torchaudio does not load, as beside a torch of another kind."""
    models = tmp_path / "braindecode" / "models"
    models.mkdir(parents=True)
    (tmp_path / "braindecode" / "__init__.py").write_text("from torchaudio.functional import fftconvolve\n")
    (models / "__init__.py").write_text("from braindecode.models import labram\n" + STAND_IN)
    (models / "labram.py").write_text(f"LABRAM_CHANNEL_ORDER = {sorted(KNOWN)}\n")
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('Could not load this library')\n")
    metadata = tmp_path / "braindecode-9.9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: braindecode\nVersion: 9.9\n")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("braindecode", "torchaudio")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    load_encoder.cache_clear()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("braindecode", "torchaudio")]:
        del sys.modules[name]
    load_encoder.cache_clear()


def load(name: str, **settings: object):
    return load_encoder(EncoderSettings(encoder=f"braindecode:{name}", stride=10, device="cpu", **settings))


@pytest.mark.parametrize("name", ["CBraMod", "Labram"])
def test_patches_are_frames_of_channels(stand_in: Path, name: str) -> None:
    encoder = load(name)
    spec = encoder.spec
    assert (spec.encoder, spec.frames, spec.dims, len(spec.channels)) == (f"braindecode:{name}", 10, 200, 18)
    assert (spec.sample_rate_hz, spec.window_s, spec.hop, spec.unit) == (200, 10, 200, "0.1mV")
    assert (spec.resampling, spec.low_pass_hz, spec.reference) == ("polyphase", 75.0, "as-recorded")
    assert encoder.provenance["weights"] == "untrained"
    assert encoder.provenance["braindecode"] == "9.9"
    windows = np.random.default_rng(0).normal(size=(17, 18, 2000)).astype(np.float32)
    expected = windows.reshape(17, 18, 10, 200).transpose(0, 2, 1, 3)
    ratio = encoder.encode(windows) / expected
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0, 0], ratio.shape), rtol=1e-4)
    assert "torchaudio" not in sys.modules


def test_biot_mixes_its_own_channels(stand_in: Path) -> None:
    spec = load("BIOT").spec
    assert (spec.shape, spec.normalisation, spec.unit) == ((1, 1, 256), "percentile-95", "uV")
    assert len(spec.inputs) == 16
    assert spec.derivations[0] == "FP1-F7\tFP1\tF7"
    with pytest.raises(UserError, match="takes the montage table, not referential-1020; leave --montage out"):
        load("BIOT", montage="referential-1020")


def test_untrained_weights_are_the_same_everywhere(stand_in: Path) -> None:
    torch.manual_seed(1)
    first = load("CBraMod").spec.weights_sha256
    load_encoder.cache_clear()
    torch.manual_seed(2)
    assert load("CBraMod").spec.weights_sha256 == first


def test_weights_are_loaded_strictly(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stand_in)
    untrained = load("BIOT").spec.weights_sha256
    good = {"weight": torch.ones(200), "tokens": torch.ones(16), "final_layer.weight": torch.zeros(5, 1)}
    save_file(good, "good.safetensors")
    encoder = load("BIOT@good.safetensors")
    assert encoder.spec.encoder == "braindecode:BIOT@good.safetensors"
    assert encoder.spec.weights_sha256 != untrained
    assert encoder.provenance["weights"] == "good.safetensors"
    for weights, message in (
        ({"weight": good["weight"]}, "not weights of BIOT: 1 names are missing or unknown, such as tokens"),
        ({**good, "more": torch.ones(1)}, "not weights of BIOT: 1 names are missing or unknown, such as more"),
        ({**good, "tokens": torch.ones(18)}, r"tokens is \(18,\), BIOT on these channels has \(16,\)"),
    ):
        save_file(weights, "bad.safetensors")
        with pytest.raises(UserError, match=f"bad.safetensors: {message}"):
            load("BIOT@bad.safetensors")
    Path("bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"bad.safetensors: not a safetensors file \(.*\); give one of BIOT"):
        load("BIOT@bad.safetensors")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("EEGNet", {}, "no such model; allowed: braindecode:CBraMod, braindecode:BIOT, braindecode:Labram"),
        ("CBraMod", {"features": "codes"}, "CBraMod has no quantizer; use features latents"),
        ("CBraMod", {"precision": "bfloat16"}, "CBraMod is run in float32; use auto or float32"),
        (
            "Labram",
            {"montage": "behind-the-ear"},
            "does not know the position of focal; give electrodes of the 10-20",
        ),
        ("CBraMod@nowhere/nothing", {}, "weights nowhere/nothing: no such file"),
    ],
)
def test_what_cannot_be_had_is_named(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, name: str, settings: dict[str, str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=message):
        load(name, **settings)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "braindecode", None)
    load_encoder.cache_clear()
    with pytest.raises(UserError, match=r"cannot be imported \(.*\); pip install --editable '.\[braindecode\]'"):
        load("CBraMod")


def has_braindecode() -> bool:
    try:
        return bool(version("braindecode"))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not has_braindecode(), reason="needs the extra braindecode")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape"), [("CBraMod", (10, 18, 200)), ("BIOT", (1, 1, 256)), ("Labram", (10, 18, 200))]
)
def test_the_package_itself(name: str, shape: tuple[int, int, int]) -> None:
    importlib.invalidate_caches()
    encoder = load(name)
    assert encoder.spec.shape == shape
    channels = len(encoder.spec.input_channels)
    windows = np.random.default_rng(0).normal(size=(2, channels, 2000)).astype(np.float32)
    before = encoder.encode(windows)
    windows[:, 3, 400:600] += 1  # channel 3, second 2
    changed = np.abs(encoder.encode(windows) - before).mean((0, 3))
    if channels == 18:  # the token of that channel and second changes most
        assert np.unravel_index(changed.argmax(), changed.shape) == (2, 3)
