"""Recordings of a store as xarray data sets, with names and times on their axes."""

from typing import Any

import numpy as np

from store.reader import Store
from store.runtime.errors import UserError
from store.schema import RecordingInfo


def to_xarray(store: Store, info: RecordingInfo) -> Any:
    """One recording as an `xarray.Dataset`, in memory.

    ``latents (window, frame, channel, dim)`` float32 and ``label (second)``; ``window`` is the second at which a
    window begins, ``frame`` the seconds from there. What is known of the recording is among the attributes.

    Raises
    ------
    UserError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise UserError(
            "xarray is not installed; pip install --editable '.[xarray]' in the project's folder"
        ) from error
    spec = store.spec
    return xarray.Dataset(
        {
            "latents": (("window", "frame", "channel", "dim"), store.latents(info)),
            "label": (("second",), store.stored_labels(info)),
        },
        coords={
            "window": spec.stride_s * np.arange(info.windows),
            "frame": np.arange(spec.frames) * (spec.window_s / spec.frames),
            "channel": list(spec.channels),
            "second": np.arange(info.seconds),
        },
        attrs={
            "recording": info.name,
            "person": info.person,
            "start": info.start,
            "duration_s": info.duration_s,
            "labelled": int(info.labelled),
            "encoder": spec.encoder,
            "montage": spec.montage,
        },
    )
