"""Samples that no EEG has: not finite, flat, of a wrong unit, two channels of one name."""

import re

import numpy as np
import pytest

from extract.io import signal_checks
from extract.io.montage import CHANNELS, NAMED
from extract.io.raw import open_signal
from store.runtime.errors import UserError
from tests.helpers.signal_files import channel, noise, with_channel, write_brainvision, write_edf


def test_nan_names_channel_and_second(tmp_path, monkeypatch):
    monkeypatch.setattr(signal_checks, "SCAN_S", 1)
    data_uv = np.stack([noise(i) for i in range(18)])
    data_uv[3, 160] = np.nan
    with pytest.raises(ValueError, match=r"one.vhdr: P3-O1 is not a finite number at 2.50 s; export"):
        open_signal(write_brainvision(tmp_path, data_uv))


@pytest.mark.parametrize("level_uv", [0.0, 137.5])
def test_flat_channel(edf, level_uv):
    write_edf(edf, with_channel(channel("F8-T8", np.full(256, level_uv))))
    with pytest.raises(ValueError, match=r"one.edf: flat from beginning to end: F8-T8; .* --missing zero"):
        open_signal(edf)
    with open_signal(edf, missing="zero") as signal:
        assert [CHANNELS[row] for row, there in enumerate(signal.channel_mask) if not there] == ["F8-T8"]
        assert not signal.read(0, 256)[15].any()


def test_flat_electrode_takes_its_derivations_along(edf):
    electrodes = sorted({name for pair in CHANNELS for name in pair.split("-")})
    write_edf(edf, [channel(name, np.zeros(256) if name == "CZ" else None) for name in electrodes])
    with pytest.raises(ValueError, match="flat from beginning to end: FZ-CZ, CZ-PZ;"):
        open_signal(edf)


def test_channel_flat_for_a_while_is_kept(edf, monkeypatch):
    monkeypatch.setattr(signal_checks, "SCAN_S", 1)
    data_uv = noise()
    data_uv[:100] = data_uv[-100:] = 0
    with open_signal(write_edf(edf, with_channel(channel("F8-T8", data_uv)))) as signal:
        assert all(signal.channel_mask)


@pytest.mark.parametrize(
    ("factor", "shown"), [(1000, r"2.73e\+04 uV \(allowed 0.5 to 4557, the"), (1e-3, r"0.0273 uV \(allowed")]
)
def test_an_amplitude_that_no_electrode_gives_counts_as_missing(edf, factor, shown):
    write_edf(edf, with_channel(channel("F8-T8", factor * noise(1), bounds=(-200 * factor, 200 * factor))))
    message = rf"one.edf: a standard deviation that no electrode gives: F8-T8 {shown} .* --missing zero"
    with pytest.raises(UserError, match=message):
        open_signal(edf)
    with open_signal(edf, missing="zero") as signal:
        assert [CHANNELS[row] for row, present in enumerate(signal.channel_mask) if not present] == ["F8-T8"]
        assert not signal.read(0, 256)[15].any()


def test_no_channel_of_a_plausible_amplitude(edf):
    """Of two channels the median lies between both, and may be plausible where neither is."""
    pair = [
        channel(name, noise(sd_uv=sd), bounds=None) for name, sd in (("BTEleft SD", 0.3), ("CROSStop SD", 6000))
    ]
    write_edf(edf, pair)
    message = r"one.edf: no channel has the standard deviation of scalp EEG: focal 0.3\d+ uV, cross 6\S+ uV \("
    for missing in ("error", "zero"):
        with pytest.raises(UserError, match=message):
            open_signal(edf, missing, NAMED["behind-the-ear"])


def test_an_electrode_a_thousand_times_too_large_takes_its_derivations_along(edf):
    electrodes = sorted({name for pair in CHANNELS for name in pair.split("-")})
    rows = [
        channel(name, noise(i, sd_uv=2 + 2998 * (name == "CZ")), bounds=None) for i, name in enumerate(electrodes)
    ]
    write_edf(edf, rows)
    with pytest.raises(UserError, match=r"no electrode gives: FZ-CZ 3\S+ uV, CZ-PZ 3\S+ uV \(allowed 0.5 to 4"):
        open_signal(edf)


def test_all_flat(edf):
    write_edf(edf, [channel(name, np.zeros(256)) for name in CHANNELS])
    with pytest.raises(ValueError, match=r"one.edf: all channels are flat from beginning to end"):
        open_signal(edf, missing="zero")


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e3])
def test_wrong_unit_shows_in_the_amplitude(edf, factor):
    write_edf(edf, [channel(n, noise(i) * factor, bounds=None) for i, n in enumerate(CHANNELS)])
    message = r"deviation is (\S+) uV .*, scalp EEG has 0.5 to 5000; the unit in the header is probably wrong"
    with pytest.raises(ValueError, match=message) as refusal:
        open_signal(edf)
    assert float(re.search(message, str(refusal.value))[1]) == pytest.approx(30 * factor, rel=0.1)


def test_duplicates_that_agree(edf):
    with open_signal(write_edf(edf, [*with_channel(), channel("T4-T6", noise(sum(map(ord, "T8-P8"))))])) as signal:
        assert all(signal.channel_mask)


def test_duplicates_that_disagree(edf):
    write_edf(edf, [*with_channel(), channel("T8-P8", noise(99))])
    with pytest.raises(
        ValueError, match=r"T8-P8 occurs twice and differs by up to \d+\.\d uV .*; rename or remove one"
    ):
        open_signal(edf)
