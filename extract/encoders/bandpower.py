"""Band powers as an encoder: the control for any claim about a trained encoder."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.encoders.protocol import EncoderSettings
from store import FeatureSpec
from store.runtime.errors import UserError

BANDS_HZ = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 48)}
_POWER_FLOOR_UV2 = 1e-3  # keeps the logarithm of a silent channel finite


class BandpowerEncoder:
    """Five log band powers and the log line length of each second: what a trained encoder has to beat."""

    codebooks = None

    def __init__(self, settings: EncoderSettings) -> None:
        if settings.features == "codes":
            raise UserError("features codes: bandpower has no quantizer; use features latents")
        rate_hz = 512
        self.provenance: dict[str, Any] = {"name": "bandpower", "bands_hz": BANDS_HZ}
        self.spec = FeatureSpec(
            encoder="bandpower",
            weights_sha256="",
            features="latents",
            dtype="float16",
            sample_rate_hz=rate_hz,
            window_s=4,
            stride_s=settings.stride,
            hop=rate_hz,
            frames=4,
            dims=len(BANDS_HZ) + 1,
            channels=settings.channels,
            resampling="linear, each window",
            precision="float32",
        )

    def encode(self, windows_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(B, C, N)`` microvolts -> ``(B, F, C, D)``: log10 of band powers in uV^2, mean |difference| in uV."""
        rate_hz = self.spec.sample_rate_hz
        seconds = windows_uv.reshape(*windows_uv.shape[:2], -1, rate_hz)  # (B, C, F, rate)
        taper = np.hanning(rate_hz).astype(np.float32)
        centred = seconds - seconds.mean(-1, keepdims=True)
        power = np.abs(np.fft.rfft(centred * taper)) ** 2 * 2 / (rate_hz * np.square(taper).sum())
        bands = [power[..., low:high].sum(-1) for low, high in BANDS_HZ.values()]  # a bin is 1 Hz
        length = np.abs(np.diff(seconds)).mean(-1)
        features = np.stack([*bands, length], -1)
        return np.log10(features + _POWER_FLOOR_UV2).transpose(0, 2, 1, 3).astype(np.float32)
