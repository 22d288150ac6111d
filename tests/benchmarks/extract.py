"""Extraction end to end against the encoder alone on the same windows; jobs; memory."""

import resource
import tempfile
import time
from pathlib import Path

import torch

from extract.demo import main as make_demo
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder
from extract.encoders.shipped import WEIGHTS
from extract.io.bids import find_recordings
from extract.io.raw import open_signal
from extract.pipeline import extract
from extract.planning.command import ExtractCommand
from tests.helpers.paths import REAL

CLIPS = REAL / "chbmit-clips"


def encoder_alone(bids: Path, settings: EncoderSettings) -> tuple[int, float]:
    """Windows, and the seconds that encoding them takes; reading is not counted."""
    encoder = load_encoder(settings)
    spec, windows, taken_s = encoder.spec, 0, 0.0
    for recording in find_recordings(bids, None):
        signal = open_signal(recording.path)
        for block_uv in signal.windows(spec, 128):
            begin = time.perf_counter()
            encoder.encode(block_uv)
            taken_s += time.perf_counter() - begin
            windows += len(block_uv)
    return windows, taken_s


def main() -> None:
    """Print how many times the encoder's time an extraction takes."""
    settings = EncoderSettings(encoder="braincodec" if WEIGHTS.is_file() else "random")
    with tempfile.TemporaryDirectory() as folder:
        bids = CLIPS
        if not bids.is_dir():
            bids = Path(folder) / "bids"
            make_demo([str(bids), "--persons", "2", "--recordings", "4", "--minutes", "2"])
        load_encoder(settings).encode(torch.zeros(1, 18, 2048).numpy())  # warms up
        windows, alone_s = encoder_alone(bids, settings)
        print(f"{bids.name:<24}{'time':>8}{'windows/s':>12}")
        print(f"{'encoder alone':<24}{1:>8.2f}{windows / alone_s:>12.1f}")
        for jobs in (1, 2):
            store = Path(folder) / f"store-{jobs}"
            begin = time.perf_counter()
            extract(ExtractCommand(bids=bids, store=store, encoder=settings.encoder))
            taken_s = time.perf_counter() - begin
            print(f"{f'extraction, --jobs {jobs}':<24}{taken_s / alone_s:>8.2f}{windows / taken_s:>12.1f}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory of this process {peak:.2f} GB; starting processes is part of --jobs 2")
