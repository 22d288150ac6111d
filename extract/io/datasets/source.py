"""Shared parts of the data set readers: their result, EDF headers, text files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from extract.io.edf_header import parse_start, read_header
from extract.io.tables import read_content
from store import Event
from store.runtime.errors import UserError, os_errors

NOT_GIVEN = "n/a"


@dataclass(frozen=True)
class EdfInfo:
    """What the header of an EDF file says of the recording as a whole."""

    duration_s: float
    start: datetime | None  # date and time of the first sample, None if the header has no valid one
    patient: str


@dataclass(frozen=True)
class SourceRecording:
    """One recording of a data set: on the disk, in the annotations, or both."""

    path: Path
    subject: str  # BIDS labels
    session: str
    run: int
    info: EdfInfo | None  # None if it is not on the disk
    seizures: tuple[Event, ...] | None  # None if the annotations do not list it

    @property
    def name(self) -> str:
        """Its BIDS name."""
        return f"sub-{self.subject}_ses-{self.session}_task-szMonitoring_run-{self.run:02}"


@dataclass(frozen=True)
class Participant:
    """One row of ``participants.tsv``."""

    subject: str
    person: str
    source_id: str  # as the data set names the subject
    sex: str = NOT_GIVEN
    age: str = NOT_GIVEN
    split: str = ""  # of the data set's authors; empty where they give none


@dataclass(frozen=True)
class SourceDataSet:
    """A data set as it was found."""

    description: Mapping[str, object]  # for dataset_description.json
    sidecar: Mapping[str, object]  # what the _eeg.json files of all recordings have in common
    recordings: tuple[SourceRecording, ...]
    participants: tuple[Participant, ...]
    notes: tuple[str, ...] = field(default=())  # what was corrected or read against the letter


def read_edf_info(path: Path) -> EdfInfo | None:
    """Length, start and patient of an EDF file by its header; None if there is no such file.

    Raises
    ------
    UserError
        If it has no EDF header, or one without a length.
    """
    if not path.is_file():
        return None
    with os_errors(path):
        header = read_header(path)
        with path.open("rb") as file:
            fixed = file.read(256).decode("latin-1")
    duration_s = header.records * header.record_s
    if not duration_s > 0:
        raise UserError(
            f"{path}: its header says {header.records} data records of {header.record_s:g} s; fetch the file again"
        )
    return EdfInfo(duration_s, parse_start(fixed[168:176], fixed[176:184]), fixed[8:88].strip())


def read_text(path: Path) -> str:
    """Text of an annotation file, whatever ends its lines.

    Raises
    ------
    UserError
        If there is no such file, or it is not text.
    """
    content = read_content(path)
    if b"\0" in content:
        raise UserError(f"{path}: not a text file; fetch it again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_folder(source: Path) -> None:
    """Refuse a source that is not a folder."""
    if not source.is_dir():
        what = "a file" if source.exists() else "no such folder"
        raise UserError(f"{source}: {what}; give the folder of the data set as it was downloaded")


def list_edf(folder: Path) -> list[Path]:
    """EDF files of a folder, sorted by name."""
    with os_errors(folder):
        return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".edf" and path.name[0] != ".")
