"""Siena as PhysioNet ships it: ``PN00/PN00-1.edf`` and ``PN00/Seizures-list-PN00.txt``.

The lists are free text with clock times. epilepsy2bids has an exception for each known oddity and takes every
recording that it does not find for one without seizures; it also trusts the start times of the lists, by which
the seizure of PN14-3 is 3 h late. This reads them by rules, takes the start from the EDF header, and says
what it had to interpret.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extract.io.datasets.source import (
    EdfInfo,
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

DESCRIPTION = {
    "Name": "Siena Scalp EEG Database",
    "License": "CC-BY-4.0",
    "Authors": ["Paolo Detti"],
    "HowToAcknowledge": "Detti P., Vatti G., Zabalo Manrique de Lara G. EEG Synchronization Analysis for Seizure "
    "Prediction. Processes 8(7):846, 2020. Goldberger et al., Circulation 101(23), 2000.",
    "SourceDatasets": [
        {"DOI": "doi:10.13026/5d4a-j060", "URL": "https://physionet.org/content/siena-scalp-eeg/1.0.0/"}
    ],
}
SIDECAR = {"SamplingFrequency": 512, "PowerLineFrequency": 50, "EEGReference": "n/a", "SoftwareFilters": "n/a"}
KINDS = {"IAS": "sz_foc_ia", "WIAS": "sz_foc_a", "FBTC": "sz_foc_f2b"}  # of subject_info.csv
DAY_S = 86_400
# the seizure would end half an hour after its recording; an hour less, it is as long as the patient's others
TYPOS = {("PN00-3.edf", "19.29.29"): "18.29.29"}
_CLOCK = re.compile(r"(?<!\d)(\d ?\d?) *[.:] *(\d{2}) *[.:] *(\d{2})(?!\d)")
_FILE = re.compile(r"\s*file name\s*:\s*(\S+)", re.IGNORECASE)
_TIME = re.compile(r"\s*(?P<of>registration|seizure)?\s*(?P<edge>start|end)\s+time\s*:", re.IGNORECASE)
_MUST_MATCH = re.compile(r"\s*(file name|(registration|seizure)?\s*(start|end)\s+time)", re.IGNORECASE)


@dataclass(frozen=True)
class ListedSeizure:
    """A seizure as a list has it, in seconds of the day."""

    file: str
    registration_s: int | None  # start of the recording, None if the list gives none
    onset_s: int
    stop_s: int


def parse_clock(text: str) -> list[int]:
    """Every clock time in a text, in seconds of the day.

    >>> parse_clock("19.58.36"), parse_clock("Start time: 21:51:02"), parse_clock(":1 6.49.25")
    ([71916], [78662], [60565])
    """
    times = ((int(h.replace(" ", "")), int(m), int(s)) for h, m, s in _CLOCK.findall(text))
    return [h * 3600 + m * 60 + s for h, m, s in times if h < 24 and m < 60 and s < 60]


def parse_list(text: str, where: str) -> tuple[list[ListedSeizure], list[str]]:
    """Seizures of a ``Seizures-list-PNxx.txt``, and what had to be interpreted.

    A file name and its registration time hold until the next ones. Where a line has several times, the one
    that is marked electric is taken, else the first.

    Raises
    ------
    UserError
        If it lists no seizure, a line has no time, or a seizure has no start, end or file.
    """
    seizures: list[ListedSeizure] = []
    notes: list[str] = []
    file: str | None = None
    starts: dict[str, int] = {}  # of the recordings
    onset_s: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not _MUST_MATCH.match(line):
            continue
        at = f"{where}: line {number}"
        if name := _FILE.match(line):
            file = name[1]
            continue
        match = _TIME.match(line)
        if match is None or file is None:
            raise UserError(f"{at} cannot be read: '{line.strip()}'; correct it")
        registration, start = (match["of"] or "").lower() == "registration", match["edge"].lower() == "start"
        if registration and not start:
            continue
        time_s = _choose_time(line[match.end() :], file, at, notes)
        if registration:
            starts[file] = time_s
        elif start:
            if onset_s is not None:
                raise UserError(f"{at}: a seizure starts, the one before has no end; correct it")
            onset_s = time_s
        else:
            if onset_s is None:
                raise UserError(f"{at}: a seizure ends, and has no start; correct it")
            seizures.append(ListedSeizure(file, starts.get(file), onset_s, time_s))
            onset_s = None
    if onset_s is not None:
        raise UserError(f"{where}: the last seizure has no end; correct it")
    if not seizures:
        raise UserError(f"{where}: lists no seizure, and every patient has some; fetch the file again")
    return seizures, notes


def _choose_time(text: str, file: str, at: str, notes: list[str]) -> int:
    """The time of a line, in seconds of the day."""
    written = text.strip()
    if correction := TYPOS.get((file, written)):
        notes.append(f"{at}: {written} is past the end of {file}, {correction} is taken")
        return parse_clock(correction)[0]
    times = parse_clock(written)
    if not times:
        raise UserError(f"{at}: '{written}' is not a clock time such as 19.58.36; correct it")
    if len(times) == 1:
        return times[0]
    electric = [
        parse_clock(part)[0] for part in written.split(";") if "ELECTRIC" in part.upper() and parse_clock(part)
    ]
    notes.append(f"{at}: several times ('{written}'), the {'electric' if electric else 'first'} one is taken")
    return (electric or times)[0]


def match_name(listed: str, on_disk: Sequence[str]) -> str:
    """File that a list means: as written, with the letter O for a zero, or with the number left out.

    >>> match_name("PNO6-1.edf", ["PN06-1.edf", "PN06-2.edf"]), match_name("PN11-.edf", ["PN11-1.edf"])
    ('PN06-1.edf', 'PN11-1.edf')
    >>> match_name("PN01.edf", ["PN01-1.edf"]), match_name("PN07-3.edf", ["PN07-1.edf"])
    ('PN01-1.edf', 'PN07-3.edf')
    """
    name = re.sub(r"(?i)^pno(?=\d)", "PN0", listed)
    same = [other for other in on_disk if other.lower() == name.lower()]
    stem = name.lower().removesuffix(".edf").rstrip("-")
    numbered = [other for other in on_disk if re.fullmatch(re.escape(stem) + r"-\d+\.edf", other.lower())]
    candidates = same or numbered
    return candidates[0] if len(candidates) == 1 else name


def read(source: Path) -> SourceDataSet:
    """Recordings, persons and seizures of Siena; runs are numbered from 1 in the order of file names.

    Raises
    ------
    UserError
        If there is no patient, a patient lacks the list of seizures, or a file cannot be read.
    """
    require_folder(source)
    patients = sorted(path for path in source.glob("PN[0-9][0-9]") if path.is_dir())
    if not patients:
        raise UserError(f"{source}: no folder PN00 to PN17 in it; give the folder that holds them")
    info_of = _read_subject_info(source / "subject_info.csv")
    recordings: list[SourceRecording] = []
    participants = []
    notes: list[str] = []
    for patient in patients:
        row = info_of.get(patient.name, {})
        recordings += _read_patient(patient, KINDS.get(row.get("seizure", ""), "sz"), notes)
        sex = row.get("gender", "").lower()[:1] or "n/a"
        label = patient.name[2:]
        participants.append(Participant(label, label, patient.name, sex, row.get("age_years") or "n/a"))
    return SourceDataSet(DESCRIPTION, SIDECAR, tuple(recordings), tuple(participants), tuple(notes))


def _read_patient(patient: Path, kind: str, notes: list[str]) -> list[SourceRecording]:
    path = patient / f"Seizures-list-{patient.name}.txt"
    if not path.is_file():
        raise UserError(f"{path}: no such file; it lists the seizures, so fetch it")
    on_disk = [file.name for file in list_edf(patient)]
    listed, interpreted = parse_list(read_text(path), str(path))
    notes += interpreted
    seizures: dict[str, list[ListedSeizure]] = {}
    for seizure in listed:
        name = match_name(seizure.file, on_disk)
        if name != seizure.file and name not in seizures:
            notes.append(f"{path}: {seizure.file} is {name}")
        seizures.setdefault(name, []).append(seizure)
    recordings = []
    for run, name in enumerate(sorted({*on_disk, *seizures}), start=1):
        info = read_edf_info(patient / name)
        events = None
        if name in seizures:
            events = tuple(_to_event(seizure, info, kind, f"{path}: {name}") for seizure in seizures[name])
            notes += _compare_starts(seizures[name][0], info, f"{path}: {name}")
        recordings.append(SourceRecording(patient / name, patient.name[2:], "01", run, info, events))
    return recordings


def _start_of(info: EdfInfo | None) -> int | None:
    """Second of the day of the first sample; None if the header does not tell (midnight sharp is no time)."""
    if info is None or info.start is None:
        return None
    return info.start.hour * 3600 + info.start.minute * 60 + info.start.second or None


def _to_event(seizure: ListedSeizure, info: EdfInfo | None, kind: str, where: str) -> Event:
    start_s = _start_of(info)
    start_s = seizure.registration_s if start_s is None else start_s
    if start_s is None:
        raise UserError(f"{where}: neither the list nor the EDF header says when the recording starts; correct it")
    onset_s = (seizure.onset_s - start_s) % DAY_S
    return Event(float(onset_s), float((seizure.stop_s - seizure.onset_s) % DAY_S), kind)


def _compare_starts(seizure: ListedSeizure, info: EdfInfo | None, where: str) -> list[str]:
    header_s, listed_s = _start_of(info), seizure.registration_s
    if header_s is None or listed_s is None or abs(header_s - listed_s) <= 1:
        return []
    written = [f"{s // 3600:02}.{s // 60 % 60:02}.{s % 60:02}" for s in (listed_s, header_s)]
    return [f"{where} starts at {written[0]} by the list, {written[1]} by the EDF header, which is taken"]


def _read_subject_info(path: Path) -> dict[str, dict[str, str]]:
    """Rows of ``subject_info.csv`` by patient; none if there is no such file."""
    lines = read_text(path).splitlines() if path.is_file() else []
    rows = [
        {(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        for row in csv.DictReader(lines)
    ]
    return {row["patient_id"]: row for row in rows if "patient_id" in row}
