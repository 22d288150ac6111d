"""Small stores of known content."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from extract.io.montage import CHANNELS
from store import Event, FeatureSpec, RecordingInfo
from store.reader import open_file
from store.schema import count_windows
from store.writer import relabel_file, write_file

SPEC = FeatureSpec(
    encoder="random",
    weights_sha256="ab12",
    features="latents",
    dtype="float16",
    sample_rate_hz=512,
    window_s=4,
    stride_s=4,
    hop=256,
    frames=8,
    dims=5,
    channels=("FP1-F3", "F3-C3", "C3-P3"),
    resampling="linear, each window",
    precision="float32",
)
OWN_ENCODER_SPEC = replace(
    SPEC, encoder="mine", weights_sha256="", sample_rate_hz=100, hop=100, frames=4, dims=2, channels=CHANNELS
)


def recording(
    number: int,
    seconds: int,
    person: str = "01",
    stride_s: int = 4,
    mask: Sequence[bool] = (True, True, True),
    events: Sequence[Event] = (),
) -> RecordingInfo:
    """A row for a recording that lies alone in its file."""
    return RecordingInfo(
        name=f"sub-{person}_ses-01_task-szMonitoring_run-{number:02}",
        subject=person,
        person=person,
        first_window=0,
        windows=count_windows(seconds, 4, stride_s),
        first_second=0,
        seconds=seconds,
        duration_s=float(seconds),
        start="2026-01-02T03:04:05",
        channel_mask=tuple(mask),
        events=tuple(events),
    )


def write_subject(
    folder: Path,
    person: str,
    lengths_s: Sequence[int],
    seed: int,
    signal: float = 1.5,
    spec: FeatureSpec = SPEC,
    mask: Sequence[bool] = (True, True, True),
    dataset: str = "",
    participant: Mapping[str, str] | None = None,
    masked: float | None = None,
    encoder: Mapping[str, object] | None = None,
) -> Path:
    """A subject whose seconds 20 to 35 of each recording are seizure and stand out in one dim by `signal`.

    ``masked`` is what the electrodes hold that the mask says are missing; they are like the others if it is None.
    """
    rng = np.random.default_rng(seed)
    infos, labels, features = [], [], []
    first_window = first_second = 0
    for number, seconds in enumerate(lengths_s):
        events = [Event(20.0, float(min(15, seconds - 20)), "sz")] if seconds > 20 else []
        info = recording(number, seconds, person, spec.stride_s, mask, events=events)
        info = replace(info, first_window=first_window, first_second=first_second)
        first_window, first_second = first_window + info.windows, first_second + seconds
        own = np.zeros(seconds, np.uint8)
        own[20:35] = 1
        values = rng.normal(size=(info.windows, *spec.shape))
        frames_s = spec.frames // spec.window_s
        for window in range(info.windows):
            for second in range(spec.window_s):
                at = window * spec.stride_s + second
                if at < seconds and own[at]:
                    values[window, second * frames_s : (second + 1) * frames_s, :, 1] += signal
        if masked is not None:
            values[:, :, [not present for present in mask]] = masked
        infos.append(info)
        labels.append(own)
        features.append(values)
    path = folder / f"sub-{person}.h5"
    provenance = {"encoder": {"name": spec.encoder, **(encoder or {})}, "versions": {}}
    content = (spec, infos, np.concatenate(labels), iter(features), provenance)
    write_file(path, *content, dataset=dataset, participant=participant)
    return path


def rename_person(path: Path, person: str) -> None:
    """Give the subject of a file to another person."""
    file = open_file(path)
    rows = [replace(info, person=person) for info in file.recordings]
    relabel_file(path, recordings=rows, labels=file.labels, dataset=file.dataset)


def unlabel(path: Path) -> None:
    """Take the labels of all recordings out of a file."""
    file = open_file(path)
    rows = [replace(info, labelled=False, events=()) for info in file.recordings]
    relabel_file(path, recordings=rows, labels=np.zeros_like(file.labels), dataset=file.dataset)


def write_part(path: Path, number: int, seconds: int, **changes: object) -> np.ndarray:
    """Write a file of one recording of noise; its features."""
    info = recording(number, seconds, **changes)
    values = np.random.default_rng(number).normal(size=(info.windows, *SPEC.shape)).astype(np.float32)
    labels = (np.arange(seconds) % 3 == 0).astype(np.uint8)
    blocks = (values[start : start + 2] for start in range(0, len(values), 2))
    write_file(path, SPEC, [info], labels, blocks, {"encoder": {}, "source": {"file": number}})
    return values
