"""Errors in the report: every one is there, with its stretch of a recording and its EEG; many stay small."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.__main__ import main
from eval.report import errors
from eval.report.eeg_reader import EegSnippet
from eval.report.eeg_snippets import format_snippet
from eval.report.page import write_report
from eval.report.provenance import Provenance
from eval.scoring.postprocess import PostProcessing
from eval.scoring.results import Results, score_run
from eval.scoring.scores import ScoredRecording
from heads.probe import main as probe
from store.runtime.parallel import WorkerSettings
from tests.helpers.scored import make_results, record
from tests.helpers.stores import write_subject

POST = PostProcessing(0.5, 0.5, 1, 1)


def results_of(recordings: dict[str, ScoredRecording]) -> Results:
    return replace(make_results({"01": recordings}), posts={"01": POST})


def test_every_error_is_listed_by_recording_and_time() -> None:
    results = results_of({"b": record([], [(500, 520)]), "a": record([(100, 200)], [(600, 640)])})
    found = errors.list_errors(results)
    assert [(error.recording, error.is_miss, error.event) for error in found] == [
        ("a", True, (100, 200)),
        ("a", False, (600, 640)),
        ("b", False, (500, 520)),
    ]
    html = errors.format_errors(results, found, None)
    assert html.count("<figure") == 2
    assert "1 missed seizure and 2 false alarms." in html
    assert "<b>missed</b> at 1:40, 100 s: probability under threshold: at most 0.100" in html
    assert "<b>false alarm</b> at 10:00, 40 s: mean probability 0.80, peak 0.80; 400 s from the nearest" in html
    assert "threshold 0.50, held while above 0.25, events of 1 s and longer" in html


def test_of_a_long_recording_the_stretches_with_errors_are_shown() -> None:
    results = results_of({"a": record([(100, 200), (5000, 5100)], [(5900, 5950), (7300, 7310)], 4 * 3600)})
    html = errors.format_errors(results, errors.list_errors(results), None)
    stretches = [re.findall(r"<i[^>]*>([^<]+)</i>", part)[0] for part in html.split("<figure")[1:]]
    assert stretches == ["0:00", "1:20:00", "1:30:00", "2:00:00"]  # from 0, 4740, 5340 and 7140 s


def test_no_error_is_said() -> None:
    results = results_of({"a": record([(100, 200)], [(100, 200)])})
    assert errors.format_errors(results, errors.list_errors(results), None).startswith("<p>No seizure was missed")


def sine(uv: float, mask: tuple[bool, ...] = (True, True)) -> EegSnippet:
    wave = uv * np.sin(2 * np.pi * np.arange(20 * 256) / 256)
    return EegSnippet(90, np.stack([wave + 300, wave]).astype(np.float32), 256, ("F<3", "C3"), mask)


def test_eeg_is_drawn_to_scale_with_its_event_and_time() -> None:
    """A sine of 50 uV around an offset fills half of a row of 100 uV on either side of the channel's line."""
    html = format_snippet(sine(50), (100, 130))
    assert "100 &micro;V" in html
    assert 'd="M500 0H1000V72H500z"' in html  # from 10 s of 20 to the end
    assert re.findall(r"<b[^>]*>([^<]+)", html) == ["1:30", "1:35", "1:40", "1:45"]
    first, _ = re.findall(r'<path d="M0 (\d+)l([^"]+)"', html)
    steps = [int(text) for text in re.findall(r"-?\d+", first[1])][1::2]
    levels = int(first[0]) + np.cumsum(steps)
    assert levels.min() == pytest.approx(24 - 12, abs=1)
    assert levels.max() == pytest.approx(24 + 12, abs=1)
    assert "F&lt;3" in html


def test_a_missing_channel_is_named_and_not_drawn() -> None:
    html = format_snippet(sine(50, (True, False)), (100, 130))
    assert html.count("<path d=") == 1
    assert "C3 (missing)" in html


def test_eeg_beyond_what_a_page_holds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_EEG_CHARACTERS", 20_000)
    results = results_of({name: record([(100, 200)], []) for name in "abcdef"})
    html = errors.format_errors(results, errors.list_errors(results), lambda *_: sine(50))
    drawn = html.count('class="eeg"')
    assert 0 < drawn < 6
    assert f"EEG of all but the last {6 - drawn}, which" in html


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for number in range(3):
        write_subject(tmp_path / "store", f"{number + 1:02}", (120,), number)
    assert probe(["--store", str(tmp_path / "store"), "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_a_page_of_many_recordings_stays_small(run: Path) -> None:
    """1,000 recordings of an hour, each with a miss and a false alarm, make less than 5 MB: 200 less than 1.4."""
    rng, person = np.random.default_rng(0), "01"
    by_name = {}
    for number in range(200):
        recording = record([(1000, 1040)], [(2000 + number, 2050 + number)], duration_s=3600)
        recording.probabilities[:] += rng.uniform(-0.1, 0.1, 3600)
        by_name[f"sub-01_run-{number:03}"] = recording
    results = score_run(run, (), WorkerSettings())
    results = replace(results, recordings={person: by_name}, posts={person: POST})
    page = write_report(results, results.persons.astype(str), [], Provenance("", "", ""))
    text = page.read_text()
    assert text.count('class="error"') == 400
    assert len(text) < 1.4e6


def test_eeg_of_another_data_set_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bids" / "sub-09" / "eeg"
    folder.mkdir(parents=True)
    (folder / "sub-09_task-rest_eeg.edf").write_bytes(b"")
    for name, message in (
        ("bids", "lacks 3 of 3 recordings, the first is sub-01_ses-01_task-"),
        ("no", "no such"),
    ):
        assert main([str(run), "--bids", str(tmp_path / name)]) == 2
        output = capsys.readouterr()
        assert message in output.err
        assert output.out == ""
    assert not (run / "metrics.json").exists()
