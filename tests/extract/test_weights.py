"""The checkpoint that ships: whole, small, described, and better than the least worth shipping."""

import torch

from extract.braincodec.checkpoint import load_checkpoint
from extract.encoders.shipped import WEIGHTS
from extract.io.bids import find_recordings
from extract.io.raw import open_signal
from extract.pretrain.data import Person, TrainingSignal, cut_windows
from extract.pretrain.losses import prd


def test_ships_small_trained_and_described():
    checkpoint = load_checkpoint(WEIGHTS)
    card = (WEIGHTS.parent / "README.md").read_text()
    assert WEIGHTS.stat().st_size < 10_000_000
    assert checkpoint.model.config.hop == 64
    assert checkpoint.sha256 in card
    assert " ".join(checkpoint.metadata["persons_seen"]) in card
    assert not set(checkpoint.metadata["persons_seen"]) & set(checkpoint.metadata["persons_held_out"])
    for figures in checkpoint.metadata["validation"].values():
        assert figures["prd"] < 30
        assert min(figures["perplexity"]) > 100


def test_reconstructs_persons_it_has_not_seen(real_clips):
    checkpoint = load_checkpoint(WEIGHTS)
    model = checkpoint.model
    figures = []
    for person in checkpoint.metadata["persons_held_out"]:
        for recording in find_recordings(real_clips, [person])[::3]:
            with open_signal(recording.path) as signal:
                values = torch.from_numpy(signal.read(0, signal.samples))
            windows = cut_windows(TrainingSignal(Person("", person), signal.sample_rate_hz, values), model.config)[
                ::19
            ]
            with torch.inference_mode():
                decoded = model.decode(model.dequantize(model.quantize(model.encode(windows))))
            figures.append(prd(windows, decoded))
    assert torch.cat(figures).mean() < 30
