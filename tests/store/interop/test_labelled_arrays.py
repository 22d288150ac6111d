"""Recordings as xarray data sets."""

import sys
from pathlib import Path

import numpy as np
import pytest

import store
from store.interop.labelled_arrays import to_xarray
from store.runtime.errors import UserError
from tests.helpers.stores import write_subject


def test_axes_have_times_and_names(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="needs xarray, an extra")
    write_subject(tmp_path, "01", [42, 37], seed=0)
    opened = store.open(tmp_path)
    info = opened.recordings[1]
    recording = to_xarray(opened, info)
    assert dict(recording.sizes) == {"window": 10, "frame": 8, "channel": 3, "dim": 5, "second": 37}
    np.testing.assert_array_equal(
        recording.latents.sel(channel="F3-C3", window=8, frame=1.5), opened.latents(info)[2, 3, 1]
    )
    assert recording.label.sel(second=slice(20, 34)).all()
    assert int(recording.label.sum()) == 15
    assert (recording.attrs["recording"], recording.attrs["montage"]) == (info.name, "double-banana")


def test_without_xarray_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_subject(tmp_path, "01", [42], seed=0)
    opened = store.open(tmp_path)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UserError, match=r"xarray is not installed; pip install --editable '\.\[xarray\]'"):
        to_xarray(opened, opened.recordings[0])
