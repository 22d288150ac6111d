"""Errors of decoded signals, in total and by frequency band."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.floating]

BANDS_HZ = {"delta": (0.5, 4), "theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "above": (30, np.inf)}
WINDOW_S = 4


def channel_prd(original_uv: Rows, decoded_uv: Rows) -> npt.NDArray[np.float64]:
    """Percent root-mean-square difference of each row; nan for a row of zeros.

    >>> channel_prd(np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 3.0]], np.float32)).round(3)
    array([20.])
    """
    error, power = ((original_uv - decoded_uv) ** 2.0).sum(1), (original_uv**2.0).sum(1)
    share: npt.NDArray[np.float64] = np.divide(error, power, out=np.full(len(power), np.nan), where=power > 0)
    return 100 * np.sqrt(share)


def overall_prd(original_uv: Rows, decoded_uv: Rows) -> float:
    """Percent root-mean-square difference of all rows together; nan if all are zeros."""
    return float(channel_prd(original_uv.reshape(1, -1), decoded_uv.reshape(1, -1))[0])


def band_prd(original_uv: Rows, decoded_uv: Rows, rate_hz: float) -> dict[str, float]:
    """PRD of all rows in each band of `BANDS_HZ`: the error's energy over the signal's, of windows of 4 s.

    The tail that fills no window is left out. A band above half of the rate, or without energy, gives nan.
    """
    samples = round(WINDOW_S * rate_hz)
    whole = original_uv.shape[1] // samples * samples
    pairs = (original_uv, original_uv - decoded_uv)
    taper = np.hanning(samples)
    power, error = (
        (np.abs(np.fft.rfft(rows[:, :whole].reshape(-1, samples) * taper)) ** 2).sum(0) for rows in pairs
    )
    hertz = np.fft.rfftfreq(samples, 1 / rate_hz)
    prds = {}
    for name, (low, high) in BANDS_HZ.items():
        inside = (hertz >= low) & (hertz < high)
        energy = power[inside].sum()
        prds[name] = float(100 * np.sqrt(error[inside].sum() / energy)) if energy > 0 else float("nan")
    return prds
