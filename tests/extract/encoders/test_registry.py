"""What fills a store: shapes, axes, controls, and settings that cannot be used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.braincodec.checkpoint import save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.bandpower import BANDS_HZ
from extract.encoders.braincodec import in_batches, in_threads
from extract.encoders.protocol import EncoderSettings, FeatureExtractor
from extract.encoders.registry import load_encoder
from extract.encoders.shipped import SHIPPED, describe_difference, read_sha256
from store.runtime.errors import UserError


def windows_uv(count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 40, (count, 18, 2048)).astype(np.float32)


def test_random_encoder_is_the_network_electrode_by_electrode() -> None:
    encoder = load_encoder(EncoderSettings(encoder="random", precision="float32"))
    x = windows_uv()
    actual = encoder.encode(x)
    assert actual.shape == (2, 32, 18, 64) == (2, *encoder.spec.shape)
    model = BrainCodec(BrainCodecConfig()).eval()
    with torch.no_grad():
        for window, channel in ((0, 0), (1, 5), (1, 17)):
            alone = model.encode(torch.from_numpy(x[window, channel])[None, None])[0].T.numpy()
            np.testing.assert_allclose(actual[window, :, channel], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["random", "bandpower"])
def test_swapping_electrodes_swaps_them_in_the_features(name: str) -> None:
    encoder = load_encoder(EncoderSettings(encoder=name, precision="float32"))
    x, order = windows_uv(1), np.random.default_rng(1).permutation(18)
    np.testing.assert_allclose(encoder.encode(x[:, order]), encoder.encode(x)[:, :, order], rtol=1e-4, atol=1e-5)


def test_bfloat16_is_close_and_said_in_the_spec() -> None:
    plain, fast = (load_encoder(EncoderSettings(encoder="random", precision=p)) for p in ("float32", "bfloat16"))
    assert (plain.spec.precision, fast.spec.precision) == ("float32", "bfloat16")
    a, b = plain.encode(windows_uv(1)), fast.encode(windows_uv(1))
    assert 0 < np.linalg.norm(a - b) / np.linalg.norm(a) < 0.03


@pytest.mark.parametrize(("band", "frequency_hz"), [(0, 2), (1, 6), (2, 10), (3, 20), (4, 40)])
def test_band_power_of_a_sine(band: int, frequency_hz: float) -> None:
    """A sine of amplitude A has the power A^2 / 2, all of it in its band."""
    t = np.arange(2048) / 512
    x = np.broadcast_to(30 * np.sin(2 * np.pi * frequency_hz * t), (1, 18, 2048)).astype(np.float32)
    powers = load_encoder(EncoderSettings(encoder="bandpower")).encode(x)[0, 1, 3, :5]
    assert len(BANDS_HZ) == 5
    assert 10 ** powers[band] == pytest.approx(450, rel=0.02)
    assert np.delete(powers, band).max() < 1


def test_band_power_looks_at_each_second_alone() -> None:
    x = np.zeros((1, 18, 2048), np.float32)
    x[..., 1024:1536] = 30 * np.sin(2 * np.pi * 10 * np.arange(512) / 512)
    alpha = load_encoder(EncoderSettings(encoder="bandpower")).encode(x)[0, :, 4, 2]
    assert alpha[2] > 2
    assert max(alpha[0], alpha[1], alpha[3]) < -2


def test_line_length_of_a_ramp_and_silence_is_finite() -> None:
    x = np.zeros((1, 18, 2048), np.float32)
    x[0, 0] = np.arange(2048) * 0.5
    actual = load_encoder(EncoderSettings(encoder="bandpower")).encode(x)
    assert 10 ** actual[0, 0, 0, 5] == pytest.approx(0.501, rel=1e-4)
    assert np.isfinite(actual).all()


def test_a_checkpoint_file_names_itself_and_its_weights(tmp_path: Path) -> None:
    model = BrainCodec(BrainCodecConfig(ratios=(2, 2, 2, 2)), seed=3)
    save_checkpoint(tmp_path / "mine.safetensors", model, {"persons_seen": ["07"]})
    encoder = load_encoder(EncoderSettings(encoder=str(tmp_path / "mine.safetensors")))
    assert encoder.spec.encoder == "mine.safetensors"
    assert (encoder.spec.hop, encoder.spec.frames) == (16, 128)
    assert len(encoder.spec.weights_sha256) == 64
    assert encoder.provenance["persons_seen"] == ["07"]
    assert encoder.encode(windows_uv(1)).shape == (1, 128, 18, 64)


def test_shipped_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "braincodec", tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"none\.safetensors was not installed; give a checkpoint file, or random"):
        load_encoder(EncoderSettings(encoder="braincodec", stride=1))


def test_weights_that_ship_are_found_by_name_and_by_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("newer", "older")):
        save_checkpoint(tmp_path / name, BrainCodec(BrainCodecConfig(), seed=seed), {})
    monkeypatch.setitem(SHIPPED, "braincodec", tmp_path / "newer")
    monkeypatch.setitem(SHIPPED, "braincodec-clips", tmp_path / "older")
    newer, older = (read_sha256(tmp_path / name) or "" for name in ("newer", "older"))

    def sha256_of(encoder: str, stored: str) -> str:
        spec = load_encoder(EncoderSettings(encoder=encoder, weights_sha256=stored)).spec
        assert spec.encoder == "braincodec"
        return spec.weights_sha256

    assert sha256_of("braincodec", "") == newer
    assert sha256_of("braincodec", older) == older
    assert sha256_of("braincodec", "0" * 64) == newer
    assert sha256_of("braincodec-clips", "") == older
    assert sha256_of("braincodec-clips", newer) == older
    assert read_sha256(tmp_path / "none") is None


def test_the_spec_says_how_codes_are_chosen_where_it_is_not_greedy(tmp_path: Path) -> None:
    specs = {}
    for beam in (1, 4):
        model = BrainCodec(BrainCodecConfig(beam=beam), seed=3)
        for q, codebook in enumerate(model.quantizer.codebooks):
            codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
            codebook.trained.fill_(1)
        path = tmp_path / f"{beam}.safetensors"
        save_checkpoint(path, model, {})
        encoder = load_encoder(EncoderSettings(encoder=str(path), features="codes", precision="float32"))
        rows = torch.from_numpy(windows_uv(1)).flatten(0, 1)[:, None]
        expected = model.quantize(model.encode(rows)).view(1, 18, 32, 4).transpose(1, 2)
        assert (encoder.encode(windows_uv(1)) == expected.numpy()).mean() > 0.99  # another order of sums
        specs[beam] = encoder.spec
        as_asked = load_encoder(
            EncoderSettings(encoder=str(path), features="codes", precision="float32", beam=5 - beam)
        )
        assert as_asked.spec.code_search == {1: "beam of 4", 4: "greedy"}[beam]
        assert load_encoder(EncoderSettings(encoder=str(path))).spec.code_search == "greedy"
    with pytest.raises(UserError, match="beam is 0; allowed: whole numbers from 1"):
        load_encoder(EncoderSettings(encoder=str(path), features="codes", beam=0))
    assert "code_search" not in specs[1].to_json()
    assert '"code_search": "beam of 4"' in specs[4].to_json()
    assert "code_search is 'greedy', wanted 'beam of 4'" in replace(specs[1], encoder="x").difference(
        replace(specs[4], encoder="x")
    )


def test_the_first_quantizers_alone_are_stored_where_asked_for(tmp_path: Path) -> None:
    model = BrainCodec(BrainCodecConfig(quantizers=6), seed=3)
    for q, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
        codebook.trained.fill_(1)
    path = str(tmp_path / "six.safetensors")
    save_checkpoint(Path(path), model, {})

    def load(quantizers: int | None) -> FeatureExtractor:
        return load_encoder(EncoderSettings(encoder=path, features="codes", quantizers=quantizers))

    everything = load(6).encode(windows_uv(1))
    for asked, stored in ((None, 4), (2, 2), (6, 6)):
        encoder = load(asked)
        assert encoder.spec.dims == stored
        assert encoder.codebooks is not None
        assert encoder.codebooks.shape == (stored, 256, 64)
        np.testing.assert_array_equal(encoder.encode(windows_uv(1)), everything[..., :stored])
    with pytest.raises(UserError, match=r"quantizers 7: the encoder has 6; allowed: 1 to 6"):
        load(7)


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"none\.pt: no such file; allowed: braincodec, braincodec-any-eeg, braincodec-any-eeg-v1, "
        "braincodec-clips, random",
    ):
        load_encoder(EncoderSettings(encoder=str(tmp_path / "none.pt")))
    with pytest.raises(UserError, match=r'^no encoder "bandpwer" \(did you mean bandpower\?\); allowed: '):
        load_encoder(EncoderSettings(encoder="bandpwer"))


@pytest.mark.parametrize("device", ["cuda:77", "abacus"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ValueError, match=f"device {device}: not usable here .*; use cpu or auto"):
        load_encoder(EncoderSettings(encoder="random", device=device))


def test_threads_compute_each_window_once_on_one_thread_and_leave_the_setting() -> None:
    before = torch.get_num_threads()
    seen, inside = np.zeros(7, int), set()

    def encode_part(start: int, stop: int) -> None:
        seen[start:stop] += 1
        inside.add(torch.get_num_threads())

    in_threads(encode_part, 7)
    assert seen.tolist() == [1] * 7
    assert inside == {1}
    assert torch.get_num_threads() == before


def test_a_failure_in_a_thread_is_raised() -> None:
    def fail(start: int, stop: int) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        in_threads(fail, 3)


@pytest.mark.parametrize("features", ["latents", "codes"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_calls_itself_batch_invariant_is_to_the_last_bit(precision: str, features: str) -> None:
    encoder = load_encoder(EncoderSettings(device="cpu", precision=precision, features=features))
    x = windows_uv(5)
    alone = [encoder.encode(x[number : number + 1]) for number in range(5)]
    assert getattr(encoder, "batch_invariant", False)
    assert encoder.encode(x).tobytes() == np.concatenate(alone).tobytes()


def test_windows_do_not_depend_on_their_neighbours() -> None:
    encoder = load_encoder(EncoderSettings(encoder="random"))
    x = windows_uv(3)
    assert np.array_equal(encoder.encode(x)[1:2], encoder.encode(x[1:2]))


@pytest.mark.parametrize("fits", [1, 3, 100])
def test_a_full_device_gets_smaller_batches(fits: int) -> None:
    seen = np.zeros(23, int)

    def encode_part(start: int, stop: int) -> None:
        if stop - start > fits:
            raise torch.cuda.OutOfMemoryError("full")
        seen[start:stop] += 1

    in_batches(encode_part, 23, batch=16)
    assert seen.tolist() == [1] * 23


def test_a_device_too_small_for_one_window_is_said() -> None:
    def encode_part(start: int, stop: int) -> None:
        raise torch.cuda.OutOfMemoryError("full")

    with pytest.raises(ValueError, match=r"one window does not fit into the device's memory.*device cpu"):
        in_batches(encode_part, 4, batch=4)


def test_weights_that_ship_differ_by_name() -> None:
    spec = load_encoder(EncoderSettings(encoder="bandpower")).spec
    any_eeg, clips = (
        replace(spec, encoder="braincodec", weights_sha256=read_sha256(SHIPPED[name]) or "")
        for name in ("braincodec-any-eeg", "braincodec-clips")
    )
    own = replace(clips, weights_sha256="a" * 64)
    assert describe_difference(clips, clips) == ""
    assert describe_difference(clips, any_eeg) == "weights are braincodec-clips, wanted braincodec-any-eeg"
    assert describe_difference(own, replace(clips, stride_s=2)) == (
        "weights are others (sha256 aaaaaaaaaaaa...), wanted braincodec-clips; stride_s is 4, wanted 2"
    )
    assert describe_difference(own, replace(own, weights_sha256="b" * 64)).startswith("weights_sha256 is 'aaaa")
    assert describe_difference(spec, clips) == "encoder is 'bandpower', wanted 'braincodec'"
