"""Opening, reading, encoding and writing side by side, and what fails in one of them."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extract import encode_recording
from extract.encode_recording import RecordingResult, encode_recordings
from extract.encoders.registry import load_encoder
from extract.io.bids import find_recordings
from extract.io.recorded_channels import open_recording as plain_open_recording
from extract.planning.encode_settings import EncodeSettings
from store.reader import open_file
from store.runtime.errors import UserError
from store.writer import write_file as plain_write_file
from tests.helpers.eeg import noise_uv, write_recording

Encode = Callable[[NDArray[Any]], NDArray[Any]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncodeSettings:
    """Three recordings, of 3, 50 and 2 windows, one window a block and a batch."""
    for number, seconds in enumerate((10.5, 200, 8)):
        write_recording(tmp_path / "bids", "01", number, noise_uv(seconds, number))
    monkeypatch.setattr(encode_recording, "_BLOCK_WINDOWS", 1)
    return EncodeSettings(store=tmp_path / "store", encoder="bandpower")


def encode_all(settings: EncodeSettings) -> list[RecordingResult]:
    return list(encode_recordings(find_recordings(settings.store.parent / "bids"), settings, lambda windows: None))


def replace_encoder(
    patch: pytest.MonkeyPatch, wrap: Callable[[Encode], Encode], batch_invariant: bool = True
) -> None:
    def load(settings: Any) -> Any:
        encoder = load_encoder(settings)
        parts = {name: getattr(encoder, name) for name in ("spec", "provenance", "codebooks")}
        return SimpleNamespace(encode=wrap(encoder.encode), batch_invariant=batch_invariant, **parts)

    patch.setattr(encode_recording, "load_encoder", load)


def watch_blocks(tell: Callable[[str, int], object]) -> Callable[..., Any]:
    """An `open_recording` whose windows tell the file's name and their number before they are given."""

    def open_recording(path: Path, *options: Any) -> Any:
        signal = plain_open_recording(path, *options)

        def windows(*arguments: Any) -> Iterator[NDArray[np.float32]]:
            for number, block in enumerate(signal.windows(*arguments)):
                tell(path.name, number)
                yield block

        names = ("duration_s", "channel_mask", "start")
        return SimpleNamespace(windows=windows, **{name: getattr(signal, name) for name in names})

    return open_recording


def require_two_are_whole(settings: EncodeSettings, results: list[RecordingResult], error: str) -> None:
    assert [(result.windows, result.error) for result in results] == [(3, None), (0, error), (2, None)]
    parts = sorted(settings.store.rglob("*.h5"))
    assert [open_file(part).recordings[0].windows for part in parts] == [3, 2]
    for part in parts:
        open_file(part).verify()


def test_blocks_are_those_of_a_recording_read_at_once(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [result.windows for result in encode_all(settings)] == [3, 50, 2]
    in_blocks = [open_file(part).features() for part in sorted(settings.store.rglob("*.h5"))]
    monkeypatch.setattr(encode_recording, "_BLOCK_WINDOWS", 128)
    for part in settings.store.rglob("*.h5"):
        part.unlink()
    encode_all(settings)
    for part, wanted in zip(sorted(settings.store.rglob("*.h5")), in_blocks, strict=True):
        np.testing.assert_array_equal(open_file(part).features(), wanted)


def test_what_cannot_be_read_to_its_end_leaves_the_others(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, number: int) -> None:
        if "run-01" in name and number == 20:
            raise UserError("no more of it")

    monkeypatch.setattr(encode_recording, "open_recording", watch_blocks(fail))
    require_two_are_whole(settings, encode_all(settings), "no more of it")


def test_what_cannot_be_encoded_leaves_the_others(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def wrap(encode: Encode) -> Encode:
        def fail_once(block: NDArray[Any]) -> NDArray[Any]:
            calls.append(len(block))
            if len(calls) == 10:
                raise UserError("out of memory")
            return encode(block)

        return fail_once

    replace_encoder(monkeypatch, wrap)
    require_two_are_whole(settings, encode_all(settings), "out of memory")
    assert len(calls) < 40  # not all of the second


def test_what_cannot_be_written_is_not_encoded_to_its_end(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def write_file(path: Path, *arguments: Any, **options: Any) -> None:
        if "run-01" in path.name:
            raise PermissionError(errno.EACCES, "no", str(path))
        plain_write_file(path, *arguments, **options)

    read: list[int] = []
    monkeypatch.setattr(encode_recording, "open_recording", watch_blocks(lambda name, number: read.append(number)))

    def wrap(encode: Encode) -> Encode:
        def count(block: NDArray[Any]) -> NDArray[Any]:
            calls.append(len(block))
            return encode(block)

        return count

    replace_encoder(monkeypatch, wrap)
    monkeypatch.setattr(encode_recording, "write_file", write_file)
    results = encode_all(settings)
    assert [result.windows for result in results] == [3, 0, 2]
    assert "permission denied" in str(results[1].error)
    assert len(calls) < 30
    assert len(read) < 30


@pytest.mark.parametrize("batch_invariant", [True, False])
def test_short_recordings_are_encoded_together(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch, batch_invariant: bool
) -> None:
    """Unless the encoder may make something else of a window in another batch."""
    calls: list[int] = []

    def wrap(encode: Encode) -> Encode:
        def count(block: NDArray[Any]) -> NDArray[Any]:
            calls.append(len(block))
            return encode(block)

        return count

    monkeypatch.setattr(encode_recording, "_BLOCK_WINDOWS", 80)
    write_recording(settings.store.parent / "bids", "01", 3, noise_uv(400, 3))
    replace_encoder(monkeypatch, wrap, batch_invariant)
    assert [result.windows for result in encode_all(settings)] == [3, 50, 2, 100]
    assert calls == ([3 + 50 + 2, 80, 20] if batch_invariant else [3, 50, 2, 80, 20])


def test_what_cannot_be_encoded_together_fails_for_itself(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrap(encode: Encode) -> Encode:
        def fail_on_long(block: NDArray[Any]) -> NDArray[Any]:
            if len(block) >= 50:
                raise UserError("out of memory")
            return encode(block)

        return fail_on_long

    monkeypatch.setattr(encode_recording, "_BLOCK_WINDOWS", 128)
    replace_encoder(monkeypatch, wrap)
    require_two_are_whole(settings, encode_all(settings), "out of memory")


def test_a_batch_of_several_recordings_keeps_them_apart(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is there, one cannot be read, one cannot be written, one is new."""

    def fail(name: str, number: int) -> None:
        if "run-01" in name:
            raise UserError("no more of it")

    def write_file(path: Path, *arguments: Any, **options: Any) -> None:
        if "run-02" in path.name:
            raise PermissionError(errno.EACCES, "no", str(path))
        plain_write_file(path, *arguments, **options)

    write_recording(settings.store.parent / "bids", "01", 3, noise_uv(20, 3))
    recordings = find_recordings(settings.store.parent / "bids")
    list(encode_recordings(recordings[:1], settings, lambda windows: None))
    monkeypatch.setattr(encode_recording, "_BLOCK_WINDOWS", 80)
    monkeypatch.setattr(encode_recording, "open_recording", watch_blocks(fail))
    monkeypatch.setattr(encode_recording, "write_file", write_file)
    results = list(encode_recordings(recordings, settings, lambda windows: None))
    assert [result.recording for result in results] == recordings
    assert [result.windows for result in results] == [0, 0, 0, 5]
    assert [results[number].error for number in (0, 1, 3)] == [None, "no more of it", None]
    assert "permission denied" in str(results[2].error)
    assert [part.name for part in settings.store.rglob("*.h5") if "run-03" in part.name]


def test_what_is_there_already_keeps_its_place(settings: EncodeSettings) -> None:
    recordings = find_recordings(settings.store.parent / "bids")
    list(encode_recordings(recordings[1:2], settings, lambda windows: None))
    results = encode_all(settings)
    assert [result.recording for result in results] == recordings
    assert [result.windows for result in results] == [3, 0, 2]


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_is_broken_off_ends_its_threads(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch, is_closed: bool
) -> None:
    opened: list[str] = []

    def open_recording(path: Path, *options: Any) -> Any:
        opened.append(path.name)
        time.sleep(0.2)
        return plain_open_recording(path, *options)

    def fail(block: NDArray[Any]) -> NDArray[Any]:
        raise RuntimeError("a bug")

    for number in range(3, 12):
        write_recording(settings.store.parent / "bids", "01", number, noise_uv(8, number))
    monkeypatch.setattr(encode_recording, "open_recording", open_recording)
    results = encode_recordings(find_recordings(settings.store.parent / "bids"), settings, lambda windows: None)
    next(results)
    if is_closed:
        results.close()
    else:
        replace_encoder(monkeypatch, lambda encode: fail)
        with pytest.raises(RuntimeError, match="a bug"):
            list(results)
    assert len(opened) < 5  # of twelve
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_the_next_recording_is_encoded_while_one_is_written(
    settings: EncodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_at_next = threading.Event()
    calls: list[int] = []

    def wrap(encode: Encode) -> Encode:
        def count(block: NDArray[Any]) -> NDArray[Any]:
            calls.append(len(block))
            if len(calls) == 4:  # the first recording has three
                is_at_next.set()
            return encode(block)

        return count

    def write_file(*arguments: Any, **options: Any) -> None:
        assert is_at_next.wait(30)
        plain_write_file(*arguments, **options)

    replace_encoder(monkeypatch, wrap)
    monkeypatch.setattr(encode_recording, "write_file", write_file)
    assert [result.windows for result in encode_all(settings)] == [3, 50, 2]
