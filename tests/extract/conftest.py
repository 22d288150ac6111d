"""A small data set and the store that is made of it."""

import shutil
from pathlib import Path

import pytest

from store import Event
from tests.helpers.eeg import noise_uv, write_recording
from tests.helpers.extraction import Data

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two persons, two recordings each, extracted."""
    folder = tmp_path_factory.mktemp("made")
    for number, subject in enumerate(("01", "02")):
        write_recording(folder / "bids", subject, 0, noise_uv(10.5, number), [Event(2.0, 3.25, "sz_foc")])
        write_recording(folder / "bids", subject, 1, noise_uv(8, number + 10))
    data = Data(folder / "bids", folder / "store")
    assert data.extract() == 0
    return data


@pytest.fixture
def data(made: Data, tmp_path: Path, capsys: Capture) -> Data:
    """A copy of it, and nothing said so far."""
    shutil.copytree(made.bids, tmp_path / "bids")
    shutil.copytree(made.store, tmp_path / "store")
    capsys.readouterr()
    return Data(tmp_path / "bids", tmp_path / "store")


@pytest.fixture
def without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any encoding fails."""

    def load(settings: object) -> None:
        raise AssertionError("loads an encoder")

    monkeypatch.setattr("extract.planning.spec.load_encoder", load)
    monkeypatch.setattr("extract.encode_recording.load_encoder", load)
    monkeypatch.setattr("extract.planning.stored_recording.load_encoder", load)
