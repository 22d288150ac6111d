"""A small data set, and the command line of a study on it."""

from pathlib import Path

from extract.demo import main as demo


def make_bids(folder: Path, *more: str) -> Path:
    """Three persons with a recording of a minute each."""
    assert demo([str(folder), "--persons", "3", "--recordings", "1", "--minutes", "1", *more]) == 0
    return folder


def study_arguments(bids: Path, out: Path, *more: str) -> list[str]:
    """A study of one encoder that is fast, with a trained head and the probe; it has no codes."""
    given = ["--bids", str(bids), "--out", str(out), "--encoders", "bandpower", "--features", "latents", "codes"]
    return [*given, "--heads", "linear", "probe", "--seeds", "0", "1", *more]
