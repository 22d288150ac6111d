"""The low-pass before resampling: what would alias is gone, the rest stays, wherever a recording is cut."""

from itertools import pairwise
from pathlib import Path

import edfio
import numpy as np
import pytest
from numpy.typing import NDArray

import store
from extract.__main__ import main
from extract.encoders.protocol import EncoderSettings
from extract.encoders.registry import load_encoder, needs_low_pass
from extract.io.antialias import Read, low_pass_taps, low_passed
from extract.io.montage import CHANNELS
from extract.io.windows import WindowShape, window_blocks
from tests.helpers.eeg import HEADER

RATE_HZ = 2000


def reader(signal_uv: NDArray[np.float32]) -> Read:
    return lambda start, stop: signal_uv[:, start:stop]


def tone(frequency_hz: float, seconds: float = 12, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.tile(30 * np.sin(2 * np.pi * frequency_hz * times_s), (18, 1)).astype(np.float32)


def windows(signal_uv: NDArray[np.float32], rate_hz: float = RATE_HZ, block: int = 100) -> NDArray[np.float32]:
    blocks = window_blocks(reader(signal_uv), signal_uv.shape[1], rate_hz, WindowShape(4, 2, 512), block)
    return np.concatenate(list(blocks))


@pytest.mark.parametrize("frequency_hz", [260, 490, 512, 700, 999])
def test_what_would_alias_is_gone(frequency_hz: float) -> None:
    assert np.abs(windows(tone(frequency_hz))[1:-1]).max() < 30 * 1.2e-4


@pytest.mark.parametrize("frequency_hz", [1, 10, 48])
def test_what_fits_stays_where_it_is(frequency_hz: float) -> None:
    """Amplitude and phase, up to linear interpolation; sample k of the window is at (k + 0.5) / 512 s."""
    times_s = (np.arange(2048) + 0.5) / 512 - 0.5 / RATE_HZ + 2
    expected_uv = 30 * np.sin(2 * np.pi * frequency_hz * times_s)
    np.testing.assert_allclose(windows(tone(frequency_hz))[1, 0], expected_uv, atol=0.1)


@pytest.mark.parametrize("rate_hz", [600, 1000, 2000])
def test_blocks_do_not_matter(rate_hz: int) -> None:
    signal_uv = np.random.default_rng(rate_hz).normal(0, 30, (18, 11 * rate_hz + 77)).astype(np.float32)
    whole = windows(signal_uv, rate_hz)
    for block in (1, 2, 3):
        np.testing.assert_array_equal(windows(signal_uv, rate_hz, block), whole)


@pytest.mark.parametrize("samples", [1, 5, 60, 99, 100, 150, 1000])
def test_it_is_the_convolution_of_the_mirrored_recording(samples: int) -> None:
    signal_uv = np.random.default_rng(samples).normal(0, 30, (2, samples)).astype(np.float32)
    taps = low_pass_taps(RATE_HZ, 512)
    half = len(taps) // 2
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    mirrored = np.pad(signal_uv.astype(np.float64), ((0, 0), (half, half)), mode="symmetric")
    expected = np.stack([np.convolve(row, taps, "valid") for row in mirrored])
    read = low_passed(reader(signal_uv), samples, RATE_HZ, 512)
    np.testing.assert_allclose(read(0, samples), expected, atol=1e-4)
    cuts = sorted({0, samples // 3, samples // 2, samples})
    parts = [read(start, stop) for start, stop in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), read(0, samples))


@pytest.mark.parametrize("rate_hz", [128, 256, 500, 512])
def test_lower_rates_are_left_alone(rate_hz: float) -> None:
    read = reader(np.zeros((18, 9), np.float32))
    assert low_passed(read, 9, rate_hz, 512) is read


def write_recording(bids: Path, subject: str, rate_hz: int) -> None:
    """Ten seconds of a rhythm at 10 Hz, and above 512 Hz of a tone of 490 Hz that aliases to 22 Hz."""
    signal_uv = tone(10, 10, rate_hz) + (5 * tone(490, 10, rate_hz) if rate_hz > 980 else 0)
    folder = bids / f"sub-{subject}" / "eeg"
    folder.mkdir(parents=True)
    noise_uv = np.random.default_rng(rate_hz).normal(0, 1, signal_uv.shape)
    rows = [
        edfio.EdfSignal(row, rate_hz, label=name, physical_dimension="uV", physical_range=(-300, 300))
        for row, name in zip(signal_uv + noise_uv, CHANNELS, strict=True)
    ]
    edfio.Edf(rows).write(folder / f"sub-{subject}_task-sz_run-00_eeg.edf")
    events = f"{HEADER}\n0.0\t10.0\tbckg\tn/a\tn/a\tn/a\t10.0\n"
    (folder / f"sub-{subject}_task-sz_run-00_events.tsv").write_text(events)


def extract(bids: Path, folder: Path, *more: str) -> int:
    return main(["--bids", str(bids), "--store", str(folder), "--encoder", "bandpower", *more])


def test_a_store_says_so_and_agrees_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bids = tmp_path / "bids"
    write_recording(bids, "01", 256)
    assert extract(bids, tmp_path / "before") == 0
    assert store.open(tmp_path / "before").spec.resampling == "linear, each window"
    write_recording(bids, "02", 2000)
    assert extract(bids, tmp_path / "first", "--subject", "01") == 0
    assert extract(bids, tmp_path / "first") == 0
    opened = store.open(tmp_path / "first")
    assert opened.spec.resampling == "linear, each window, low-passed first where the rate is higher"
    low, high = (opened.latents(info) for info in opened.recordings)
    np.testing.assert_array_equal(low, store.open(tmp_path / "before").latents(opened.recordings[0]))
    beta = 10 ** high[1, 1:3, :, 3]  # 490 Hz would alias there with 100 uV^2 and more
    assert beta.max() < 5
    assert np.abs(low[1, 1:3, :, 2] - high[1, 1:3, :, 2]).max() < 0.05
    capsys.readouterr()
    assert extract(bids, tmp_path / "before") != 0
    assert (
        "resampling is 'linear, each window', wanted 'linear, each window, low-passed" in capsys.readouterr().err
    )


def test_the_spec_is_for_the_whole_data_set(tmp_path: Path) -> None:
    write_recording(tmp_path, "01", 256)
    low = EncoderSettings(encoder="bandpower")
    paths = list(tmp_path.rglob("*.edf"))
    assert not needs_low_pass(low, paths)
    said = load_encoder(EncoderSettings(encoder="bandpower", low_passed=True)).spec
    assert needs_low_pass(low, paths, said)
    assert not needs_low_pass(low, paths, load_encoder(low).spec)
