"""What an encoder states beside its shape: montage, inputs that it mixes, preparation, frames of some seconds."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import store
from eval.__main__ import main as evaluate
from eval.detect import main as detect
from extract.__main__ import main as extract
from extract.encoders.checked import CheckedEncoder
from extract.encoders.protocol import EncoderSettings
from extract.io.montage import NAMED, as_recorded
from heads.dataset import StoreDataset
from heads.sklearn import load_arrays
from heads.train import main as train
from store import Event, FeatureSpec
from store.interop.table import seconds_of
from store.runtime.errors import UserError
from tests.extract.encoders.test_checked import SETTINGS, SPEC, Mine
from tests.helpers.eeg import noise_uv, write_recording

ELECTRODES = NAMED["referential-1020"].channels
MIXING = '''
import numpy as np

from extract.io.montage import NAMED
from store import FeatureSpec

ELECTRODES = NAMED["referential-1020"].channels


class Mixing:
    """Standard deviation of every electrode in each two seconds, as if a network had mixed them."""

    codebooks = None

    def __init__(self, settings):
        self.provenance = {"name": "mixing"}
        self.spec = FeatureSpec(
            encoder="mixing",
            weights_sha256="",
            features="latents",
            dtype="float16",
            sample_rate_hz=50,
            window_s=4,
            stride_s=settings.stride,
            hop=100,
            frames=2,
            dims=19,
            channels=("mixed",),
            inputs=ELECTRODES,
            montage="referential-1020",
            high_pass_hz=0.5,
            low_pass_hz=20.0,
            notch_hz=50.0,
            reference="average",
            unit="0.1mV",
            resampling="polyphase",
            precision="float32",
        )

    def encode(self, windows):
        assert windows.shape[1:] == (19, 200), windows.shape
        return windows.reshape(len(windows), 19, 2, 100).std(3).transpose(0, 2, 1)[:, :, None]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three persons with nineteen electrodes each, a seizure in each, and an encoder beside them."""
    for number, subject in enumerate(("01", "02", "03")):
        signal_uv = noise_uv(60, number, 19)
        signal_uv[:, 20 * 64 : 40 * 64] *= 3
        write_recording(tmp_path / "bids", subject, 0, signal_uv / 2, [Event(20.0, 20.0, "sz")], ELECTRODES)
    (tmp_path / "mixing_encoder.py").write_text(MIXING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_encoder_that_mixes_electrodes_goes_the_whole_way(folder: Path) -> None:
    encoder = ["--encoder", "mixing_encoder:Mixing"]
    assert extract(["--bids", "bids", "--store", "features", *encoder]) == 0
    opened = store.open("features")
    spec = opened.spec
    assert (spec.montage, spec.inputs, spec.channels) == ("referential-1020", ELECTRODES, ("mixed",))
    assert (spec.unit, spec.reference, spec.high_pass_hz, spec.notch_hz) == ("0.1mV", "average", 0.5, 50.0)
    info = opened.recordings[0]
    assert info.channel_mask == (True,) * 19
    latents = opened.latents(info)
    assert latents.shape == (15, 2, 1, 19)
    assert 0.05 < np.median(latents) < 0.2  # of 15 uV in 0.1 mV, filtered
    for more in (["--fold", "all"], ["--fold", "final"]):
        assert train(["--store", "features", *more, "--out", "run", "--head", "linear"]) == 0
    assert evaluate(["run"]) == 0
    assert json.loads(Path("run/metrics.json").read_text())["mean"]["auroc"] > 0.95
    signal = str(next(Path("bids").rglob("*.edf")))
    assert detect([signal, "events.tsv", "--run", "run", *encoder, "--probabilities", "seconds.tsv"]) == 0
    lines = Path("seconds.tsv").read_text().splitlines()[1:]
    assert len(lines) == 60
    probabilities = np.array([float(line.split("\t")[1]) for line in lines])
    assert probabilities[22:38].min() > probabilities[[*range(18), *range(42, 60)]].max()


def test_a_missing_electrode_is_known_of_the_inputs(folder: Path, capsys: pytest.CaptureFixture) -> None:
    names = [name for name in ELECTRODES if name != "O2"]
    write_recording(folder / "bids", "04", 0, noise_uv(60, 4, 18), names=names)
    arguments = ["--bids", "bids", "--store", "features", "--encoder", "mixing_encoder:Mixing"]
    assert extract(arguments) == 1
    assert "missing channel O2" in capsys.readouterr().err
    assert extract([*arguments, "--missing", "zero"]) == 0
    (info,) = (info for info in store.open("features").recordings if info.subject == "04")
    assert [name for name, there in zip(ELECTRODES, info.channel_mask, strict=True) if not there] == ["O2"]
    capsys.readouterr()
    from store.__main__ import main as store_command

    assert store_command(["info", "features"]) == 0
    assert "O2" in capsys.readouterr().out


def test_a_frame_of_two_seconds_serves_both(folder: Path) -> None:
    assert extract(["--bids", "bids", "--store", "features", "--encoder", "mixing_encoder:Mixing"]) == 0
    opened = store.open("features")
    dataset, info = StoreDataset(opened), opened.recordings[0]
    assert dataset.shape == (4, 1, 19)
    windows = dataset.features(np.arange(3))
    np.testing.assert_array_equal(windows, opened.features(info)[:3].repeat(2, axis=1))
    np.testing.assert_array_equal(load_arrays(dataset)[0][:3], windows.astype(np.float32))
    seconds = np.concatenate(list(seconds_of(opened, info)))
    np.testing.assert_array_equal(seconds[:12], windows.reshape(12, 1, 19).astype(np.float32))


def test_a_montage_that_the_encoder_does_not_take_is_refused(folder: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--bids", "bids", "--store", "features", "--encoder", "mixing_encoder:Mixing"]
    assert extract([*arguments, "--montage", "double-banana"]) == 2
    message = "takes the montage referential-1020, not double-banana; leave --montage out"
    assert message in capsys.readouterr().err
    assert extract([*arguments, "--montage", "referential-1020"]) == 0


def changed(**changes: object) -> type:
    return type("Mine", (Mine,), {"spec": dataclasses.replace(SPEC, **changes)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 3}, "spec.frames is 3 in 4 s; allowed: whole frames a second, or whole seconds a frame"),
        ({"inputs": ("F7", "F8")}, "spec.channels has 18 names; an encoder that mixes its inputs has 1"),
        ({"inputs": ("F7", "F8"), "channels": ("x",)}, "takes F7, F8; its spec.montage double-banana has FP1-F3"),
        ({"montage": "referential-1020"}, "takes FP1-F3, .*; its spec.montage referential-1020 has FP1, F3"),
        ({"montage": "laplacian"}, "montage laplacian: not known here"),
        ({"resampling": "cubic"}, "spec.resampling is 'cubic'; allowed: linear, each window, polyphase"),
        ({"reference": "linked ears"}, "spec.reference is 'linked ears'; allowed: as-recorded, average"),
        ({"normalisation": "batch"}, "spec.normalisation is 'batch'; allowed: none, z-score, percentile-95"),
        ({"unit": "nV"}, "spec.unit is 'nV'; allowed: uV, 0.1mV, mV, V"),
        ({"notch_hz": -50}, "spec.notch_hz is -50; allowed: numbers from 0, which is none"),
        ({"high_pass_hz": 30, "low_pass_hz": 20}, "spec.high_pass_hz is 30; allowed: below low_pass_hz, 20"),
    ],
)
def test_what_is_stated_wrongly_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CheckedEncoder(changed(**changes), SETTINGS)


def test_an_encoder_follows_the_montage_that_is_asked_for() -> None:
    montage = as_recorded(["AF3", "O1"])
    settings = EncoderSettings(encoder="mine:Mine", montage="as-recorded", resolved=montage)
    with pytest.raises(UserError, match=r"spec.channels is .*; these settings require \('AF3', 'O1'\)"):
        CheckedEncoder(Mine, settings)
    kinds = {"spec": dataclasses.replace(SPEC, channels=("AF3", "O1"))}
    kinds["encode"] = lambda encoder, windows: windows[:, None, :, :2].repeat(4, 1)
    assert CheckedEncoder(type("Mine", (Mine,), kinds), settings).spec.channels == ("AF3", "O1")


def test_a_spec_with_all_that_can_be_stated_survives() -> None:
    spec = dataclasses.replace(SPEC, channels=("x",), inputs=("F7",), low_pass_hz=75.0, unit="mV", montage="table")
    spec = dataclasses.replace(spec, derivations=("F7\tF7\t",), normalisation="z-score")
    assert FeatureSpec.from_json(spec.to_json()) == spec
