"""A small data set and the store that is made of it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from extract.__main__ import main
from store.reader import StoreFile, open_file
from tests.helpers.eeg import HEADER

Capture = pytest.CaptureFixture[str]
NAME = "sub-01_ses-01_task-szMonitoring_run-{:02}".format


@dataclass(frozen=True)
class Data:
    """A data set and where its store goes."""

    bids: Path
    store: Path

    def extract(self, *more: str, encoder: str = "bandpower") -> int:
        """Exit status of an extraction."""
        return main(["--bids", str(self.bids), "--store", str(self.store), "--encoder", encoder, *more])

    def stem(self, subject: str, run: int) -> Path:
        """Path of a recording without its suffixes."""
        name = f"sub-{subject}_ses-01_task-szMonitoring_run-{run:02}"
        return self.bids / f"sub-{subject}" / "ses-01" / "eeg" / name

    def events(self, subject: str, run: int) -> Path:
        """Events file of a recording."""
        stem = self.stem(subject, run)
        return stem.with_name(f"{stem.name}_events.tsv")

    def edf(self, subject: str, run: int) -> Path:
        """Signal of a recording."""
        stem = self.stem(subject, run)
        return stem.with_name(f"{stem.name}_eeg.edf")


def set_events(data: Data, subject: str, run: int, *rows: str) -> None:
    lines = [HEADER, *(f"{row}\tn/a\tn/a\tn/a\t0" for row in rows)]
    data.events(subject, run).write_text("\n".join([*lines, ""]))


def opened(data: Data, subject: str = "01") -> StoreFile:
    return open_file(data.store / f"sub-{subject}.h5")


def fresh(data: Data, *more: str) -> Data:
    """The data set as it is now, extracted anew."""
    other = Data(data.bids, data.store.with_name("fresh"))
    shutil.rmtree(other.store, ignore_errors=True)
    other.extract(*more)
    return other


def same_content(first: StoreFile, second: StoreFile) -> bool:
    """Whether two files say the same, whatever they were before."""
    names = ("spec", "subject", "person", "recordings", "hashes", "dataset", "sources", "left_out", "participant")
    return (
        all(getattr(first, name) == getattr(second, name) for name in names)
        and first.labels.tolist() == second.labels.tolist()
        and first.features().tobytes() == second.features().tobytes()
    )


def lines(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


def name_data_set(bids: Path, name: str) -> None:
    (bids / "dataset_description.json").write_text(json.dumps({"Name": name, "BIDSVersion": "1.8.0"}))
