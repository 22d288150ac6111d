"""Identity and geometry of a store."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.layout import spread_frames
from store.runtime.errors import StoreError
from store.schema import FeatureSpec, count_seconds, count_windows
from tests.helpers.stores import SPEC


def test_spec_survives_json() -> None:
    assert FeatureSpec.from_json(SPEC.to_json()) == SPEC


def test_spec_json_is_sorted_and_stable() -> None:
    assert SPEC.to_json() == replace(SPEC).to_json()
    assert SPEC.to_json().index('"channels"') < SPEC.to_json().index('"window_s"')


def test_spec_of_other_fields_is_refused() -> None:
    with pytest.raises(StoreError, match="missing or unknown fields: hop, jump"):
        FeatureSpec.from_json(SPEC.to_json().replace('"hop"', '"jump"'))


def test_channels_that_are_no_list_are_refused() -> None:
    values = {**json.loads(SPEC.to_json()), "channels": None}
    with pytest.raises(StoreError, match="feature spec has channels None, expected a list of names"):
        FeatureSpec.from_json(json.dumps(values))


def test_what_earlier_specs_lack_has_its_default() -> None:
    """So files and runs of earlier versions keep their identity."""
    assert SPEC.to_dict().keys() == {
        *("channels", "dims", "dtype", "encoder", "features", "frames", "hop", "precision", "resampling"),
        *("sample_rate_hz", "stride_s", "weights_sha256", "window_s"),
    }
    assert (SPEC.montage, SPEC.input_channels, SPEC.unit) == ("double-banana", SPEC.channels, "uV")
    changed = replace(SPEC, montage="as-recorded", notch_hz=50.0)
    assert changed.to_dict().keys() - SPEC.to_dict().keys() == {"montage", "notch_hz"}
    assert (
        SPEC.difference(changed)
        == "montage is 'double-banana', wanted 'as-recorded'; notch_hz is 0.0, wanted 50.0"
    )


@pytest.mark.parametrize(("frames", "expected"), [(1, 4), (2, 4), (4, 4), (8, 8), (32, 32), (3, 3), (5, 5)])
def test_heads_get_a_frame_for_each_second(frames: int, expected: int) -> None:
    spec = replace(SPEC, frames=frames)
    assert spec.head_frames == expected
    assert spread_frames(np.zeros((2, frames, 3, 5)), 4).shape == (2, expected, 3, 5)


def test_difference_names_field_stored_and_wanted() -> None:
    assert SPEC.difference(SPEC) == ""
    assert SPEC.difference(replace(SPEC, hop=16)) == "hop is 256, wanted 16"
    one, other = (replace(SPEC, weights_sha256=digit * 64) for digit in "0a")
    assert one.difference(other) == "weights_sha256 is '000000000000...', wanted 'aaaaaaaaaaaa...'"


def test_long_lists_are_shortened_and_follow_from_the_montage() -> None:
    spec = replace(SPEC, channels=tuple(f"C{n}" for n in range(18)))
    fewer = replace(SPEC, channels=(*spec.channels[2:], "A1"))
    assert spec.difference(fewer) == "channels: 18 (only here: C0, C1), wanted 17 (only there: A1)"
    assert spec.difference(replace(spec, channels=spec.channels[::-1])) == "channels is in another order"
    other = replace(SPEC, channels=tuple(f"E{n}" for n in range(19)))
    assert spec.difference(other).endswith("wanted 19 (only there: E0, E1, E2 and 16 more)")
    other = replace(other, montage="referential-1020", derivations=other.channels, stride_s=1)
    expected = "montage is 'double-banana', wanted 'referential-1020'; stride_s is 4, wanted 1"
    assert spec.difference(other) == expected


@given(st.integers(1, 20_000), st.integers(1, 8), st.data())
def test_windows_cover_every_second_and_none_is_useless(seconds: int, window_s: int, data: st.DataObject) -> None:
    stride_s = data.draw(st.integers(1, window_s))
    windows = count_windows(seconds, window_s, stride_s)
    assert (windows - 1) * stride_s + window_s >= seconds
    assert windows == 1 or (windows - 2) * stride_s + window_s < seconds


@pytest.mark.parametrize("stride_s", [0, 5])
def test_stride_that_leaves_seconds_out_is_refused(stride_s: int) -> None:
    with pytest.raises(
        ValueError, match=f"stride is {stride_s} s; allowed: whole seconds from 1 to the window's 4"
    ):
        count_windows(100, 4, stride_s)


def test_rounding_noise_adds_no_second() -> None:
    assert count_seconds(3600 * 256 / 256) == 3600
    assert count_seconds(0.1 * 30) == 3
    assert count_seconds(3.01) == 4
