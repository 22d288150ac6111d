"""EEG files of given channels, and changes to their headers."""

import edfio
import numpy as np

from extract.io.montage import CHANNELS
from tests.helpers.eeg import RATE_HZ


def noise(seed=0, seconds=4, rate_hz=RATE_HZ, sd_uv=30.0):
    return np.random.default_rng(seed).normal(0, sd_uv, seconds * rate_hz)


def channel(name, data_uv=None, rate_hz=RATE_HZ, unit="uV", bounds=(-800, 800)):
    data_uv = noise(sum(map(ord, name)), rate_hz=rate_hz) if data_uv is None else data_uv
    return edfio.EdfSignal(data_uv, rate_hz, label=name, physical_dimension=unit, physical_range=bounds)


def write_edf(path, channels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(channels, **options).write(path)
    return path


def with_channel(*replaced):
    """The 18 channels, those of the same name replaced, others added at the end."""
    changed = {signal.label: signal for signal in replaced}
    return [changed.pop(name, None) or channel(name) for name in CHANNELS] + list(changed.values())


def rewrite(path, at, text, width=8):
    """Write over a field of an EDF file."""
    data = bytearray(path.read_bytes())
    data[at : at + width] = text.ljust(width).encode("latin-1")
    path.write_bytes(data)
    return path


def write_brainvision(tmp_path, data_uv, unit="µV"):
    """A BrainVision file of 32-bit floats, the one format here that can hold a NaN."""
    lines = [f"Ch{i}={name},,1,{unit}" for i, name in enumerate(CHANNELS, 1)]
    text = [
        "Brain Vision Data Exchange Header File Version 1.0",
        *("[Common Infos]", "Codepage=UTF-8", "DataFile=one.eeg", "MarkerFile=one.vmrk", "DataFormat=BINARY"),
        *("DataOrientation=MULTIPLEXED", "NumberOfChannels=18", f"SamplingInterval={1e6 / RATE_HZ}"),
        *("[Binary Infos]", "BinaryFormat=IEEE_FLOAT_32", "[Channel Infos]", *lines),
    ]
    (tmp_path / "one.vhdr").write_text("\n".join(text), encoding="utf-8")
    (tmp_path / "one.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n[Marker Infos]\n")
    np.asarray(data_uv, "<f4").T.tofile(tmp_path / "one.eeg")
    return tmp_path / "one.vhdr"
