"""TUSZ as NEDC ships it: ``edf/train/PATIENT/s001_2002/02_tcp_le/PATIENT_s001_t000.edf``, .csv_bi and .csv.

epilepsy2bids reads the .csv_bi files only, fails on labels that it has no name for, and numbers patients by
their order on the disk, so that a partial download names them differently: so this reads them.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from extract.io.datasets.source import (
    EdfInfo,
    Participant,
    SourceDataSet,
    SourceRecording,
    read_edf_info,
    read_text,
    require_folder,
)
from store import Event
from store.runtime.errors import UserError

SPLITS = ("train", "dev", "eval")
DESCRIPTION = {
    "Name": "TUH EEG Seizure Corpus (TUSZ)",
    "License": "of the Neural Engineering Data Consortium; not to be passed on",
    "Authors": ["Vinit Shah", "Iyad Obeid", "Joseph Picone"],
    "HowToAcknowledge": "Shah V. et al. The Temple University Hospital Seizure Detection Corpus. Frontiers in "
    "Neuroinformatics 12:83, 2018.",
    "SourceDatasets": [{"URL": "https://isip.piconepress.com/projects/nedc/html/tuh_eeg/"}],
}
SIDECAR = {"PowerLineFrequency": 60, "EEGReference": "n/a", "SoftwareFilters": "n/a"}
COLUMNS = ("channel", "start_time", "stop_time", "label")
KINDS = {
    "fnsz": "sz_foc",
    "gnsz": "sz_gen",
    "spsz": "sz_foc_a",
    "cpsz": "sz_foc_ia",
    "absz": "sz_gen_nm",
    "tnsz": "sz_gen_m_tonic",
    "cnsz": "sz_gen_m_clonic",
    "tcsz": "sz_gen_m_tonicClonic",
    "atsz": "sz_gen_m_atonic",
    "mysz": "sz_gen_nm_myoclonic",
}
BACKGROUND = "bckg"
SEIZURES = ("seiz", *KINDS, "nesz")  # of any kind; of a kind that SzCORE names; non-epileptic
_NAME = re.compile(r"([a-z0-9]+)_s(\d+)_t(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row of an annotation file, other than background."""

    start_s: float
    stop_s: float
    label: str


def parse_rows(text: str, where: str) -> list[Row]:
    r"""Rows of a .csv_bi or .csv file whose label is not ``bckg``.

    Raises
    ------
    UserError
        If columns are missing, it has no row, a row has no times, or a label is none of TUSZ.

    >>> parse_rows("# version = csv_v1.0.0\n#\nchannel,start_time,stop_time,label,confidence\n"
    ...            "TERM,0.0000,36.5,bckg,1.0\nTERM,36.5,40.0,seiz,1.0\n", "")
    [Row(start_s=36.5, stop_s=40.0, label='seiz')]
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    reader = csv.DictReader(lines, skipinitialspace=True)
    if absent := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise UserError(f"{where}: no column {', '.join(absent)}; expected {','.join(COLUMNS)}; fetch it again")
    rows = []
    for row in reader:
        label = (row["label"] or "").strip().lower()
        try:
            start_s, stop_s = float(row["start_time"]), float(row["stop_time"])
        except (TypeError, ValueError):
            start_s, stop_s = 0.0, -1.0
        if not 0 <= start_s <= stop_s or not label:
            raise UserError(f"{where}: a row '{','.join(str(cell) for cell in row.values())}'; fetch it again")
        if label not in (BACKGROUND, *SEIZURES):
            raise UserError(
                f"{where}: label '{label}' is none of TUSZ; allowed: {', '.join((BACKGROUND, *SEIZURES))}; "
                "correct it, or fetch the file again"
            )
        rows.append(Row(start_s, stop_s, label))
    if not rows:
        raise UserError(f"{where}: has no row, not even of background; fetch it again")
    return [row for row in rows if row.label != BACKGROUND]


def merge(rows: Iterable[Row]) -> list[Row]:
    """Union of rows over channels; the label of most seconds names each.

    >>> merge([Row(5, 9, "fnsz"), Row(8, 12, "tcsz"), Row(20, 21, "gnsz")])
    [Row(start_s=5, stop_s=12, label='fnsz'), Row(start_s=20, stop_s=21, label='gnsz')]
    """
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row.start_s):
        if groups and row.start_s <= max(other.stop_s for other in groups[-1]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return [Row(group[0].start_s, max(row.stop_s for row in group), _main_label(group)) for group in groups]


def _main_label(rows: Iterable[Row]) -> str:
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row.label] = seconds.get(row.label, 0) + row.stop_s - row.start_s
    return max(seconds, key=lambda label: seconds[label], default="seiz")


def read_seizures(edf: Path) -> tuple[Event, ...] | None:
    """Seizures in the files beside an EDF file, None if it has no such files.

    The .csv_bi file says when; without it, all channels of the .csv file together. The .csv file says which kind.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    binary, multi = edf.with_suffix(".csv_bi"), edf.with_suffix(".csv")
    by_channel = parse_rows(read_text(multi), str(multi)) if multi.is_file() else None
    if binary.is_file():
        rows = parse_rows(read_text(binary), str(binary))
    elif by_channel is not None:
        rows = merge(by_channel)
    else:
        return None
    events = []
    for row in rows:
        kinds = [_clip(other, row) for other in by_channel or () if _overlap(other, row)]
        kind = KINDS.get(_main_label(kinds) if kinds else row.label, "sz")
        events.append(Event(row.start_s, row.stop_s - row.start_s, kind))
    return tuple(events)


def _overlap(row: Row, other: Row) -> bool:
    return row.start_s < other.stop_s and other.start_s < row.stop_s


def _clip(row: Row, to: Row) -> Row:
    return Row(max(row.start_s, to.start_s), min(row.stop_s, to.stop_s), row.label)


def read(source: Path) -> SourceDataSet:
    """Recordings, persons, seizures and splits of TUSZ; patients, sessions and runs keep their names and numbers.

    Raises
    ------
    UserError
        If there is no split, a file is named otherwise or cannot be read, or a patient is in two splits.
    """
    require_folder(source)
    root = source / "edf" if (source / "edf").is_dir() else source
    recordings: list[SourceRecording] = []
    patients: dict[str, Participant] = {}
    for split in SPLITS:
        for edf in tqdm(_list_recordings(root / split), desc=split, unit=" files", disable=None, leave=False):
            match = _NAME.fullmatch(edf.stem)
            if match is None:
                raise UserError(f"{edf}: not named as PATIENT_s001_t000.edf; move it out of the data set")
            patient = match[1]
            info = read_edf_info(edf)
            session, run = f"{int(match[2]):03}", int(match[3])
            recordings.append(SourceRecording(edf, patient, session, run, info, read_seizures(edf)))
            known = patients.setdefault(patient, _participant(patient, info, split))
            if known.split != split:
                raise UserError(f"{edf}: patient {patient} is in {known.split} too; a person belongs to one split")
    if not recordings:
        raise UserError(f"{source}: nothing in edf/train, edf/dev or edf/eval; give the folder that holds edf")
    return SourceDataSet(DESCRIPTION, SIDECAR, tuple(recordings), tuple(patients.values()))


def _list_recordings(folder: Path) -> list[Path]:
    """EDF files that are on the disk or that annotation files speak of."""
    annotated = (path for suffix in (".csv_bi", ".csv") for path in folder.rglob(f"*_s*_t*{suffix}"))
    return sorted({*folder.rglob("*.edf"), *(path.with_suffix(".edf") for path in annotated)})


def _participant(patient: str, info: EdfInfo | None, split: str) -> Participant:
    """Sex and age stand in the patient field of the EDF header, ``aaaaaaac F 01-JAN-1950 aaaaaaac Age:52``."""
    text = info.patient if info else ""
    sex, age = re.search(r"\s([FM])\s", text), re.search(r"Age:(\d+)", text)
    return Participant(
        patient, patient, patient, sex[1].lower() if sex else "n/a", age[1] if age else "n/a", split
    )
