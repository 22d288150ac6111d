"""``python -m extract.demo DIR``: write a synthetic BIDS EEG data set with seizures, to try the commands on."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("extract.demo"))

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from edfio import Edf, EdfSignal, Patient, Recording
from tqdm import tqdm

from extract.io.events import format_events
from extract.io.montage import CHANNELS
from extract.synthetic.signal_model import (
    MAINS_HZ,
    SAMPLE_RATE_HZ,
    Array,
    bipolar,
    draw_person,
    draw_seizure,
    simulate,
)
from store.runtime.atomic_folder import atomic_folder
from store.runtime.cli import run
from store.runtime.errors import UserError, os_errors
from store.runtime.limits import SEEDS, require_limits
from store.runtime.plurals import count_noun
from store.schema import Event

HELP = """Write a synthetic BIDS EEG data set with seizures, to try the commands on; no person was recorded.

Start with: --persons, --recordings of each person, --minutes of each recording."""
START = datetime(2000, 1, 1)
PHYSICAL_RANGE_UV = (-3276.8, 3276.7)  # 0.1 uV a digital step
README = """SYNTHETIC EEG: no person was recorded. A signal model made every sample of this data set, seizures
included, to try software on. How well a detector works on people cannot be learnt from it.
"""
DESCRIPTION = {
    "Name": "Synthetic EEG with seizures (simulated, no person was recorded)",
    "BIDSVersion": "1.8.0",
    "DatasetType": "raw",
    "License": "CC0",
}
LIMITS = {"persons": (1, 99), "recordings": (1, 99), "minutes": (1, 60), "seed": SEEDS}
PARTICIPANTS = {"participant_id": {"Description": "A synthetic person: parameters of a signal model, nobody"}}


@dataclass(frozen=True)
class DemoCommand:
    """What to simulate and where to write it."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder for the new data set; it must not exist or must be empty."""
    persons: int = 5
    """Number of persons, each with its own rhythm, background and seizure focus."""
    recordings: int = 2
    """Number of recordings per person."""
    minutes: float = 4
    """Length of a recording in minutes."""
    seed: int = 0
    """Random seed; the same seed gives the same files."""


def to_edf(signal_uv: Array, person: str, start: datetime) -> Edf:
    """EDF of a recording ``(C, N)`` in uV, its header marked synthetic."""
    signals = [
        EdfSignal(
            row,
            SAMPLE_RATE_HZ,
            label=name,
            transducer_type="synthetic",
            physical_dimension="uV",
            physical_range=PHYSICAL_RANGE_UV,
        )
        for name, row in zip(CHANNELS, signal_uv, strict=True)
    ]
    recording = Recording(startdate=start.date(), equipment_code="synthetic", additional=["no_real_EEG"])
    patient = Patient(code="synthetic", name=person)
    return Edf(signals, patient=patient, recording=recording, starttime=start.time())


def to_json(fields: dict[str, Any]) -> str:
    """Text of a JSON file."""
    return json.dumps(fields, indent=2) + "\n"


def sidecar(duration_s: int) -> str:
    """Text of a recording's ``_eeg.json``."""
    return to_json(
        {
            "TaskName": "szMonitoring",
            "TaskDescription": "none: synthetic EEG",
            "EEGReference": "bipolar double banana",
            "SamplingFrequency": SAMPLE_RATE_HZ,
            "PowerLineFrequency": MAINS_HZ,
            "SoftwareFilters": "n/a",
            "EEGChannelCount": len(CHANNELS),
            "RecordingType": "continuous",
            "RecordingDuration": duration_s,
        }
    )


def write_recording(
    stem: Path, person: str, signal_uv: Array, event: Event | None, duration_s: int, start: datetime
) -> None:
    """Write the four files of one recording, each path ``stem`` and a suffix."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    to_edf(signal_uv, person, start).write(f"{stem}_eeg.edf")
    Path(f"{stem}_eeg.json").write_text(sidecar(duration_s), encoding="utf-8")
    events = format_events([event] if event else [], duration_s, start)
    Path(f"{stem}_events.tsv").write_text(events, encoding="utf-8")
    rows = "".join(f"{name}\tEEG\tuV\n" for name in CHANNELS)
    Path(f"{stem}_channels.tsv").write_text(f"name\ttype\tunits\n{rows}", encoding="utf-8")


def write_data_set(root: Path, settings: DemoCommand) -> int:
    """Write all files below ``root`` and return how many seizures they hold.

    The first person's later half is a second session; of every other person's recordings, when there are
    several, the last is without seizure. A person's data do not depend on how many persons there are.
    """
    root.mkdir(exist_ok=True)
    duration_s, seizures = round(60 * settings.minutes), 0
    names = [f"sub-{number:02d}" for number in range(1, settings.persons + 1)]
    rows = "".join(f"{name}\tn/a\tn/a\n" for name in names)
    (root / "README").write_text(README, encoding="utf-8")
    (root / "dataset_description.json").write_text(to_json(DESCRIPTION), encoding="utf-8")
    (root / "participants.tsv").write_text(f"participant_id\tage\tsex\n{rows}", encoding="utf-8")
    (root / "participants.json").write_text(to_json(PARTICIPANTS), encoding="utf-8")
    for index, name in enumerate(tqdm(names, unit="person", leave=False)):
        person = draw_person(np.random.default_rng([settings.seed, index]))
        for number in range(settings.recordings):
            generator = np.random.default_rng([settings.seed, index, number + 1])
            quiet = index % 2 == 1 and 0 < number == settings.recordings - 1
            event = None if quiet else draw_seizure(duration_s, generator)
            seizures += event is not None
            signal_uv = bipolar(simulate(person, event, duration_s * SAMPLE_RATE_HZ, generator))
            first = (settings.recordings + 1) // 2 if index == 0 else settings.recordings
            session, run_number = (1, number) if number < first else (2, number - first)
            folder = root / name / f"ses-{session:02d}" / "eeg"
            stem = f"{name}_ses-{session:02d}_task-szMonitoring_run-{run_number:02d}"
            start = START + timedelta(seconds=number * duration_s)
            write_recording(folder / stem, name, signal_uv, event, duration_s, start)
    return seizures


def generate(settings: DemoCommand) -> None:
    """Write the data set aside and move it into place when it is whole.

    Raises
    ------
    UserError
        If a setting is out of range, the folder is there and not empty or is a file, or the disk is full.
    """
    require_limits(settings, LIMITS)
    with os_errors(settings.directory):
        directory = Path(os.path.realpath(settings.directory))  # also of links in a circle
        if os.path.lexists(directory) and not (directory.is_dir() and not any(directory.iterdir())):
            raise UserError(f"{settings.directory} exists and is not an empty folder; give a new folder")
        with atomic_folder(directory) as aside:
            seizures = write_data_set(aside, settings)
    count = settings.persons * settings.recordings
    hours = count * round(60 * settings.minutes) / 3600
    print(
        f"synthetic data set: {count_noun(settings.persons, 'person')}, {count_noun(count, 'recording')}, "
        f"{hours:.2f} h, {count_noun(seizures, 'seizure')} in {settings.directory}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    example = "demo/bids --persons 5 --recordings 2 --minutes 4"
    return run(generate, DemoCommand, argv, module="extract.demo", description=HELP, examples=[example])
