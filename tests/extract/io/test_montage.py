"""The channels of a montage out of any names: against electrode potentials, and the odd names of real files."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.io.montage import (
    CHANNELS,
    ELECTRODES,
    NAMED,
    Derivation,
    Montage,
    as_recorded,
    clean_name,
    derive,
    from_spec,
    has_zeros,
    parse_name,
)
from store import FeatureSpec
from store.runtime.errors import UserError
from tests.helpers.stores import SPEC

PAIRS = tuple(tuple(channel.split("-")) for channel in CHANNELS)

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
        ("01", ("01", "")),
        ("P3-O1", ("P3", "O1")),
        ("T8-P8-0", ("T8", "P8")),
        ("T8-P8-12", ("T8", "P8")),
        ("F7-0", ("F7", "")),
        ("BTEleft SD", ("BTELEFTSD", "")),
        ("FP1-F7-T7", ("FP1-F7-T7", "")),
        ("Ch-1", ("CH", "1")),
    ],
)
def test_names(name, parsed):
    assert parse_name(name) == parsed


@pytest.mark.parametrize("name", ["01", "EEG 01-REF", "P3-01"])
def test_zero_stands_for_the_letter_where_a_file_says_so(name):
    assert "O1" in parse_name(name, zeros=True)
    assert "01" in parse_name(name)


@pytest.mark.parametrize("more", [(), ("CZ", "A1"), ("ECG",)])
def test_numbered_channels_are_no_electrodes(more):
    names = [*(f"EEG {number:02}" for number in range(1, 20)), *more]
    montage = NAMED["referential-1020"]
    if "CZ" in more:
        sources = derive(names, "zero", montage)
        assert [name for name, there in zip(ELECTRODES, sources.mask, strict=True) if there] == ["CZ"]
    else:
        with pytest.raises(
            UserError, match="no channel of referential-1020 can be derived; channels there: EEG 01"
        ):
            derive(names, "zero", montage)
    own = as_recorded([clean_name(name, has_zeros(names)) for name in names])
    assert own.channels[:3] == ("01", "02", "03")
    assert derive(names, montage=own).plus == tuple(range(len(names)))


def test_zeros_beside_electrodes_are_the_letter():
    names = ["EEG P3-REF", "EEG 01-REF", "EEG P4-REF", "EEG 02-REF"]
    assert [name for name, there in zip(CHANNELS, derive(names, "zero").mask, strict=True) if there] == [
        "P3-O1",
        "P4-O2",
    ]
    assert clean_name("EEG 01-REF", has_zeros(names)) == "O1-REF"
    table = Montage("table", (Derivation("left", "P3", "01"), Derivation("right", "02")))
    assert derive(names, montage=table).plus == (0, 3)


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("montage", [NAMED["double-banana"], NAMED["referential-1020"]], ids=lambda m: m.name)
def test_junk_is_no_channel_of_a_montage(name, montage):
    with pytest.raises(UserError, match=f"no channel of {montage.name} can be derived; channels there"):
        derive([name], missing="zero", montage=montage)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=16))
def test_a_clean_name_is_the_same_channel(name):
    assert parse_name(clean_name(name)) == parse_name(name)


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
    message = r"missing channel F7-T7, T7-P7; channels there: FP1-F3, .*; .* add --missing zero"
    with pytest.raises(ValueError, match=message):
        derive(names)


def test_no_channel_at_all_is_refused():
    with pytest.raises(
        ValueError,
        match="no channel of double-banana can be derived; channels there: ECG, F3",
    ):
        derive(["ECG", "F3"], missing="zero")


def test_electrodes_of_one_reference():
    names = [f"EEG {name}-REF" for name in reversed(ELECTRODES)]
    sources = derive([*names, "EKG1-REF", "FP1-F7"], montage=NAMED["referential-1020"])
    assert sources.channels == ELECTRODES
    assert sources.plus == tuple(reversed(range(19)))
    assert sources.minus == (None,) * 19
    np.testing.assert_array_equal(sources.apply(np.arange(19.0)[:, None])[:, 0], np.arange(18.0, -1, -1))


def test_electrodes_of_another_reference_are_missing():
    names = [*(f"{name}-A1" for name in ELECTRODES[:12]), *(f"{name}-A2" for name in ELECTRODES[12:])]
    assert derive(names, "zero", NAMED["referential-1020"]).mask == (True,) * 12 + (False,) * 7


def test_an_electrode_may_be_the_reference_of_all():
    names = [f"{name}-CZ" for name in ELECTRODES if name != "CZ"]
    sources = derive(names, "zero", NAMED["referential-1020"])
    assert [name for name, there in zip(ELECTRODES, sources.mask, strict=True) if not there] == ["CZ"]


def test_bipolar_channels_are_no_electrodes():
    with pytest.raises(UserError, match="no channel of referential-1020"):
        derive(CHANNELS, "zero", NAMED["referential-1020"])


@pytest.mark.parametrize(
    ("names", "used"),
    [
        (("BTEleft SD", "CROSStop SD"), (0, 1)),
        (("CROSStop SD", "BTEright SD"), (1, 0)),
        (("BTEright SD", "BTEleft SD"), (1, 0)),
    ],
)
def test_derivations_of_one_name_are_tried_in_order(names, used):
    sources = derive(names, montage=NAMED["behind-the-ear"])
    assert (sources.channels, sources.plus, sources.minus) == (("focal", "cross"), used, (None, None))


def test_channels_as_recorded_are_found_in_any_spelling():
    recorded = ["EEG Fp1", "AF3", "BTEleft SD", "F7-T3", "C3-A2"]
    montage = as_recorded([clean_name(name) for name in recorded])
    assert montage.channels == ("FP1", "AF3", "BTEleft SD", "F7-T7", "C3-A2")
    assert derive(recorded, montage=montage).plus == (0, 1, 2, 3, 4)
    assert derive(["C3-A2", "f7-t7", "EEG bteleft sd", "af3", "FP1", "X"], montage=montage).plus == (4, 3, 2, 1, 0)


def test_channels_as_recorded_keep_their_own_reference():
    recorded = ["EEG FP1-REF", "EEG F3-REF", "EEG C3-REF", "CZ"]
    montage = as_recorded([clean_name(name) for name in recorded])
    assert derive(recorded, montage=montage).plus == (0, 1, 2, 3)
    assert derive([*recorded[:3], "CZ-REF"], "zero", montage).mask == (True, True, True, False)


def test_a_table_takes_the_channel_of_just_that_name_first():
    table = Montage("table", tuple(Derivation(name, name) for name in ("FP1-REF", "F3", "CZ")))
    assert derive(["CZ-REF", "EEG FP1-REF", "F3-REF", "CZ"], montage=table).plus == (1, 2, 3)
    assert derive(["CZ-REF", "EEG FP1-REF", "F3-REF"], montage=table).plus == (1, 2, 0)


def test_excluded_channels_are_missing():
    montage = as_recorded(["F7", "F8"])
    assert derive(["F7", "F8"], "zero", montage, excluded=["F8"]).mask == (True, False)
    with pytest.raises(UserError, match="missing channel F8; channels there: F7; to encode zeros"):
        derive(["F7", "F8"], montage=montage, excluded=["F8"])


def test_a_table_survives_its_spec():
    montage = Montage("table", (Derivation("left", "T7", "A1"), Derivation("left", "T7"), Derivation("z", "CZ")))
    spec = replace(SPEC, montage=montage.name, derivations=montage.rows, channels=montage.channels)
    assert from_spec(FeatureSpec.from_json(spec.to_json())) == montage
    assert derive(["CZ", "T3-A1", "T7"], montage=montage).plus == (1, 0)


def test_a_missing_channel_says_what_it_is_derived_from():
    derivations = (Derivation("left", "T7", "A1"), Derivation("left", "T7"), Derivation("CZ", "CZ"))
    with pytest.raises(UserError, match=r"missing channel left \(T7-A1 or T7\), CZ; channels there: PZ, F7-A1; "):
        derive(["PZ", "F7-A1"], montage=Montage("table", (*derivations, Derivation("z", "PZ"))))


@pytest.mark.parametrize("montage", [*NAMED.values(), as_recorded(["AF3", "O1"])], ids=lambda m: m.name)
def test_a_montage_follows_from_its_spec(montage):
    assert from_spec(replace(SPEC, montage=montage.name, channels=montage.channels)) == montage


def test_a_montage_of_a_later_version_is_refused():
    with pytest.raises(UserError, match="montage laplacian: not known here; known are double-banana, "):
        from_spec(replace(SPEC, montage="laplacian"))


def test_recordings_without_any_channel_of_a_montage_name_both_remedies():
    with pytest.raises(
        UserError,
        match=r"no channel of referential-1020 can be derived; .*; give another --montage, "
        r"such as as-recorded; an encoder that takes this one alone cannot encode them",
    ):
        derive(["F7-T7", "T7-P7"], missing="zero", montage=NAMED["referential-1020"])
