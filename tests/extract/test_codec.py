"""The codec: an EDF through codes and back."""

from types import SimpleNamespace

import edfio
import numpy as np
import pytest
import torch

from extract.braincodec.checkpoint import load_checkpoint, save_checkpoint
from extract.braincodec.config import BrainCodecConfig
from extract.braincodec.network import BrainCodec
from extract.codec import _some_windows, main, through_codes, write_edf
from extract.coding.distortion import channel_prd
from extract.io.montage import CHANNELS
from extract.io.windows import WindowShape, window_blocks

RATE_HZ, SECONDS = 128, 10
CONFIG = BrainCodecConfig(n_filters=2, max_filters=4, dimension=3, quantizers=2, codebook_size=16)


@pytest.fixture
def weights(tmp_path):
    model = BrainCodec(CONFIG)
    for q, codebook in enumerate(model.quantizer.codebooks):
        codebook.vectors.normal_(generator=torch.Generator().manual_seed(q))
        codebook.trained.fill_(1)
    save_checkpoint(tmp_path / "w.safetensors", model, {})
    return tmp_path / "w.safetensors"


@pytest.fixture
def eeg(tmp_path):
    times = np.arange(RATE_HZ * SECONDS) / RATE_HZ
    rows = 50 * np.sin(2 * np.pi * np.linspace(1, 12, 18)[:, None] * times)
    write_edf(tmp_path / "in.edf", rows.astype(np.float32), RATE_HZ, "2020-02-03T04:05:06")
    return tmp_path / "in.edf"


def test_decodes_every_sample_and_says_what_was_lost(eeg, weights, tmp_path, capsys):
    out, picture = tmp_path / "out.edf", tmp_path / "out.png"
    assert main([str(eeg), str(out), "--weights", str(weights), "--picture", str(picture)]) == 0
    original, decoded = edfio.read_edf(eeg), edfio.read_edf(out)
    assert [s.label for s in decoded.signals] == list(CHANNELS)
    assert decoded.startdate == original.startdate
    assert decoded.starttime == original.starttime
    assert all(len(s.data) == RATE_HZ * SECONDS and s.sampling_frequency == RATE_HZ for s in decoded.signals)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    rows = [np.concatenate([s.data for s in edf.signals]) for edf in (original, decoded)]
    overall = channel_prd(rows[0][None], rows[1][None])[0]
    assert lines[18].split()[:2] == ["all", "1152"]
    assert float(lines[18].split()[4]) == pytest.approx(overall, abs=0.2)
    for line, first, second in zip(lines[:18], original.signals, decoded.signals, strict=False):
        prd = channel_prd(first.data[None], second.data[None])[0]
        assert line.split() == [first.label, "64", "bit/s", "PRD", f"{float(line.split()[-2]):.1f}", "%"]
        assert float(line.split()[-2]) == pytest.approx(prd, abs=0.2)
    assert "decoded from 32 times fewer bits than an EDF's 16 a sample" in lines[-1]
    assert lines[19].split()[:2] == ["bands", "delta"]
    assert picture.stat().st_size > 10_000


def test_without_an_output_errors_are_printed_and_pictures_drawn(eeg, weights, tmp_path, capsys):
    picture = tmp_path / "out.svg"
    assert main([str(eeg), "--weights", str(weights), "--picture", str(picture)]) == 0
    assert f"{eeg}: decoded from 32 times fewer bits" in capsys.readouterr().out
    assert "braincodec-seizure-codec" in picture.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.edf", "out.svg", "w.safetensors"]


def test_weights_that_ship_have_names(eeg, tmp_path, capsys):
    errors = {}
    for number, options in enumerate(([], ["--weights", "braincodec-any-eeg"], ["--weights", "braincodec-clips"])):
        assert main([str(eeg), str(tmp_path / f"{number}.edf"), *options]) == 0
        errors[number] = capsys.readouterr().out.splitlines()[18]
    assert errors[0] == errors[1] != errors[2]
    assert main([str(eeg), str(tmp_path / "no.edf"), "--weights", "braincodec-clip"]) == 2
    assert (
        "braincodec-clip: no such file, and no weights that ship (did you mean braincodec-clips?); allowed: "
        in (capsys.readouterr().err)
    )


def test_the_first_quantizers_alone(eeg, weights, tmp_path, capsys):
    arguments = [str(eeg), str(tmp_path / "out.edf"), "--weights", str(weights), "--quantizers"]
    assert main([*arguments, "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[1:3] == ["32", "bit/s"]
    model = load_checkpoint(weights).model
    row = torch.from_numpy(edfio.read_edf(eeg).signals[0].data.astype(np.float32))[: 4 * RATE_HZ]
    window = torch.nn.functional.interpolate(row[None, None], 2048, mode="linear")
    expected = model.decode(model.dequantize(model.quantize(model.encode(window), 1))).detach()
    expected = torch.nn.functional.interpolate(expected, 4 * RATE_HZ, mode="linear")[0, 0].numpy()
    decoded = edfio.read_edf(tmp_path / "out.edf").signals[0].data[: 4 * RATE_HZ]
    np.testing.assert_allclose(decoded, expected, atol=0.05 * np.abs(expected).max())

    assert main([*arguments, "3"]) == 2
    assert "quantizers 3: the encoder has 2; allowed: 1 to 2" in capsys.readouterr().err


def test_the_curve_of_both_coders_is_printed_and_drawn(eeg, weights, tmp_path, capsys):
    curve = tmp_path / "curve.svg"
    command = [str(eeg), str(tmp_path / "out.edf"), "--weights", str(weights), "--curve", str(curve)]
    assert main(command) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if " a channel " in line]
    assert [line[0] for line in lines] == ["w"] * 2 + ["DCT"] * 2
    assert [line[1] for line in lines[:2]] == ["32", "64"]
    assert curve.read_bytes().startswith(b"<?xml")
    assert main(command) == 0  # ours, so it is written again


@pytest.mark.parametrize(("rate_hz", "samples"), [(128, 1279), (256, 2689), (199.8, 1998), (100, 730)])
def test_any_length(weights, tmp_path, rate_hz, samples):
    """Of records that an input may have, and of those that have to be found; never shorter than the input."""
    rows = 50 * np.random.default_rng(0).normal(size=(18, samples)).astype(np.float32)
    write_edf(tmp_path / "in.edf", rows, rate_hz, "2020-02-03T04:05:06")
    written = edfio.read_edf(tmp_path / "in.edf").signals[3]
    assert written.sampling_frequency == pytest.approx(rate_hz)
    assert samples <= len(written.data) < samples + 6 * rate_hz
    np.testing.assert_allclose(written.data[:samples], rows[3], atol=0.01)
    assert main([str(tmp_path / "in.edf"), str(tmp_path / "out.edf"), "--weights", str(weights)]) == 0
    assert len(edfio.read_edf(tmp_path / "out.edf").signals[3].data) == len(written.data)


class Lossless:
    """A codec that gives its windows back."""

    config = CONFIG

    def encode(self, windows):
        return windows

    def quantize(self, latents, quantizers):
        self.latents = latents
        return torch.zeros(len(latents), CONFIG.frames, quantizers, dtype=torch.uint8)

    def dequantize(self, codes):
        return self.latents

    def decode(self, latents):
        return latents


def recording(samples, rate_hz):
    """Slow waves around 100 uV, so that no sample is near zero."""
    waves = 20 * np.sin(2 * np.pi * np.linspace(0.5, 2, 18)[:, None] * np.arange(samples) / rate_hz)
    signal_uv = (100 + waves).astype(np.float32)
    return SimpleNamespace(
        sample_rate_hz=rate_hz, samples=samples, read=lambda start, stop: signal_uv[:, start:stop]
    )


@pytest.mark.parametrize(
    ("rate_hz", "samples"), [(199.8, 11988), (173.61, 10417), (199.9, 11994), (1000.1, 30003), (256, 2689)]
)
def test_every_sample_is_decoded_where_a_window_is_no_whole_number_of_samples(rate_hz, samples):
    signal = recording(samples, rate_hz)
    decoded_uv, codes = through_codes(Lossless(), signal, 2)
    np.testing.assert_allclose(decoded_uv, signal.read(0, samples), atol=2)
    assert len(codes) == -(-samples // round(4 * rate_hz))


@pytest.mark.parametrize(("rate_hz", "seconds"), [(256, 2), (1024, 1), (256, 9)])
def test_the_curve_is_of_the_windows_that_extraction_cuts(rate_hz, seconds):
    signal = recording(rate_hz * seconds, rate_hz)
    blocks = window_blocks(signal.read, signal.samples, rate_hz, WindowShape(4, 4, 512), 1)
    expected = np.concatenate([windows_uv[0] for windows_uv in blocks][: max(1, seconds // 4)])
    np.testing.assert_allclose(_some_windows(Lossless(), signal), expected, rtol=1e-6)


def test_odd_records_of_the_input_are_kept(weights, tmp_path):
    noise = np.random.default_rng(0).normal(0, 30, (18, 3 * 331))
    signals = [
        edfio.EdfSignal(row, 331 / 2.5, label=n, physical_dimension="uV")
        for row, n in zip(noise, CHANNELS, strict=True)
    ]
    edfio.Edf(signals, data_record_duration=2.5).write(tmp_path / "in.edf")
    assert main([str(tmp_path / "in.edf"), str(tmp_path / "out.edf"), "--weights", str(weights)]) == 0
    decoded = edfio.read_edf(tmp_path / "out.edf")
    assert (decoded.data_record_duration, len(decoded.signals[0].data)) == (2.5, 993)


def test_a_year_that_no_edf_holds_is_left_out_and_said(eeg, weights, tmp_path, capsys):
    content = bytearray(eeg.read_bytes())
    content[88:168] = b"Startdate 02-MAR-1970 X X X".ljust(80)
    eeg.write_bytes(content)
    assert main([str(eeg), str(tmp_path / "out.edf"), "--weights", str(weights)]) == 0
    assert "the years 1985 to 2084; the date, 1970-03-02, is left out" in capsys.readouterr().out
    decoded = edfio.read_edf(tmp_path / "out.edf")
    assert decoded.starttime.hour == 4
    with pytest.raises(edfio.AnonymizedDateError):
        _ = decoded.recording.startdate


def test_inputs_and_strangers_files_are_not_overwritten(eeg, weights, tmp_path, capsys):
    before = {path: path.read_bytes() for path in (eeg, weights)}
    hard, soft, notes = tmp_path / "hard.edf", tmp_path / "soft.edf", tmp_path / "notes.png"
    hard.hardlink_to(eeg)
    soft.symlink_to(eeg)
    notes.write_text("mine")
    theirs = tmp_path / "theirs.edf"
    theirs.write_text("0")
    copy = tmp_path / "w2.edf"
    copy.hardlink_to(weights)
    out = tmp_path / "out.edf"
    for output, more, message in (
        (hard, [], "is the input"),
        (soft, [], "is the input"),
        (weights, [], "is the input"),
        (copy, [], "is the input"),
        (theirs, [], "this command did not write it"),
        (out, ["--picture", f"{out}.gif"], "give one that ends in .png, .pdf or .svg"),
        (out, ["--picture", str(notes)], "this command did not write it"),
        (out, ["--curve", str(notes)], "this command did not write it"),
        (
            out,
            ["--picture", f"{out}.png", "--curve", f"{out}.png"],
            "out.edf.png: is given for two outputs; give another path",
        ),
        (tmp_path / "z.txt", [], "z.txt: the name does not fit what is written; give one that ends in .edf"),
    ):
        assert main([str(eeg), str(output), "--weights", str(weights), *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before
    assert notes.read_text() == "mine"
    assert not out.exists()
    command = [str(eeg), str(out), "--weights", str(weights), "--picture", str(notes)]
    assert main([*command, "--force"]) == 0
    assert main(command) == 0  # both are ours now
    assert not list(tmp_path.glob(".*"))


def test_prd_of_a_silent_channel_is_undefined():
    values = channel_prd(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 4.0]]))
    assert np.isnan(values[0])
    assert values[1] == 0


def test_mistakes_end_in_one_line(eeg, weights, tmp_path, capsys):
    assert main([str(eeg), str(eeg), "--weights", str(weights)]) == 2
    assert "is the input" in capsys.readouterr().err
    assert main([str(tmp_path / "no.edf"), str(tmp_path / "o.edf"), "--weights", str(weights)]) == 2
    assert "no such file" in capsys.readouterr().err
    untrained = tmp_path / "untrained.safetensors"
    save_checkpoint(untrained, BrainCodec(CONFIG), {})
    assert main([str(eeg), str(tmp_path / "o.edf"), "--weights", str(untrained)]) == 2
    assert "never trained" in capsys.readouterr().err
    assert not (tmp_path / "o.edf").exists()


@pytest.mark.parametrize("value", [1e30, np.nan])
def test_weights_that_decode_to_no_eeg(eeg, weights, tmp_path, capsys, monkeypatch, value):
    decoded_uv, codes = np.full((18, 64), value, np.float32), np.zeros((1, 18, 4, 2), np.uint8)
    monkeypatch.setattr("extract.codec.through_codes", lambda model, signal, quantizers: (decoded_uv, codes))
    assert main([str(eeg), str(tmp_path / "out.edf"), "--weights", str(weights)]) == 2
    assert "uV, which is not EEG; use other weights" in capsys.readouterr().err
    assert not (tmp_path / "out.edf").exists()
