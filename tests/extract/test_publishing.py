"""What changes in the data set while an extraction runs."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from extract import encode_recording, publishing
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import NAME, Data, lines, opened, same_content
from tests.helpers.extraction import fresh as extract_anew

Capture = pytest.CaptureFixture[str]
During = Callable[[str, Callable[[], object]], None]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> During:
    """Do something once, just before the part of a recording is written."""

    def register(name: str, act: Callable[[], object]) -> None:
        plain, waiting = encode_recording.write_file, [act]

        def write(path: Path, *arguments: object, **more: object) -> None:
            if path.stem == name and waiting:
                waiting.pop()()
            plain(path, *arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(encode_recording, "write_file", write)

    return register


def test_a_recording_that_becomes_unusable_meanwhile_is_a_failure(
    data: Data, during: During, capsys: Capture
) -> None:
    shutil.rmtree(data.store)
    during(NAME(1), data.events("01", 0).unlink)
    assert data.extract() == 1
    out, error = capsys.readouterr()
    assert "4 recordings found: 3 encoded, 0 up to date, 1 left out" in out.splitlines()
    assert f"{NAME(0)}: sub-01/ses-01/eeg/{NAME(0)}_events.tsv: no such events file" in error
    assert [path.name for path in data.store.glob("*.h5")] == ["sub-02.h5"]
    during(NAME(1), lambda: None)
    assert data.extract("--skip-unusable") == 0
    assert [(info.name, info.labelled) for info in opened(data).recordings] == [(NAME(1), True)]


def test_a_recording_left_out_meanwhile_is_accounted_for(data: Data, during: During, capsys: Capture) -> None:
    shutil.rmtree(data.store)
    during(NAME(1), data.events("01", 0).unlink)
    assert data.extract("--skip-unusable") == 0
    out = lines(capsys)
    assert "4 recordings found: 3 encoded, 0 up to date, 1 left out" in out
    assert [item.name for item in opened(data).left_out] == [NAME(0)]


@pytest.mark.parametrize("options", [(), ("--skip-unusable",)])
def test_a_stored_recording_replaced_meanwhile_lets_its_subject_wait(
    options: tuple[str, ...], data: Data, during: During, capsys: Capture
) -> None:
    for subject in ("01", "02"):
        write_recording(data.bids, subject, 2, noise_uv(8, 20 + int(subject)))
    during(NAME(2), lambda: write_recording(data.bids, "01", 0, noise_uv(10.5, 99)))
    assert data.extract(*options) == 1
    out, error = capsys.readouterr()
    assert "sub-02: encoded 1 recording (new)" in out
    assert "1 subject complete" in out
    assert f"  {NAME(0)}: changed during the extraction; run the same command again\n" in error
    assert "--skip-unusable" not in error
    assert [info.name for info in opened(data).recordings] == [NAME(0), NAME(1)]
    assert data.extract(*options) == 0
    assert same_content(opened(data), opened(extract_anew(data)))


def test_ctrl_c_while_an_interrupted_extraction_ends_is_one_line(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    def encode(*arguments: Any) -> Iterator[encode_recording.RecordingResult]:
        with ExitStack() as at_end:
            at_end.callback(press)
            yield from encode_all(*arguments)

    encode_all = publishing._encode_all
    monkeypatch.setattr(publishing, "_encode_all", encode)
    monkeypatch.setattr(publishing, "_note_result", press)
    shutil.rmtree(data.store)
    assert data.extract() == 130  # what is raised where nobody can take it fails the test
    assert capsys.readouterr().err.count("\n") == 1
