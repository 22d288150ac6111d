"""A small data set and the store that is made of it."""

from dataclasses import dataclass
from pathlib import Path

from extract.__main__ import main


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
