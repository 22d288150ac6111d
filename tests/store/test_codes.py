"""Codes: stored as bytes, looked up to what the quantizer gives, refused where they would mean nothing."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import store
from extract.braincodec.checkpoint import save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.encoders.braincodec import BrainCodecEncoder
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from store import StoreError
from store.reader import open_file
from store.writer import join_files, write_file
from tests.helpers.stores import SPEC, recording

RNG = np.random.default_rng(0)
CODES = replace(SPEC, features="codes", dtype="uint8", dims=2)
CODEBOOKS = RNG.normal(size=(2, 7, 5)).astype(np.float32)


def write_codes(path: Path, number: int, seconds: int, mask: tuple[bool, ...] = (True, True, True)) -> np.ndarray:
    info = recording(number, seconds, mask=mask)
    codes = RNG.integers(0, 7, (info.windows, *CODES.shape), np.uint8)
    write_file(path, CODES, [info], np.zeros(seconds, np.uint8), iter([codes]), {"encoder": {}}, CODEBOOKS)
    return codes


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint whose quantizer holds random vectors."""
    path = tmp_path_factory.mktemp("weights") / "trained.safetensors"
    model = BrainCodec(BrainCodecConfig())
    generator = torch.Generator().manual_seed(0)
    for codebook in model.quantizer.codebooks:
        codebook.vectors.copy_(torch.randn(codebook.vectors.shape, generator=generator))
        codebook.trained.fill_(1)
    save_checkpoint(path, model, {})
    return path


def test_latents_are_the_sum_of_the_vectors(tmp_path: Path) -> None:
    codes = write_codes(tmp_path / "sub-01.h5", 0, 18)
    opened = store.open(tmp_path)
    (info,) = opened.recordings
    np.testing.assert_array_equal(opened.features(info), codes)
    np.testing.assert_array_equal(opened.codebooks, CODEBOOKS)
    wanted = CODEBOOKS[0][codes[..., 0]] + CODEBOOKS[1][codes[..., 1]]
    np.testing.assert_array_equal(opened.latents(info, 1, 4), wanted[1:4])
    assert (opened.latents(info).dtype, opened.latent_dims) == (np.float32, 5)


def test_plain_h5py_gives_latents(tmp_path: Path) -> None:
    write_codes(tmp_path / "sub-01.h5", 0, 18)
    with h5py.File(tmp_path / "sub-01.h5") as file:
        codes = file["features"][:]
        latents = sum(book[codes[..., q]] for q, book in enumerate(file["codebooks"][:]))
    opened = store.open(tmp_path)
    np.testing.assert_array_equal(opened.latents(opened.recordings[0]), latents)


def test_sums_are_of_the_latents(tmp_path: Path) -> None:
    first = write_codes(tmp_path / "a.h5", 0, 18)
    second = write_codes(tmp_path / "b.h5", 1, 7, mask=(True, False, True))
    join_files(tmp_path / "s" / "sub-01.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    opened = store.open(tmp_path / "s")
    sums = opened.moments("01")
    frames = [sum(CODEBOOKS[q][codes[..., q]] for q in (0, 1)).reshape(-1, 3, 5) for codes in (first, second)]
    values = np.concatenate(frames).astype(np.float64)
    np.testing.assert_array_equal(sums.count, [len(values), len(frames[0]), len(values)])
    np.testing.assert_allclose(sums.total[[0, 2]], values.sum(0)[[0, 2]], rtol=1e-9)
    np.testing.assert_allclose(sums.squares[1], (frames[0][:, 1].astype(np.float64) ** 2).sum(0), rtol=1e-9)
    np.testing.assert_array_equal(opened.codebooks, CODEBOOKS)


def test_a_code_past_its_codebook_is_refused(tmp_path: Path) -> None:
    codes = np.full((2, *CODES.shape), 7, np.uint8)
    with pytest.raises(StoreError, match="run-00: code 7 in codebooks of 7; check the encoder's quantizer"):
        write_file(
            tmp_path / "a.h5", CODES, [recording(0, 8)], np.zeros(8, np.uint8), iter([codes]), {}, CODEBOOKS
        )
    assert not list(tmp_path.iterdir())


def test_the_checksum_covers_the_codebooks(tmp_path: Path) -> None:
    path = tmp_path / "sub-01.h5"
    write_codes(path, 0, 8)
    content = path.read_bytes()
    at = content.index(CODEBOOKS.tobytes())
    path.write_bytes(content[: at + 9] + bytes([content[at + 9] ^ 1]) + content[at + 10 :])
    with pytest.raises(StoreError, match="differ from their checksum"):
        open_file(path)


def test_stored_codes_give_the_output_of_the_quantizer(trained: Path, tmp_path: Path) -> None:
    encoder = load_encoder(EncoderSettings(encoder=str(trained), features="codes", device="cpu"))
    assert (encoder.spec.dtype, encoder.spec.dims) == ("uint8", 4)
    windows_uv = (30 * RNG.normal(size=(2, 18, 2048))).astype(np.float32)
    codes = encoder.encode(windows_uv)
    info = replace(recording(0, 8), channel_mask=(True,) * 18)
    labels = np.zeros(8, np.uint8)
    write_file(tmp_path / "sub-01.h5", encoder.spec, [info], labels, iter([codes]), {}, encoder.codebooks)
    opened = store.open(tmp_path)
    latents = opened.latents(opened.recordings[0])
    assert isinstance(encoder, BrainCodecEncoder)
    model = encoder.model
    for window in range(2):
        for electrode in (0, 11):
            row = torch.from_numpy(windows_uv[window, electrode]).reshape(1, 1, -1)
            wanted = model.dequantize(model.quantize(model.encode(row)))[0].T.numpy()
            # at most a code on the edge of two may differ between batches
            same = (np.abs(latents[window, :, electrode] - wanted).max(1) < 1e-4).mean()
            assert same >= 31 / 32


def test_encoders_without_codes_are_refused(tmp_path: Path) -> None:
    for name, reason in (("random", "the quantizer of random was never"), ("bandpower", "bandpower has no")):
        with pytest.raises(ValueError, match=f"features codes: {reason}.*use features latents"):
            load_encoder(EncoderSettings(encoder=name, features="codes"))


def test_codes_that_fit_no_byte_are_refused(tmp_path: Path) -> None:
    model = BrainCodec(BrainCodecConfig(codebook_size=300))
    for codebook in model.quantizer.codebooks:
        codebook.trained.fill_(1)
    save_checkpoint(tmp_path / "big.safetensors", model, {})
    with pytest.raises(ValueError, match=r"300 codes of big\.safetensors do not fit a byte"):
        load_encoder(EncoderSettings(encoder=str(tmp_path / "big.safetensors"), features="codes"))
