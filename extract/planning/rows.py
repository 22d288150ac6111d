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


def update_rows(stored: StoreFile, plan: SubjectPlan, found: Sequence[Found]) -> Iterator[StoredRow]:
    """Rows of the recordings whose features stay, relabelled where the plan says so, in the file's order."""
    by_name = {item.recording.name: item for item in found}
    actions = {step.name: step.action for step in plan.steps}
    for number, info in enumerate(stored.recordings):
        if actions[info.name] in (Action.KEEP, Action.RELABEL):
            yield update_row(stored, number, by_name[info.name])
        elif actions[info.name] is Action.KEEP_GONE:
            person = found[0].recording.person if found else info.person  # a file holds one person
            source = stored.sources.get(info.name)
            labels = stored.labels[info.first_second : info.first_second + info.seconds]
            yield StoredRow(
                number, replace(info, person=person), labels, source and replace(source, person=person)
            )


def update_row(stored: StoreFile, number: int, found: Found) -> StoredRow:
    """Row of a recording whose features stay: with the events, person and fingerprints of now."""
    info, recording = stored.recordings[number], found.recording
    labels = stored.labels[info.first_second : info.first_second + info.seconds]
    before = stored.sources.get(info.name)
    info = replace(info, person=recording.person)
    if not found.is_labelled:
        info = replace(info, events=(), labelled=False, start=_start(found, "", info))
        labels = np.zeros_like(labels)
    elif found.annotations is not None:
        start = _start(found, found.annotations.start, info)
        info = replace(info, events=found.annotations.events, labelled=True, start=start)
        labels = label_seconds(found.annotations.events, info.duration_s)
    return StoredRow(number, info, labels, _merge(before, found))


def _merge(before: Source | None, found: Found) -> Source | None:
    """Fingerprints of now; who saw the signal encoded, and under which policy, stays."""
    if found.source is None or (before is None and not found.recording.is_fetched):
        return before
    if before is None:
        return replace(found.source, witnessed=False)
    return replace(found.source, missing=before.missing, witnessed=before.witnessed)


def _start(found: Found, annotated: str, info: RecordingInfo) -> str:
    if annotated or not found.recording.is_fetched:
        return annotated or info.start
    return read_start(found.recording.path)
