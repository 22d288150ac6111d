"""Settings that cannot train are refused before anything is read."""

import dataclasses
from pathlib import Path

import pytest

from extract.pretrain.__main__ import main
from extract.pretrain.settings import LIMITS, TrainingSettings


def test_every_number_has_a_range_and_its_default_is_in_it() -> None:
    numbers = {field.name for field in dataclasses.fields(TrainingSettings) if type(field.default) in (int, float)}
    assert set(LIMITS) == numbers
    TrainingSettings().check()


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_out_of_its_range_names_the_range(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    least, most = LIMITS[name]
    option = f"--{name.replace('_', '-')}"
    is_whole = isinstance(getattr(TrainingSettings, name), int)
    for value in ["-1", str(10**23)] if is_whole else ["-1.0", "nan", "inf"]:
        out = tmp_path / "mine.safetensors"
        assert main(["--bids", str(tmp_path / "none"), "--out", str(out), option, value]) == 2
        error = f"python -m extract.pretrain: error: {option} {value}: not usable; allowed: {least} to {most}\n"
        assert capsys.readouterr().err == error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--average", "2"], "--average 2.0: not usable; allowed: 0 to 1"),
        (["--l2", "0"], "--l2, --l1, --line-length, --spectrogram: all are 0; give one of them more than 0"),
        (["--quantizers", "0"], "quantizers is 0; allowed: whole numbers from 1 to 64"),
        (["--beam", "0"], "beam is 0; allowed: whole numbers from 1 to 1024"),
        (["--ratios", "0"], "ratios are (0,); allowed: 1 to 16 whole numbers from 1 to 64"),
    ],
)
def test_other_values_that_cannot_train(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--bids", str(tmp_path / "none"), "--out", str(tmp_path / "mine.safetensors"), *arguments]
    assert main(given) == 2
    assert capsys.readouterr().err == f"python -m extract.pretrain: error: {message}\n"
