"""Update the row of a stored recording after the data set has changed, without touching its features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from extract.io.raw import read_start
from extract.io.windows import label_seconds
from extract.planning.plan import Action, Found, SubjectPlan
from store.reader import StoreFile
from store.schema import RecordingInfo, Source


@dataclass(frozen=True)
class StoredRow:
    """One recording of a file: what it says now of the features that stay as they are."""

    number: int  # in the file
    info: RecordingInfo
    labels: NDArray[np.uint8]  # (T,)
    source: Source | None


def update_rows(stored: StoreFile, plan: SubjectPlan, surveyed: Sequence[Found]) -> Iterator[StoredRow]:
    """Rows of the recordings whose features stay, relabelled where the plan says so, in the file's order."""
    by_name = {item.recording.name: item for item in surveyed}
    actions = {step.name: step.action for step in plan.steps}
    for number, info in enumerate(stored.recordings):
        if actions[info.name] in (Action.KEEP, Action.RELABEL):
            yield update_row(stored, number, by_name[info.name])
        elif actions[info.name] is Action.KEEP_GONE:
            person = surveyed[0].recording.person if surveyed else info.person  # a file holds one person
            source = stored.sources.get(info.name)
            labels = stored.labels[info.first_second : info.first_second + info.seconds]
            yield StoredRow(
                number, replace(info, person=person), labels, source and replace(source, person=person)
            )


def update_row(stored: StoreFile, number: int, current: Found) -> StoredRow:
    """Row of a recording whose features stay: with the events, person and fingerprints of now."""
    info, recording = stored.recordings[number], current.recording
    labels = stored.labels[info.first_second : info.first_second + info.seconds]
    before = stored.sources.get(info.name)
    info = replace(info, person=recording.person)
    if not current.is_labelled:
        info = replace(info, events=(), labelled=False, start=_start(current, "", info))
        labels = np.zeros_like(labels)
    elif current.annotations is not None:
        start = _start(current, current.annotations.start, info)
        info = replace(info, events=current.annotations.events, labelled=True, start=start)
        labels = label_seconds(current.annotations.events, info.duration_s)
    return StoredRow(number, info, labels, _merge(before, current))


def _merge(before: Source | None, current: Found) -> Source | None:
    """Fingerprints of now; who saw the signal encoded, and under which policy, stays."""
    if current.source is None or (before is None and not current.recording.is_fetched):
        return before
    if before is None:
        return replace(current.source, witnessed=False)
    return replace(current.source, missing=before.missing, witnessed=before.witnessed)


def _start(current: Found, annotated: str, info: RecordingInfo) -> str:
    if annotated or not current.recording.is_fetched:
        return annotated or info.start
    return read_start(current.recording.path)
