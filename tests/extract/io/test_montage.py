"""The 18 channels out of any names: against electrode potentials, and the odd names of real files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.io.montage import CHANNELS, ELECTRODES, PAIRS, derive, parse_name

JUNK = ("-", ".", "ECG", "EKG1-CHIN", "ECG-C3", "EMG", "FT9-FT10", "C2", "VNS", "--0", "LOC-ROC", "EEG", "")
OTHER_NAMES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6", "O1": "01", "O2": "02"}


@st.composite
def recordings(draw):
    """Potentials of the electrodes, and raw channels in any order, polarity, spelling and reference."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    potentials = {name: rng.normal(0, 50, 5) for name in sorted(ELECTRODES)}
    raw = [(name, rng.normal(0, 1e4, 5)) for name in draw(st.lists(st.sampled_from(JUNK), max_size=6))]
    reference, reference_uv = draw(st.sampled_from(["", "-REF", "-Le", " - CS2"])), rng.normal(0, 50, 5)
    referential = set()
    for plus, minus in PAIRS:
        way = draw(st.sampled_from(["there", "reversed", "referential"]))
        if way == "referential":
            referential |= {plus, minus}
        else:
            first, second = (plus, minus) if way == "there" else (minus, plus)
            raw.append((f"{spell(draw, first)}-{spell(draw, second)}", potentials[first] - potentials[second]))
    raw += [(spell(draw, name) + reference, potentials[name] - reference_uv) for name in sorted(referential)]
    return potentials, draw(st.permutations(raw))


def spell(draw, electrode):
    name = OTHER_NAMES.get(electrode, electrode) if draw(st.booleans()) else electrode
    return draw(st.sampled_from([str.lower, str.upper, str.capitalize]))(name)


@given(recordings())
def test_channels_are_differences_of_electrodes(recording):
    potentials, raw = recording
    montage = derive([f"EEG {name}" if index % 2 else name for index, (name, _) in enumerate(raw)])
    derived_uv = montage.apply(np.stack([raw[index][1] for index in montage.used]))
    expected_uv = np.stack([potentials[plus] - potentials[minus] for plus, minus in PAIRS])
    assert montage.mask == (True,) * 18
    assert derived_uv.dtype == np.float32
    np.testing.assert_allclose(derived_uv, expected_uv, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("Fp1-F3", ("FP1", "F3")),
        ("EEG FP1-REF", ("FP1", "REF")),
        ("EEG T5-LE", ("P7", "LE")),
        ("Fp1.", ("FP1", "")),
        ("  f3 - c3 ", ("F3", "C3")),
        ("01", ("O1", "")),
        ("P3-01", ("P3", "O1")),
        ("T8-P8-0", ("T8", "P8")),
        ("T8-P8-12", ("T8", "P8")),
        ("F7-0", ("F7", "")),
        *((name, None) for name in JUNK),
    ],
)
def test_names(name, parsed):
    assert parse_name(name) == parsed


def test_channel_that_is_there_wins_over_difference():
    montage = derive(["CZ", "FZ", "FZ-CZ"], missing="zero")
    assert (montage.plus[8], montage.minus[8]) == (2, None)


def test_references_are_not_mixed():
    montage = derive(["FZ-A1", "CZ-A2", "PZ-A2"], missing="zero")
    assert montage.mask[8:10] == (False, True)
    assert derive(["FZ", "CZ-REF", "PZ-REF"], missing="zero").mask[8:10] == (False, True)


def test_electrode_as_reference():
    montage = derive(["F3-CZ", "C3-CZ", "FZ-CZ", "PZ-CZ"], missing="zero")
    assert (montage.plus[1], montage.minus[1]) == (0, 1)
    assert (montage.plus[8], montage.minus[8]) == (2, None)
    assert (montage.plus[9], montage.minus[9]) == (None, 3)


def test_first_of_duplicates_is_used():
    montage = derive(["T8-P8", "X", "T4-T6", "T8-P8-1", "P3", "P3"], missing="zero")
    assert montage.used == (0,)
    assert montage.duplicates == ((0, 2), (0, 3))
    assert montage.needed == (0, 2, 3)


def test_missing_channels_are_zeros_and_masked():
    names = [name for name in CHANNELS if name != "F8-T8"]
    montage = derive(names, missing="zero")
    derived_uv = montage.apply(np.ones((17, 3)))
    assert [name for name, there in zip(CHANNELS, montage.mask, strict=True) if not there] == ["F8-T8"]
    np.testing.assert_array_equal(derived_uv.any(axis=1), montage.mask)


def test_without():
    montage = derive(CHANNELS).without([0, 17])
    assert montage.used == tuple(range(1, 17))
    assert montage.mask == (False, *[True] * 16, False)


def test_missing_channel_is_refused():
    names = [name for name in CHANNELS if "T7" not in name]
    message = r"missing channel F7-T7, T7-P7; channels there: FP1-F3, .*; .* use --missing zero"
    with pytest.raises(ValueError, match=message):
        derive(names)


def test_no_channel_at_all_is_refused():
    with pytest.raises(
        ValueError, match="none of the 18 bipolar channels can be derived; channels there: ECG, F3"
    ):
        derive(["ECG", "F3"], missing="zero")
