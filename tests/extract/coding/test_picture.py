"""The picture of the codec: rows that do not overlap, a scale, the error beneath."""

import numpy as np
import pytest

from extract.coding.picture import draw_codec, round_scale, stack_rows


def test_no_row_reaches_into_the_next():
    rng = np.random.default_rng(0)
    rows = [scale * rng.normal(size=(2, 300)) for scale in (5, 80, 1, 400, 0)]
    offsets = stack_rows(rows)
    for above, below, upper, lower in zip(rows, rows[1:], offsets, offsets[1:], strict=False):
        assert (below + lower).max() < (above + upper).min()


def test_the_scale_is_a_round_number_that_fits():
    for value in np.geomspace(0.003, 7e4, 50):
        scale = round_scale(value)
        assert scale <= value < 2.5 * scale
        assert f"{scale:e}"[0] in "125"


def test_the_svg_names_channels_scale_and_what_is_drawn():
    times_s = np.arange(12 * 64) / 64
    original = (60 * np.sin(2 * np.pi * np.arange(1, 4)[:, None] * times_s)).astype(np.float32)
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        svg = draw_codec(
            original, 0.9 * original, 64, ("F3-C3", "C3-P3", "P3-O1"), "$1 PRD 10.0 %", "svg", "us"
        ).decode()
    for text in (
        "F3-C3",
        "C3-P3",
        "P3-O1",
        "$1 PRD 10.0 %; 10 s from 0:00:01 on",
        "<dc:title>us<",
        "original",
        "decoded",
        "error",
        "1 s",
    ):
        assert text in svg
    assert "µV" in svg


@pytest.mark.parametrize("samples", [1, 64])
def test_a_short_or_silent_recording_is_drawn(samples):
    silent = np.zeros((2, samples), np.float32)
    assert draw_codec(silent, silent, 64, ("A", "B"), "silent", "png", "us").startswith(b"\x89PNG")
