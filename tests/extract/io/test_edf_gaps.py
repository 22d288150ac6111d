"""Gaps between the data records of a file, by their start times."""

import re

import edfio
import pytest

from extract.io.edf_header import read_header
from extract.io.raw import open_signal
from store.runtime.errors import UserError
from tests.helpers.eeg import RATE_HZ
from tests.helpers.signal_files import rewrite, with_channel, write_edf


def discontinuous(edf, gap_s):
    """The channels in two data records of 2 s, the second later by `gap_s`."""
    write_edf(edf, with_channel(), annotations=[edfio.EdfAnnotation(0, None, "x")], data_record_duration=2)
    rewrite(edf, 192, "EDF+D", 5)
    data, time = edf.read_bytes(), b"+2\x14\x14\0"
    later = b"+%g\x14\x14\0" % (2 + gap_s)
    assert data.count(time.ljust(len(later), b"\0")) == 1
    edf.write_bytes(data.replace(time.ljust(len(later), b"\0"), later))
    return edf


@pytest.mark.parametrize("gap_s", [0.05, 3])
def test_gap(edf, gap_s):
    with pytest.raises(
        ValueError, match=r"one.edf: discontinuous, with a gap at 2 s \(it says EDF\+D, .*\); split it at"
    ):
        open_signal(discontinuous(edf, gap_s))


def with_times(edf, kind, times_s):
    """The channels in data records of 0.5 s that begin at given times."""
    options = {"annotations": [edfio.EdfAnnotation(0, None, "x")], "data_record_duration": 0.5}
    write_edf(edf, with_channel(), **options)
    rewrite(edf, 192, kind, 5)
    header = read_header(edf)
    data, end = bytearray(edf.read_bytes()), header.header_bytes
    track = 2 * header.record_samples[-1]
    for time_s in times_s:
        end += header.record_bytes
        data[end - track : end] = (b"+%g\x14\x14\0" % time_s).ljust(track, b"\0")
    edf.write_bytes(data)
    return edf


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
def test_a_missing_hour_is_refused_whatever_the_file_says_it_is(edf, kind):
    times_s = [0, 0.5, 1, 1.5, 3602, 3602.5, 3603, 3603.5]
    with pytest.raises(
        UserError, match=rf"gap at 2 s \(it says {re.escape(kind)}, and data record 4 begins at 3602 s"
    ):
        open_signal(with_times(edf, kind, times_s))


@pytest.mark.parametrize(
    "times_s", [[0.25 + 0.5 * i for i in range(8)], [0.5 * i + 0.01 * (i % 2) for i in range(8)]]
)
def test_a_continuous_file_may_begin_late_and_jitter(edf, times_s):
    with open_signal(with_times(edf, "EDF+C", times_s)) as signal:
        assert signal.duration_s == 4


def test_a_continuous_file_without_readable_times_is_taken_at_its_word(edf):
    with_times(edf, "EDF+C", [0.5 * i for i in range(8)])
    edf.write_bytes(edf.read_bytes().replace(b"\x14\x14", b"??"))
    with open_signal(edf) as signal:
        assert signal.duration_s == 4


def test_discontinuous_without_gap(edf):
    with open_signal(discontinuous(edf, gap_s=0)) as signal:
        assert signal.samples == 4 * RATE_HZ


def test_discontinuous_without_times(edf):
    rewrite(write_edf(edf, with_channel()), 192, "EDF+D", 5)
    with pytest.raises(ValueError, match="discontinuous, and without times of its data records"):
        open_signal(edf)
    discontinuous(edf, gap_s=0)
    edf.write_bytes(edf.read_bytes().replace(b"+2\x14\x14", b"??\x14\x14"))
    with pytest.raises(ValueError, match="data record 1 has no start time"):
        open_signal(edf)
