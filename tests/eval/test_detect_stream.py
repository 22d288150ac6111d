"""The detector on standard input: what it finds is what it finds in a file of the same samples."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from eval.detect import main
from eval.detection.detector import load_detector
from eval.detection.stream import latency_s
from extract.io.montage import CHANNELS
from extract.io.raw import open_signal
from heads.probe import main as probe
from tests.helpers.detectors import make_line, write
from tests.helpers.sources import BytesInParts

SECOND_BYTES = 64 * 18 * 4
OPTIONS = ["--sample-rate-hz", "64", "--channel-names", *CHANNELS]


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose windows overlap."""
    return make_line(tmp_path_factory.mktemp("fusion"), "bandpower")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head looks beyond its windows."""
    return make_line(tmp_path_factory.mktemp("context"), "bandpower", heads=probe)


@pytest.fixture(params=["fusion", "context"])
def line(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


class Input:
    """Standard input whose bytes come in parts."""

    def __init__(self, content: bytes, part: int) -> None:
        self.buffer = BytesInParts(content, part)

    def isatty(self) -> bool:
        return False


def samples_of(eeg: Path) -> bytes:
    with open_signal(eeg) as signal:
        return signal.read(0, signal.samples).T.astype("<f4").tobytes()


def run_on(monkeypatch: pytest.MonkeyPatch, content: bytes, part: int, line: Path, *more: str) -> int:
    monkeypatch.setattr(sys, "stdin", Input(content, part))
    return main(["-", *more, "--run", str(line / "run"), *OPTIONS])


@pytest.mark.parametrize("seconds", [1, 30, 62.25, 125.5])
def test_it_finds_what_it_finds_in_a_file(
    line: Path, tmp_path: Path, seconds: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    eeg, run = write(tmp_path / "x", seconds=seconds), ["--run", str(line / "run")]
    of_file, of_stream, table, streamed = (tmp_path / name for name in ("f.tsv", "s.tsv", "p.tsv", "sp.tsv"))
    assert main([str(eeg), str(of_file), *run, "--probabilities", str(table)]) == 0
    rows = [line.split("\t")[:5] for line in of_file.read_text().splitlines()]
    printed, tables = [], []
    for part in (1000, 72 * 64 + 1, 1 << 20):
        capsys.readouterr()
        arguments = (str(of_stream), "--probabilities", str(streamed))
        assert run_on(monkeypatch, samples_of(eeg), part, line, *arguments) == 0
        printed.append(capsys.readouterr().out)
        tables.append(streamed.read_text())
        # a stream has no date
        assert [row.split("\t")[:5] for row in of_stream.read_text().splitlines()] == rows
        assert [row.split("\t")[-1] for row in of_stream.read_text().splitlines()[1:]] == [f"{seconds:.2f}"] * (
            len(rows) - 1
        )
    assert len(set(printed)) == len(set(tables)) == 1  # whatever the parts
    # band powers of a window differ in the last bit by how many windows are computed at once
    of_both = [np.loadtxt(lines.splitlines(), skiprows=1, ndmin=2) for lines in (tables[0], table.read_text())]
    np.testing.assert_allclose(*of_both, rtol=0, atol=5e-4)
    assert [row.split("\t")[:5] for row in printed[0].splitlines()] == rows
    assert seconds < 30 or rows[1][2] == "sz"


class Clocked(io.StringIO):
    """Standard output that notes how many seconds had been read when each event was written."""

    def __init__(self, source: Input) -> None:
        super().__init__()
        self._source, self.events = source, []

    def write(self, text: str) -> int:
        if "\tsz\t" in text:
            onset_s, length_s = map(float, text.split("\t")[:2])
            self.events.append((onset_s + length_s, self._source.buffer.tell() / SECOND_BYTES, text))
        return super().write(text)


def test_events_are_written_as_they_end(fusion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fed second by second, the command writes each event within the latency that it names."""
    pattern = np.random.default_rng(0).normal(0, 30, (300 * 64, 18)).astype("<f4")
    rhythm = 200 * np.sin(2 * np.pi * 8 * np.arange(20 * 64) / 64)[:, None].astype("<f4")
    onsets = (20, 80, 140, 200)
    for onset in onsets:
        pattern[onset * 64 : (onset + 20) * 64] += rhythm
    detector = load_detector(fusion / "run")
    most_s = latency_s(detector, 64)
    assert most_s == 4 + detector.head.context_s // 2 + detector.post.smoothing_s // 2
    source = Input(pattern.tobytes(), SECOND_BYTES)
    written = Clocked(source)
    monkeypatch.setattr(sys, "stdin", source)
    monkeypatch.setattr(sys, "stdout", written)
    assert main(["-", "--run", str(fusion / "run"), *OPTIONS]) == 0
    assert len(written.events) >= len(onsets)
    for stop_s, read_s, row in written.events:
        assert stop_s < read_s <= max(stop_s + most_s, 60)
        assert row.split("\t")[6].strip() == "n/a"  # the recording goes on
    assert {round(stop_s / 20) * 20 for stop_s, _, _ in written.events} >= {onset + 20 for onset in onsets}


def test_a_quiet_recording_is_one_row_of_background(
    fusion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).normal(0, 30, (70 * 64, 18)).astype("<f4")
    assert run_on(monkeypatch, noise.tobytes(), 1 << 16, fusion) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split("\t") == ["0.00", "70.00", "bckg", "n/a", "n/a", "n/a", "70.00"]
    assert printed.err.splitlines()[-1] == "standard input: 0 seizures in 1:10"


def test_mistakes_are_a_line_and_leave_no_file(
    fusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out.tsv", tmp_path / "p.tsv"
    samples = np.random.default_rng(1).normal(0, 30, (70 * 64, 18)).astype("<f4")
    gap = samples.copy()
    gap[66 * 64, 0] = np.inf
    for content, message in (
        (b"", "standard input: no samples received"),
        (samples.tobytes()[:-3], "standard input: ends after 69 of the 72 bytes of a sample of 18 channels"),
        (gap.tobytes(), "standard input: FP1-F3 is not a finite number at 66.00 s"),
    ):
        arguments = (str(out), "--probabilities", str(table))
        assert run_on(monkeypatch, content, 1 << 16, fusion, *arguments) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []
    for arguments, message in (
        (["-"], "--sample-rate-hz and --channel-names are required for samples on standard input"),
        (["-", "a.edf", str(out), *OPTIONS], "- takes no other INPUT; got a.edf"),
        (["-", str(fusion / "run" / "config.json"), *OPTIONS], "give another path"),
    ):
        monkeypatch.setattr(sys, "stdin", Input(b"", 1))
        assert main([*arguments, "--run", str(fusion / "run")]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["-", "--run", str(fusion / "run"), *OPTIONS]) == 2
    assert "standard input: there is none; pipe samples to this command" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["nan", "inf", "0", "1e-9", "-1", "9.99", "100001", "1e30"])
def test_a_rate_that_is_none_of_eeg(rate: str, fusion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-", "--run", str(fusion / "run"), "--channel-names", *CHANNELS, "--sample-rate-hz", rate]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"error: --sample-rate-hz {float(rate)}: not usable; allowed: 10 to 100000")
