"""The rules in their plainest form, and what a store holds, read without the project's readers."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np


@dataclass(frozen=True)
class Stored:
    """One recording as it lies in a store."""

    name: str
    subject: str
    person: str
    seconds: int
    duration_s: float
    labels: tuple[int, ...]
    events: tuple[tuple[float, float, str], ...]
    mask: tuple[int, ...]
    features: bytes
    labelled: bool


def label_seconds(events: Sequence[tuple[Fraction, Fraction]], duration_s: Fraction) -> tuple[int, ...]:
    """1 for each second of which the events (onset, duration) cover more than half; the last may be a part."""
    labels = []
    for second in range(math.ceil(duration_s)):
        start, stop = Fraction(second), min(Fraction(second + 1), duration_s)
        edges = {start, stop}
        for onset, length in events:
            edges |= {edge for edge in (onset, onset + length) if start < edge < stop}
        ordered = sorted(edges)
        covered = Fraction(0)
        for low, high in itertools.pairwise(ordered):
            if any(onset <= low and high <= onset + length for onset, length in events):
                covered += high - low
        labels.append(int(covered > (stop - start) / 2))
    return tuple(labels)


def read_store(folder: Path) -> dict[str, Stored]:
    """All recordings of a store by name; the names of two subjects must differ."""
    recordings: dict[str, Stored] = {}
    for path in sorted(folder.glob("sub-*.h5")):
        for stored in read_subject(path):
            assert stored.name not in recordings, f"{stored.name} is stored twice"
            recordings[stored.name] = stored
    return recordings


def read_subject(path: Path) -> list[Stored]:
    """The recordings of one file of a store."""
    with h5py.File(path, "r") as file:
        table, events, labels = (file[name][()] for name in ("recordings", "events", "labels"))
        features = file["features"][()]
        subject, person = (_text(file.attrs[name]) for name in ("subject", "person"))
    return [
        Stored(
            name=_text(row["name"]),
            subject=subject,
            person=person,
            seconds=int(row["seconds"]),
            duration_s=float(row["duration_s"]),
            labels=tuple(labels[row["first_second"] : row["first_second"] + row["seconds"]].tolist()),
            events=tuple(
                (float(event["onset_s"]), float(event["duration_s"]), _text(event["kind"]))
                for event in events[events["recording"] == number]
            ),
            mask=tuple(row["channel_mask"].tolist()),
            features=features[row["first_window"] : row["first_window"] + row["windows"]].tobytes(),
            labelled=bool(row["labelled"]) if "labelled" in (table.dtype.names or ()) else True,
        )
        for number, row in enumerate(table)
    ]


def problems(path: Path) -> list[str]:
    """What a subject's file says that no recording can be."""
    with h5py.File(path, "r") as file:
        table, events, labels = (file[name][()] for name in ("recordings", "events", "labels"))
        sums = [file[f"sums/{name}"][()] for name in ("count", "total", "squares")]
        features = file["features"][()]
    found = []
    if labels.dtype != np.uint8 or labels.ndim != 1 or not set(np.unique(labels)) <= {0, 1}:
        found.append("labels that are not 0 or 1")
    if not np.isfinite(features.astype(np.float32)).all():
        found.append("features that are not finite")
    if any(not np.isfinite(values).all() or (values < 0).any() for values in (sums[0], sums[2])):
        found.append("sums that are not finite or negative")
    windows = seconds = 0
    names = set()
    for row in table:
        if (row["first_window"], row["first_second"]) != (windows, seconds):
            found.append("rows that do not follow each other")
        windows, seconds = windows + int(row["windows"]), seconds + int(row["seconds"])
        if not math.isfinite(row["duration_s"]) or math.ceil(round(row["duration_s"], 6)) != row["seconds"]:
            found.append("a duration that is not the seconds'")
        if row["windows"] < 1 or row["name"] in names:
            found.append("a recording without windows, or twice")
        names.add(row["name"])
    if seconds != len(labels) or windows != len(features):
        found.append("another number of labels or windows than the rows say")
    for event in events:
        onset_s, duration_s = float(event["onset_s"]), float(event["duration_s"])
        if not 0 <= event["recording"] < len(table):
            found.append("an event of no recording")
        elif not (onset_s >= 0 and duration_s > 0 and onset_s + duration_s <= 0.1 + table["duration_s"].max()):
            found.append("an event that is outside")
    return found


def _text(value: object) -> str:
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return content.decode("utf-8", "surrogateescape")
