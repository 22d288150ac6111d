"""``python -m extract.demo DIR``: write a synthetic BIDS EEG data set with seizures, to try things on."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from edfio import Edf, EdfSignal, Patient, Recording
from numpy.random import Generator
from numpy.typing import NDArray
from tqdm import tqdm

from extract.montage import CHANNELS
from store.cli import run
from store.schema import Event

Array = NDArray[np.float64]

SAMPLE_RATE_HZ = 256
MAINS_HZ = 60
START = datetime(2000, 1, 1)
PHYSICAL_RANGE_UV = (-3276.8, 3276.7)  # 0.1 uV a digital step
ELECTRODES = {  # 10-20 positions seen from above, the head a unit disc, nose at (0, 1)
    **{"FP1": (-0.31, 0.95), "FP2": (0.31, 0.95)},
    **{"F7": (-0.81, 0.59), "F3": (-0.42, 0.50), "FZ": (0, 0.48), "F4": (0.42, 0.50), "F8": (0.81, 0.59)},
    **{"T7": (-1, 0), "C3": (-0.50, 0), "CZ": (0, 0), "C4": (0.50, 0), "T8": (1, 0)},
    **{
        "P7": (-0.81, -0.59),
        "P3": (-0.42, -0.50),
        "PZ": (0, -0.48),
        "P4": (0.42, -0.50),
        "P8": (0.81, -0.59),
    },
    **{"O1": (-0.31, -0.95), "O2": (0.31, -0.95)},
}
FOCI = ("T7", "T8", "F7", "F8", "C3", "C4", "P7", "P8")
README = """SYNTHETIC EEG: no person was recorded. A signal model made every sample of this data set, seizures
included, to try software on. How well a detector works on people cannot be learnt from it.
"""
DESCRIPTION = {
    "Name": "Synthetic EEG with seizures (simulated, no person was recorded)",
    "BIDSVersion": "1.8.0",
    "DatasetType": "raw",
    "License": "CC0",
}
PARTICIPANTS = {"participant_id": {"Description": "A synthetic person: parameters of a signal model, nobody"}}


@dataclass(frozen=True)
class Settings:
    """What to simulate and where to write it."""

    directory: tyro.conf.Positional[Path]
    """Folder of the new data set; absent or empty."""
    persons: int = 5
    """Persons, each with its own rhythm, background and seizure focus."""
    recordings: int = 2
    """Recordings of each person."""
    minutes: float = 4
    """Length of a recording."""
    seed: int = 0
    """The same seed gives the same files."""


@dataclass(frozen=True)
class Person:
    """What stays the same in all recordings of one simulated person."""

    focus: str
    slope: float  # of the background's amplitude spectrum
    background_uv: float
    alpha_hz: float
    alpha_uv: float
    muscle_uv: float
    mains_uv: float
    ictal_uv: float
    fast_hz: float  # the seizure's rhythm at onset
    slow_hz: float  # and towards its end


def draw_person(generator: Generator) -> Person:
    """Draw a person's focus, background and seizure type."""
    return Person(
        focus=str(generator.choice(FOCI)),
        slope=generator.uniform(0.7, 1.1),
        background_uv=generator.uniform(18, 38),
        alpha_hz=generator.uniform(8.5, 11),
        alpha_uv=generator.uniform(10, 30),
        muscle_uv=generator.uniform(10, 30),
        mains_uv=generator.uniform(0.5, 3),
        ictal_uv=generator.uniform(220, 420),
        fast_hz=generator.uniform(9, 14),
        slow_hz=generator.uniform(2, 3),
    )


def draw_seizure(duration_s: int, generator: Generator) -> Event:
    """Place one seizure in a recording, with background before and after it; times are whole centiseconds."""
    length_s = min(generator.uniform(25, 60), duration_s / 3)
    onset_s = generator.uniform(0.25, 0.55) * duration_s
    return Event(round(onset_s, 2), round(length_s, 2), "sz_foc")


def distances(electrode: str) -> Array:
    """Distances ``(E,)`` of all electrodes from one, in head radii."""
    positions = np.array(list(ELECTRODES.values()))
    far: Array = np.linalg.norm(positions - ELECTRODES[electrode], axis=1)
    return far


def bipolar(electrodes_uv: Array) -> Array:
    """Differences ``(C, N)`` in canonical channel order of electrode signals ``(E, N)``."""
    names = list(ELECTRODES)
    plus, minus = np.array([[names.index(end) for end in channel.split("-")] for channel in CHANNELS]).T
    difference_uv: Array = electrodes_uv[plus] - electrodes_uv[minus]
    return difference_uv


def noise(gain: Callable[[Array], Array], count: int, samples: int, generator: Generator) -> Array:
    """Gaussian noise ``(count, samples)`` of unit variance with amplitude spectrum ``gain(frequency_hz)``."""
    frequency_hz: Array = np.arange(samples // 2 + 1, dtype=np.float64) * (SAMPLE_RATE_HZ / samples)
    spectrum = np.fft.rfft(generator.standard_normal((count, samples))) * gain(frequency_hz)
    signal: Array = np.fft.irfft(spectrum, samples)
    signal /= signal.std(axis=1, keepdims=True)
    return signal


def band(low_hz: float, high_hz: float) -> Callable[[Array], Array]:
    """Gain of a band with soft edges, for `noise`."""
    return lambda f: np.exp(-(((f - (low_hz + high_hz) / 2) / ((high_hz - low_hz) / 2)) ** 4))


def bursts(per_minute: float, lengths_s: tuple[float, float], samples: int, generator: Generator) -> Array:
    """Envelope ``(samples,)`` of bursts at random times: humps of height 0.5 to 1, zero elsewhere."""
    envelope = np.zeros(samples)
    for _ in range(generator.poisson(per_minute * samples / SAMPLE_RATE_HZ / 60)):
        hump = np.hanning(round(generator.uniform(*lengths_s) * SAMPLE_RATE_HZ))
        start = generator.integers(samples)
        part = envelope[start : start + len(hump)]
        np.maximum(part, (generator.uniform(0.5, 1) * hump)[: len(part)], out=part)
    return envelope


def smooth_step(x: Array) -> Array:
    """Rise from 0 at ``x <= 0`` to 1 at ``x >= 1``."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def background(person: Person, samples: int, generator: Generator) -> Array:
    """Ongoing activity ``(E, samples)`` in uV: 1/f noise that neighbours share."""
    between = np.array([distances(name) for name in ELECTRODES])
    mixing = np.exp(-((between / 0.45) ** 2))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)

    def gain(f: Array) -> Array:
        return np.where(f < 0.3, 0, np.maximum(f, 0.7) ** -person.slope)

    return person.background_uv * mixing @ noise(gain, len(ELECTRODES), samples, generator)


def alpha(person: Person, samples: int, generator: Generator) -> Array:
    """Posterior rhythm ``(E, samples)`` in uV that waxes and wanes."""
    rhythm = noise(band(person.alpha_hz - 0.8, person.alpha_hz + 0.8), 2, samples, generator)
    waxing = smooth_step(0.5 + 0.5 * noise(band(-0.1, 0.1), 1, samples, generator))
    maps = np.exp(-((np.array([distances("O1"), distances("O2")]) / 0.6) ** 2))
    return person.alpha_uv * maps.T @ (rhythm * waxing)


def artefacts(person: Person, samples: int, generator: Generator) -> Array:
    """What is not brain ``(E, samples)`` in uV: blinks, muscle at the sides, loose electrodes, mains."""
    x, y = np.array(list(ELECTRODES.values())).T
    blinks = np.exp(-(0.95 - y) / 0.25)[:, None] * bursts(8, (0.25, 0.5), samples, generator)
    tension = np.array([bursts(2, (1, 6), samples, generator) for _ in range(2)])
    sides = np.stack([np.clip(-x, 0, 1), np.clip(x, 0, 1)], axis=1) ** 2
    muscle = (sides @ tension) * noise(band(20, 110), len(x), samples, generator)
    loose = np.zeros((len(x), samples))
    loose[generator.integers(len(x))] = bursts(1, (0.5, 4), samples, generator)
    drift = noise(band(0, 2), 1, samples, generator)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    mains = np.sin(2 * np.pi * (MAINS_HZ * time_s + generator.uniform(0, 0.3, (len(x), 1))))
    mains *= generator.uniform(0, 1, (len(x), 1))
    blink_uv = generator.uniform(80, 160)
    body_uv: Array = blink_uv * blinks + person.muscle_uv * muscle
    return body_uv + 80 * loose * drift + person.mains_uv * mains


def waveform(phase: Array, sharpness: Array) -> Array:
    """Periodic wave of height about 1: a sine at sharpness 0, spike and slow wave at 1."""
    spike_wave = 1.8 * np.exp(6 * (np.cos(phase) - 1)) - 0.3 - 0.7 * np.cos(phase - 0.6)
    wave: Array = (1 - sharpness) * np.sin(phase) + sharpness * spike_wave
    return wave


def interictal(person: Person, samples: int, generator: Generator) -> Array:
    """Short rhythmic trains ``(E, samples)`` in uV at three random places: like a seizure, but none."""
    signal: Array = np.zeros((len(ELECTRODES), samples))
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    for place in generator.choice(list(ELECTRODES), 3, replace=False):
        far = distances(place)[:, None]
        rate_hz = generator.uniform(2.5, 8)
        phase = 2 * np.pi * rate_hz * (time_s - 0.02 * far)
        phase += 0.7 * noise(band(-0.5, 0.5), 1, samples, generator)
        train = waveform(phase, np.array(generator.uniform(0, 0.8))) * bursts(1, (1.5, 7), samples, generator)
        signal += 0.25 * person.ictal_uv * np.exp(-((far / 0.6) ** 2)) * train
    return signal


def seizure(person: Person, event: Event, samples: int, generator: Generator) -> Array:
    """Ictal activity ``(E, samples)`` in uV; zero outside the event.

    It begins fast and low at the focus, reaches the others the later the farther they are, slows down,
    sharpens and grows, and ends everywhere at once.
    """
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    elapsed = (time_s - event.onset_s) / event.duration_s
    far = distances(person.focus)[:, None]
    slowing = np.exp(-generator.uniform(2.5, 4) * np.clip(elapsed, 0, 1))
    rate_hz = person.slow_hz + (person.fast_hz - person.slow_hz) * slowing
    rate_hz *= 1 + 0.08 * noise(band(-0.4, 0.4), 1, samples, generator)[0]
    lag_s = 0.05 * far * generator.uniform(0.5, 1.5, far.shape)
    phase = 2 * np.pi * (np.cumsum(rate_hz) / SAMPLE_RATE_HZ - rate_hz * lag_s)
    reached = generator.uniform(0.15, 0.28) * far * generator.uniform(0.8, 1.2, far.shape)
    spread = smooth_step((elapsed - reached) / 0.15)
    grown = 0.2 + 0.8 * smooth_step(elapsed / generator.uniform(0.5, 0.8))
    wobble = 1 + 0.2 * noise(band(-0.5, 0.5), len(far), samples, generator)
    ending = np.clip((event.onset_s + event.duration_s - time_s) / 0.3, 0, 1) * (elapsed >= 0)
    map_uv = person.ictal_uv * np.exp(-far / 1.8) * generator.uniform(0.6, 1.2, far.shape)
    height_uv = generator.uniform(0.8, 1.2) * map_uv * spread * grown * wobble
    return waveform(phase, smooth_step(1.5 * elapsed)) * height_uv * ending


def simulate(person: Person, event: Event | None, samples: int, generator: Generator) -> Array:
    """Electrode potentials ``(E, samples)`` in uV of one recording, with one seizure or none."""
    ongoing, rhythm = background(person, samples, generator), alpha(person, samples, generator)
    other = artefacts(person, samples, generator) + interictal(person, samples, generator)
    if event is None:
        return ongoing + rhythm + other
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    after_s = time_s - event.onset_s - event.duration_s
    exhausted = np.where(after_s < 0, 0, np.exp(-np.maximum(after_s, 0) / generator.uniform(15, 40)))
    slow = noise(band(0.5, 2.5), len(ELECTRODES), samples, generator)
    during = (time_s >= event.onset_s) & (after_s < 0)
    ongoing *= 1 - 0.6 * exhausted
    rhythm *= (1 - exhausted) * np.where(during, 0.3, 1)
    delta = generator.uniform(0.4, 1) * person.background_uv * exhausted * slow
    tense = 0.3 * person.muscle_uv * during * noise(band(20, 110), len(ELECTRODES), samples, generator)
    tense *= smooth_step((time_s - event.onset_s) / event.duration_s)
    return ongoing + rhythm + other + delta + tense + seizure(person, event, samples, generator)


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


def events_tsv(event: Event | None, duration_s: int, start: datetime) -> str:
    """Text of a SzCORE events file: the seizure, or one row of background."""
    onset_s, length_s, kind = (event.onset_s, event.duration_s, event.kind) if event else (0, duration_s, "bckg")
    columns = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
    values = f"{onset_s:.2f}", f"{length_s:.2f}", kind, "n/a", "n/a", f"{start}", f"{duration_s:.2f}"
    return "\t".join(columns) + "\n" + "\t".join(values) + "\n"


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
    Path(f"{stem}_events.tsv").write_text(events_tsv(event, duration_s, start), encoding="utf-8")
    rows = "".join(f"{name}\tEEG\tuV\n" for name in CHANNELS)
    Path(f"{stem}_channels.tsv").write_text(f"name\ttype\tunits\n{rows}", encoding="utf-8")


def write_data_set(root: Path, settings: Settings) -> int:
    """Write all files below ``root`` and return how many seizures they hold.

    The first person's later half is a second session; of every other person's recordings, when there are
    several, the last is without seizure. A person's data do not depend on how many persons there are.
    """
    root.mkdir()
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


def generate(settings: Settings) -> None:
    """Write the data set aside and move it into place when it is whole.

    Raises
    ------
    ValueError
        If a setting is out of range.
    FileExistsError
        If the folder is there and not empty, or is a file.
    """
    limits = {"persons": (1, 99), "recordings": (1, 99), "minutes": (1, 60), "seed": (0, 2**32 - 1)}
    for field, (least, most) in limits.items():
        if not least <= getattr(settings, field) <= most:
            raise ValueError(f"{field} is {getattr(settings, field)}; allowed: {least} to {most}")
    directory = settings.directory.resolve()
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise FileExistsError(f"{settings.directory} is there and not an empty folder; name a new folder")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as aside:
        seizures = write_data_set(Path(aside) / directory.name, settings)
        os.replace(Path(aside) / directory.name, directory)
    count = settings.persons * settings.recordings
    hours = count * round(60 * settings.minutes) / 3600
    print(
        f"synthetic data set: {settings.persons} persons, {count} recordings, {hours:.2f} h, "
        f"{seizures} seizures in {settings.directory}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(generate, Settings, argv, prog="python -m extract.demo", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
