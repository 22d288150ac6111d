"""CHB-MIT as PhysioNet ships it: ``chb01/chb01_03.edf`` and ``chb01/chb01-summary.txt``.

epilepsy2bids reads the seizures of all 24 summaries rightly (tests compare), but takes a recording that no
summary lists for one without seizures, and passes over a line that it does not understand: so this reads them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from extract.io.datasets.source import (
    Participant,
    SourceDataSet,
    SourceRecording,
    list_edf,
    read_edf_info,
    read_text,
    require_folder,
)
from store import Event
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun

SAME_PERSON = {"21": "01"}  # one girl, recorded twice, a year and a half apart
DESCRIPTION = {
    "Name": "CHB-MIT Scalp EEG Database",
    "License": "ODC-By-1.0",
    "Authors": ["Ali Shoeb", "John Guttag"],
    "HowToAcknowledge": "Ali Shoeb. Application of Machine Learning to Epileptic Seizure Onset Detection and "
    "Treatment. PhD thesis, MIT, 2009. Goldberger et al., Circulation 101(23), 2000.",
    "SourceDatasets": [{"DOI": "doi:10.13026/C2K01R", "URL": "https://physionet.org/content/chbmit/1.0.0/"}],
}
SIDECAR = {"SamplingFrequency": 256, "PowerLineFrequency": 60, "EEGReference": "n/a", "SoftwareFilters": "n/a"}
_LINE = re.compile(
    r"(?P<file>file name)\s*:\s*(?P<name>\S+)"
    r"|(?P<count>number of seizures in file)\s*:\s*(?P<seizures>\d+)"
    r"|seizure\s*\d*\s*(?P<edge>start|end)\s+time\s*:\s*(?P<seconds>\d+)\s*seconds",
    re.IGNORECASE,
)
_MUST_MATCH = re.compile(r"\s*(file name|number of seizures|seizure\b)", re.IGNORECASE)


@dataclass
class _Entry:
    """What a summary says of one recording."""

    count: int | None
    starts: list[int]
    stops: list[int]


def parse_summary(text: str, where: str) -> dict[str, tuple[Event, ...]]:
    r"""Seizures of each recording that a ``chbNN-summary.txt`` lists.

    Parameters
    ----------
    text : str
        Content of the summary.
    where : str
        Its path, for messages.

    Raises
    ------
    UserError
        If it lists no recording, a line cannot be read, or a recording has not as many seizures as announced.

    >>> parse_summary("File Name: a.edf\nNumber of Seizures in File: 1\n"
    ...               "Seizure 1 Start Time:  9 seconds\nSeizure 1 End Time: 19 seconds", "")
    {'a.edf': (Event(onset_s=9.0, duration_s=10.0, kind='sz'),)}
    """
    entries: dict[str, _Entry] = {}
    entry: _Entry | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not _MUST_MATCH.match(line):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or (entry is None and not match["file"]):
            raise UserError(f"{where}: line {number} cannot be read: '{line.strip()}'; fetch the file again")
        if match["file"]:
            if match["name"] in entries:
                raise UserError(f"{where}: line {number}: {match['name']} is listed twice; fetch the file again")
            entry = entries[match["name"]] = _Entry(None, [], [])
        elif entry is not None and match["count"]:
            entry.count = int(match["seizures"])
        elif entry is not None:
            (entry.starts if match["edge"].lower() == "start" else entry.stops).append(int(match["seconds"]))
    if not entries:
        raise UserError(f"{where}: lists no recording; fetch the file again")
    return {name: _to_events(entry, f"{where}: {name}") for name, entry in entries.items()}


def _to_events(entry: _Entry, where: str) -> tuple[Event, ...]:
    if not entry.count == len(entry.starts) == len(entry.stops):
        announced = "no number of seizures" if entry.count is None else count_noun(entry.count, "seizure")
        raise UserError(
            f"{where}: {announced} announced, "
            f"{count_noun(len(entry.starts), 'start')} and {count_noun(len(entry.stops), 'end')} listed; "
            "fetch the file again"
        )
    pairs = list(zip(entry.starts, entry.stops, strict=True))
    for start, stop in pairs:
        if stop <= start:
            raise UserError(f"{where}: a seizure from {start} to {stop} s; fetch the file again")
    return tuple(Event(float(start), float(stop - start), "sz") for start, stop in pairs)


def read(source: Path) -> SourceDataSet:
    """Recordings, persons and seizures of CHB-MIT.

    Subjects are numbered as its cases, persons too, but that chb21 is the person of chb01. Runs are numbered
    from 0 in the order of all file names of a case that RECORDS, summary or disk know.

    Raises
    ------
    UserError
        If there is no case, a case lacks its summary, or a file cannot be read.
    """
    require_folder(source)
    cases = sorted(path for path in source.glob("chb[0-9][0-9]") if path.is_dir())
    if not cases:
        raise UserError(f"{source}: no folder chb01 to chb24 in it; give the folder that holds them")
    names_of = _read_records(source / "RECORDS")
    sex_age = _read_subject_info(source / "SUBJECT-INFO")
    recordings: list[SourceRecording] = []
    participants = []
    for case in cases:
        label = case.name[3:]
        on_disk = {path.name for path in list_edf(case)}
        summary = case / f"{case.name}-summary.txt"
        if not summary.is_file():
            raise UserError(f"{summary}: no such file; it lists the seizures, so fetch it")
        listed = parse_summary(read_text(summary), str(summary))
        for run, name in enumerate(sorted({*on_disk, *listed, *names_of.get(case.name, ())})):
            info = read_edf_info(case / name)
            recordings.append(SourceRecording(case / name, label, "01", run, info, listed.get(name)))
        sex, age = sex_age.get(case.name, ("n/a", "n/a"))
        participants.append(Participant(label, SAME_PERSON.get(label, label), case.name, sex, age))
    return SourceDataSet(DESCRIPTION, SIDECAR, tuple(recordings), tuple(participants))


def _read_records(path: Path) -> dict[str, list[str]]:
    """File names of each case in RECORDS; none if there is no such file."""
    names: dict[str, list[str]] = {}
    for line in read_text(path).split() if path.is_file() else []:
        case, _, name = line.partition("/")
        names.setdefault(case, []).append(name)
    return names


def _read_subject_info(path: Path) -> dict[str, tuple[str, str]]:
    """Sex and age of each case in SUBJECT-INFO; none if there is no such file."""
    rows = [line.split() for line in read_text(path).splitlines()] if path.is_file() else []
    return {row[0]: (row[1].lower(), row[2]) for row in rows if len(row) == 3 and row[0].startswith("chb")}
