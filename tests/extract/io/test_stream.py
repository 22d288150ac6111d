"""Windows of samples that come one after the other against those of a file of them."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extract.encoders.bandpower import BandpowerEncoder
from extract.encoders.protocol import EncoderSettings
from extract.io.montage import CHANNELS, DOUBLE_BANANA, NAMED
from extract.io.preparation import POLYPHASE
from extract.io.raw import open_signal
from extract.io.stream import SampleStream, lookahead_s
from store import FeatureSpec
from store.runtime.errors import UserError
from tests.helpers.detectors import write
from tests.helpers.sources import BytesInParts


class Trickle(io.BytesIO):
    """Bytes that come in parts of random sizes."""

    def __init__(self, content: bytes, most: int, seed: int = 0) -> None:
        super().__init__(content)
        self._random, self._most = np.random.default_rng(seed), most

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size or 0, int(self._random.integers(1, self._most + 1))))


def spec(**changes: object) -> FeatureSpec:
    encoder = BandpowerEncoder(EncoderSettings(encoder="bandpower"))
    return replace(encoder.spec, **changes)


def samples_of(path: Path) -> tuple[bytes, float]:
    with open_signal(path) as signal:
        content = signal.read(0, signal.samples).T.astype("<f4").tobytes()
        return content, signal.sample_rate_hz


def open_stream(content: bytes, rate_hz: float = 64, most: int = 1 << 16, **more: object) -> SampleStream:
    arguments = {"names": CHANNELS, "missing": "error", "montage": DOUBLE_BANANA, **more}
    return SampleStream(Trickle(content, most), rate_hz, **arguments)


@pytest.mark.parametrize("most", [7, 5000, 1 << 16])
@pytest.mark.parametrize(
    ("rate_hz", "seconds", "changes"),
    [
        (64, 62.25, {}),
        (64, 9.5, {"stride_s": 1}),
        (64, 3, {}),
        (1000, 70, {"stride_s": 2}),  # low-passed
        (250, 21, {"resampling": POLYPHASE, "sample_rate_hz": 200, "reference": "average"}),
        (200, 40, {"high_pass_hz": 0.5, "low_pass_hz": 40.0, "notch_hz": 50.0, "normalisation": "z-score"}),
    ],
)
def test_windows_are_those_of_a_file(
    tmp_path: Path, rate_hz: int, seconds: float, changes: dict[str, object], most: int
) -> None:
    if most == 7:
        seconds = min(seconds, 10)  # a call of Python for each few bytes
    wanted, path = spec(**changes), write(tmp_path / "x", rate_hz, seconds)
    content, rate_hz = samples_of(path)
    with open_signal(path) as signal:
        expected = np.concatenate(list(signal.windows(wanted, 32)))
    stream = open_stream(content, rate_hz, most)
    windows = np.concatenate(list(stream.windows(wanted)))
    assert windows.shape == expected.shape
    np.testing.assert_allclose(windows, expected, rtol=0, atol=1e-4)
    assert stream.has_ended
    assert stream.duration_s == signal.duration_s


def test_no_channel_of_a_plausible_amplitude() -> None:
    montage = NAMED["behind-the-ear"]
    noise = np.random.default_rng(0).normal(0, (0.3, 6000.0), (640, 2)).astype("<f4")
    with pytest.raises(
        UserError, match="standard input, first 60 s: no channel has the standard deviation of scalp EEG: focal"
    ):
        open_stream(noise.tobytes(), names=("BTEleft SD", "CROSStop SD"), missing="zero", montage=montage)


def test_a_window_comes_as_soon_as_it_can(tmp_path: Path) -> None:
    for changes in ({}, {"high_pass_hz": 0.5, "notch_hz": 50.0}, {"resampling": POLYPHASE, "sample_rate_hz": 150}):
        wanted = spec(**changes)
        content, rate_hz = samples_of(write(tmp_path / "x", 200, 100))
        source = BytesInParts(content, 18 * 4)
        stream = SampleStream(source, rate_hz, CHANNELS, "error", DOUBLE_BANANA)
        ahead_s = lookahead_s(wanted, rate_hz)
        assert (ahead_s > 0) == bool(changes)
        for index, _ in enumerate(stream.windows(wanted)):
            come_s = source.tell() / 18 / 4 / rate_hz
            if 60 < come_s < 100:
                assert come_s <= (index + 1) * 4 + ahead_s + 1 / rate_hz
        held = stream._held.shape[1] / rate_hz
        assert held < 30  # and the rest is forgotten


def test_channels_are_derived_and_missing_ones_are_zeros(tmp_path: Path) -> None:
    content, _ = samples_of(write(tmp_path / "x", channels=18))
    samples = np.frombuffer(content, "<f4").reshape(-1, 18)[:, ::-1]
    reversed_names = CHANNELS[::-1]
    stream = open_stream(samples.tobytes(), names=reversed_names)
    np.testing.assert_array_equal(stream.read(0, 10), np.frombuffer(content, "<f4").reshape(-1, 18)[:10].T)
    few = open_stream(samples[:, 13:].tobytes(), names=reversed_names[13:], missing="zero")
    assert few.channel_mask == (True,) * 5 + (False,) * 13
    assert not few.read(0, 10)[5:].any()


def test_a_channel_that_is_flat_at_first_is_missing(tmp_path: Path) -> None:
    samples = np.frombuffer(samples_of(write(tmp_path / "x"))[0], "<f4").reshape(-1, 18).copy()
    samples[:, 3] = 7
    with pytest.raises(UserError, match="standard input, first 60 s: flat from beginning to end: P3-O1; to use"):
        open_stream(samples.tobytes())
    assert open_stream(samples.tobytes(), missing="zero").channel_mask.index(False) == 3


def test_what_is_no_eeg_is_refused_in_a_line(tmp_path: Path) -> None:
    content, _ = samples_of(write(tmp_path / "x", seconds=70))
    samples = np.frombuffer(content, "<f4").reshape(-1, 18)
    late = samples.copy()
    late[65 * 64 + 32, 2] = np.nan
    for broken, rate_hz, names, message in (
        (b"", 64, CHANNELS, "standard input: no samples received; send float32, little-endian, microvolts"),
        (content[:-5], 64, CHANNELS, "ends after 67 of the 72 bytes of a sample of 18 channels as float32; check"),
        (content, 64, CHANNELS[:5], r"standard input: missing channel .*; to encode zeros instead"),
        (content, 64, ("ECG",), "can be derived; channels there: ECG; give the run's channels by --channel-names"),
        (content, 1, CHANNELS, "sample rate is 1 Hz; allowed: 10 to 100000"),
        (content, float("nan"), CHANNELS, "sample rate is nan Hz"),
        (late.tobytes(), 64, CHANNELS, "standard input: C3-P3 is not a finite number at 65.50 s"),
        (
            (samples * 1e-6).tobytes(),
            64,
            CHANNELS,
            "standard input, first 60 s: stand.* 5000; send float32",
        ),
        (content + content[:40], 64, CHANNELS, "ends after 40 of the 72 bytes"),
    ):
        with pytest.raises(UserError, match=message):
            list(open_stream(broken, rate_hz, names=names).windows(spec()))


@pytest.mark.parametrize("seconds", [2, 70])
@pytest.mark.parametrize("kind", ["<i2", "<i4", "<f8", ">f4", ">i2"])
@pytest.mark.parametrize("sd_uv", [30, 3000])
def test_samples_of_another_kind_are_refused_as_those_of_a_stream(kind: str, seconds: int, sd_uv: float) -> None:
    """A warning of numpy would fail the test."""
    samples = np.random.default_rng(0).normal(0, sd_uv, (64 * seconds, 18)).astype(kind)
    wanted = "send float32, little-endian, microvolts, all channels of a sample, then those of the next"
    with pytest.raises(UserError, match=r"standard input.*: ") as raised:
        open_stream(samples.tobytes())
    assert str(raised.value).endswith(wanted)
    for missing in ("error", "zero"):
        with pytest.raises(UserError) as raised:
            open_stream(samples.tobytes(), missing=missing)
        assert "header" not in str(raised.value)
        assert "export" not in str(raised.value)


def test_what_a_stream_is_asked_for_is_of_a_stream(tmp_path: Path) -> None:
    content, _ = samples_of(write(tmp_path / "x"))
    samples = np.frombuffer(content, "<f4").reshape(-1, 18)
    twice = np.hstack([samples, 2 * samples[:, :1]]).tobytes()
    with pytest.raises(UserError, match=r"standard input: FP1-F3 occurs twice .*; rename one of them in"):
        open_stream(twice, names=(*CHANNELS, "FP1-F3"))
    with pytest.raises(UserError, match=r"standard input, first 60 s: all channels are flat .*; check the sender"):
        open_stream(np.ones_like(samples).tobytes())
    polyphase = spec(resampling=POLYPHASE, sample_rate_hz=256)
    with pytest.raises(UserError, match=r"standard input: sampling rate is .*; correct the rate, or resample"):
        lookahead_s(polyphase, 255.99741)
