"""The codec: an EDF through codes and back."""

import edfio
import numpy as np
import pytest
import torch

from extract.braincodec.checkpoint import save_checkpoint
from extract.braincodec.network import BrainCodec, BrainCodecConfig
from extract.codec import channel_prd, main, write_edf
from extract.io.montage import CHANNELS

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
    assert len(lines) == 19
    for line, first, second in zip(lines, original.signals, decoded.signals, strict=False):
        prd = channel_prd(first.data[None], second.data[None])[0]
        assert line.split() == [first.label, "64", "bit/s", "PRD", f"{float(line.split()[-2]):.1f}", "%"]
        assert float(line.split()[-2]) == pytest.approx(prd, abs=0.2)
    assert "32 times fewer bits" in lines[-1]
    assert picture.stat().st_size > 10_000


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
