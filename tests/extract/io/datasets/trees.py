"""Small data sets in the exact shape in which their authors ship them: names, channels, files, odd cases."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path

import edfio
import numpy as np

RATE_HZ = 64
DIGITAL = (-32768, 32767)
CHBMIT_CHANNELS = (
    *("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4"),
    *("P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2", "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10", "FT10-T8"),
    "T8-P8",  # twice
)
ELECTRODES = (
    *("FP1", "F3", "C3", "P3", "O1", "F7", "T3", "T5", "FZ", "CZ", "PZ", "FP2", "F4", "C4", "P4", "O2", "F8"),
    *("T4", "T6"),
)
SIENA_CHANNELS = (
    *("EEG Fp1", "EEG F3", "EEG C3", "EEG P3", "EEG O1", "EEG F7", "EEG T3", "EEG T5", "EEG Fc1", "EEG Fc5"),
    *("EEG Cp1", "EEG Cp5", "EEG F9", "EEG Fz", "EEG CZ", "EEG Pz", "EEG FP2", "EEG F4", "EEG C4", "EEG P4"),
    *("EEG O2", "EEG F8", "EEG T4", "EEG T6", "EEG Fc2", "EKG EKG", "SPO2", "HR", "1", "2", "MK"),
)
START = datetime(2076, 11, 6, 13, 43, 4)


def write_edf(
    path: Path,
    seconds: int,
    names: Sequence[str],
    seizures: Sequence[tuple[float, float]] = (),
    rate_hz: int = RATE_HZ,
    start: datetime | None = START,
    patient: edfio.Patient | None = None,
    seed: int = 0,
    annotated: bool = False,
) -> Path:
    """Noise, and in seizures an 8-Hz rhythm that is as much louder in each next channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = np.random.default_rng([seed, len(path.name)]).normal(0, 30, (len(names), seconds * rate_hz))
    if "T8-P8" in names:
        signal[len(names) - 1 - names[::-1].index("T8-P8")] = signal[names.index("T8-P8")]
    at_s = np.arange(signal.shape[1]) / rate_hz
    ictal = np.zeros(len(at_s), bool)
    for onset_s, stop_s in seizures:
        ictal |= (at_s >= onset_s) & (at_s < stop_s)
    rhythm = 200 * np.sin(2 * np.pi * 8 * at_s) * ictal
    loudness = [1 + names.index(name) % 5 for name in names]
    signals = [
        edfio.EdfSignal(
            row + factor * rhythm / 3,
            rate_hz,
            label=name,
            physical_dimension="uV",
            physical_range=(-800, 800),
            digital_range=DIGITAL,
        )
        for name, row, factor in zip(names, np.clip(signal, -400, 400), loudness, strict=True)
    ]
    notes = [edfio.EdfAnnotation(0, None, "recording")] if annotated else None
    edf = edfio.Edf(signals, patient=patient, annotations=notes, starttime=start.time() if start else time(0, 0))
    if start:
        edf.startdate = start.date()
    edf.write(path)
    return path


def write_header(path: Path, seconds: int) -> None:
    """The header of an EDF file alone: its length can be read, its signal is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = write_edf(path, 1, ("FP1-F7",)).read_bytes()[:512]
    path.write_bytes(whole[:236] + f"{seconds:<8}".encode() + whole[244:])


def summary(entries: Mapping[str, Sequence[tuple[int, int]]], numbered: bool = True, clock: bool = True) -> str:
    """A ``chbNN-summary.txt``; seizures are numbered or not, and chb24's has no clock times."""
    head = (
        "Data Sampling Rate: 256 Hz\n*************************\n\nChannels in EDF Files:\n**********************\n"
    )
    text = head + "".join(f"Channel {n}: {name}\n" for n, name in enumerate(CHBMIT_CHANNELS, start=1)) + "\n"
    for name, seizures in entries.items():
        text += f"File Name: {name}\n"
        text += "File Start Time: 23:43:04\nFile End Time: 24:43:04\n" if clock else ""
        text += f"Number of Seizures in File: {len(seizures)}\n"
        for number, (start, stop) in enumerate(seizures, start=1):
            which = f"Seizure {number}" if numbered else "Seizure"
            text += f"{which} Start Time:  {start} seconds\n{which} End Time: {stop} seconds\n"
        text += "\n"
    return text


def write_chbmit(root: Path, seconds: int = 60) -> Path:
    """Four cases: chb01 and chb21 of one girl, chb02, and chb24 with a recording that no summary lists."""
    cases: dict[str, dict[str, list[tuple[int, int]]]] = {
        "chb01": {"chb01_01.edf": [], "chb01_03.edf": [(20, 40)]},
        "chb02": {"chb02_16+.edf": [(10, 20), (35, 50)], "chb02_16.edf": []},
        "chb21": {"chb21_19.edf": [(25, 45)]},
        "chb24": {"chb24_01.edf": [(5, 30)]},
    }
    for seed, (case, entries) in enumerate(cases.items()):
        for name, seizures in entries.items():
            write_edf(root / case / name, seconds, CHBMIT_CHANNELS, seizures, seed=seed)
        text = summary(entries, numbered=case == "chb02", clock=case != "chb24")
        (root / case / f"{case}-summary.txt").write_text(text)
    write_edf(root / "chb24" / "chb24_02.edf", seconds, CHBMIT_CHANNELS)
    (root / "chb01" / "chb01_03.edf.seizures").write_bytes(b"\0\1\2")
    names = ["chb01_01", "chb01_02", "chb01_03", "chb02_16", "chb02_16+", "chb21_19", "chb24_01", "chb24_02"]
    (root / "RECORDS").write_text("".join(f"{name[:5]}/{name}.edf\n" for name in names))
    (root / "SUBJECT-INFO").write_text(
        "Case\tGender\tAge (years)\n\nchb01\tF\t11\nchb02\tM\t11\nchb06\tF\t 1.5\nchb21\tF\t13\n"
    )
    return root


SIENA_LISTS = {
    "PN00": """Data Sampling Rate: 512 Hz
*************************

Channels in EDF Files:
**********************
Channel 1: Fp1
Channel 5: 1

Seizure n 1
File name: PN00-1.edf
Registration start time: 19.39.33
Registration end time:  19.40.33
Seizure start time: 19.39.53
Seizure end time: 19.40.13

Seizure n 2 (in sleep):
File name: PN00-2.edf
Registration start time: 23.59.30
Registration end time: 00.00.30
Seizure start time: 23.59.50
Seizure end time: 00.00.15
""",
    "PN01": """Data Sampling Rate: 512 Hz
File name: PN01.edf
Registration start time:19:00:44
Registration end time: 19:01:44

Seizure n 1
Start time: 19:00:50
End time: 19:01:00

Seizure n 2
Start time: 19:01:10
End time: 19:01:34
""",
    "PN06": """Seizure n 1
File name: PNO6-1.edf
Registration start time: 16.17.45
Registration end time: 19.18.45
Seizure start time: 19.17.55
Seizure end time: 19:18.15

Seizure n 2
File name: PN06-2.edf
Registration start time:1 6.49.25
Registration end time: 16.50.25
Seizure start time: 16.49.35 (CLINICAL ONSET); 16.49.41 (ELECTRIC ONSET)
Seizure end time: 16.50.05 opure 16.49.55
Seizure n 3
File name: PN06-2.edf
Seizure start time: 16.50.10
Seizure end time: 16.50.20
""",
    "PN11": """Seizure n 1:
File name: PN11-.edf
Registration start time: 11.31.25
Registration end time: 11.32.25
Seizure start time: 11.31.35
Seizure end time: 11.31.55
""",
}
SIENA_FILES = {
    "PN00-1.edf": (time(19, 39, 33), [(20, 40)]),
    "PN00-2.edf": (time(23, 59, 30), [(20, 45)]),
    "PN01-1.edf": (time(19, 0, 44), [(6, 16), (26, 50)]),
    "PN06-1.edf": (time(19, 17, 45), [(10, 30)]),  # three hours later than its list says
    "PN06-2.edf": (time(16, 49, 25), [(16, 40), (45, 55)]),
    "PN11-1.edf": (time(11, 31, 25), [(10, 30)]),
}


def write_siena(root: Path, seconds: int = 60) -> Path:
    """Four patients with the odd cases of the real lists."""
    for seed, (name, (start, seizures)) in enumerate(SIENA_FILES.items()):
        at = datetime.combine(date(2016, 1, 1), start)
        write_edf(root / name[:4] / name, seconds, SIENA_CHANNELS, seizures, start=at, seed=seed)
    for patient, text in SIENA_LISTS.items():
        (root / patient / f"Seizures-list-{patient}.txt").write_text(text)
    (root / "subject_info.csv").write_text(
        "patient_id, age_years, gender, seizure, localization, lateralization, eeg_channel, number_seizures\n"
        "PN00,55,Male,IAS,T,R,29,5\nPN01,46,Male,FBTC,T,L,29,2\nPN06,36,Female,WIAS,T,L,29,5\n"
    )
    return root


def tusz_rows(rows: Sequence[tuple[str, float, float, str]], seconds: int) -> str:
    """A .csv or .csv_bi file."""
    head = f"# version = csv_v1.0.0\n# bname = name\n# duration = {seconds:.2f} secs\n"
    head += "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
    head += "channel,start_time,stop_time,label,confidence\n"
    return head + "".join(f"{c},{start:.4f},{stop:.4f},{label},1.0000\n" for c, start, stop, label in rows)


def write_tusz(root: Path, seconds: int = 60) -> Path:
    """Four patients in three splits: two references, two rates, with and without .csv or .csv_bi."""
    seizures = {
        "train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000": [(10.25, 35.5)],
        "train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t001": [],
        "train/aaaaaaac/s004_2002/02_tcp_le/aaaaaaac_s004_t000": [(5.0, 15.0), (30.0, 50.0)],
        "train/aaaaaaju/s001_2010/01_tcp_ar/aaaaaaju_s001_t003": [(20.0, 40.0)],
        "dev/aaaaaajy/s002_2003/01_tcp_ar/aaaaaajy_s002_t000": [(20.0, 45.0)],
        "eval/aaaaaaaq/s007_2014/03_tcp_ar_a/aaaaaaaq_s007_t001": [(15.0, 50.0)],
    }
    for seed, (stem, own) in enumerate(seizures.items()):
        reference, rate_hz = ("LE", 50) if "_le" in stem else ("REF", 64)
        ears = () if "ar_a" in stem else (f"EEG A1-{reference}", f"EEG A2-{reference}")
        names = (*(f"EEG {name}-{reference}" for name in ELECTRODES), *ears, "EEG EKG1-REF", "PHOTIC-REF", "IBI")
        path = root / "edf" / f"{stem}.edf"
        patient = edfio.Patient(code=path.stem[:8], sex="F", birthdate=date(1950, 1, 1), additional=["Age:52"])
        write_edf(path, seconds, names, own, rate_hz, patient=patient, seed=seed)
        edges = [0.0, *(edge for pair in own for edge in pair), float(seconds)]
        labels = ["bckg", "seiz"] * len(edges)
        terms = [("TERM", *times, label) for times, label in zip(pairwise(edges), labels, strict=False)]
        path.with_suffix(".csv_bi").write_text(tusz_rows(terms, seconds))
        channels = [(c, start, stop, "cpsz") for start, stop in own for c in ("FP1-F7", "F7-T3")]
        path.with_suffix(".csv").write_text(tusz_rows([("FP1-F7", 0.0, 5.0, "bckg"), *channels], seconds))
    only_channels = root / "edf/dev/aaaaaajy/s002_2003/01_tcp_ar/aaaaaajy_s002_t000"
    only_channels.with_suffix(".csv_bi").unlink()
    rows = [("FP1-F7", 20.0, 30.0, "fnsz"), ("F7-T3", 25.0, 45.0, "tcsz"), ("T3-T5", 0.0, 60.0, "bckg")]
    only_channels.with_suffix(".csv").write_text(tusz_rows(rows, seconds))
    (root / "edf/eval/aaaaaaaq/s007_2014/03_tcp_ar_a/aaaaaaaq_s007_t001.csv").unlink()
    return root


SEIZEIT2_COLUMNS = (
    *("onset", "duration", "eventType", "lateralization", "localization", "vigilance", "confidence", "channels"),
    *("dateTime", "recordingDuration"),
)
SEIZEIT2_CHANNELS = {  # the three pairs that there are
    "001": ("BTEleft SD", "CROSStop SD"),
    "002": ("BTEleft SD", "BTEright SD"),
    "003": ("BTEright SD", "CROSStop SD"),
}


def write_seizeit2(root: Path, seconds: int = 60, impedance: bool = True) -> Path:
    """Three patients: behind-the-ear EEG at 256 Hz, and ECG, EMG and movement in folders of their own.

    Recordings with seizures list these, others one row of background; impedance checks stand in both.
    """
    others = {
        "ecg": (("ECG SD",), 256),
        "emg": (("EMG SD",), 256),
        "mov": (("EEG SD ACC X", "EEG SD GYR A", "ECGEMG SD ACC X", "ECGEMG SD GYR A"), 25),
    }
    midnight = datetime(2000, 1, 1)
    for (subject, names), run in ((item, run) for item in SEIZEIT2_CHANNELS.items() for run in (1, 2)):
        session = root / f"sub-{subject}" / "ses-01"
        stem = f"sub-{subject}_ses-01_task-szMonitoring_run-{run:02}"
        seizures = [(20, 45)] if run == 1 else []
        eeg = session / "eeg" / f"{stem}_eeg.edf"
        write_edf(eeg, seconds, names, seizures, 256, midnight, seed=run + int(subject), annotated=True)
        sidecar = {"SamplingFrequency": 256, "EEGChannelCount": 2, "EEGPlacementScheme": "behind-the-ear"}
        eeg.with_suffix(".json").write_text(json.dumps({**sidecar, "RecordingDuration": seconds}))
        for modality, (other_names, rate_hz) in others.items():
            path = session / modality / f"{stem}_{modality}.edf"
            write_edf(path, seconds, other_names, (), rate_hz, midnight, annotated=True)
            path.with_suffix(".json").write_text("{}")
        ending = ["n/a", "n/a", "n/a", f"{midnight}", f"{seconds:.2f}"]
        rows = [["20.00", "25.00", "sz_foc_ia_m_tonic", "left", "temp", *ending]] if run == 1 else []
        rows = rows or [["0.00", f"{seconds:.2f}", "bckg", "n/a", "n/a", *ending]]
        rows += [["50.00", "5.00", "impd", "n/a", "n/a", *ending]] if impedance else []
        text = "".join("\t".join(row) + "\n" for row in [SEIZEIT2_COLUMNS, *rows])
        (session / "eeg" / f"{stem}_events.tsv").write_text(text)
    (root / ".bidsignore").write_text("/sub-*/ses-01/ecg/**\n/sub-*/ses-01/emg/**\n/sub-*/ses-01/mov/**")
    description = {"Name": "BIDS SeizeIT2", "BIDSVersion": "1.8.0", "DatasetType": "raw", "License": "OpenNeuro"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root
