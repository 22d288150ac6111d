"""Contents of a store, as JSON and as a table."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from store.interop.dataset_names import list_persons_seen, same_dataset
from store.reader import Store, StoreFile
from store.runtime.plurals import count_noun
from store.schema import RecordingInfo, events_without_label

_COLUMNS = ("recordings", "hours", "seizures", "ictal_seconds", "bytes")


def describe(store: Store) -> dict[str, Any]:
    """What a store holds, as JSON-ready values."""
    return {
        "path": str(store.path),
        "spec": dataclasses.asdict(store.spec),
        "persons": list(store.persons),
        "persons_seen_in_pretraining": list(_persons_seen(store)),
        "subjects": {file.subject: _describe_subject(file) for file in store.files},
        "provenance": store.provenance,
    }


def format_overview(overview: Mapping[str, Any]) -> Iterator[str]:
    """Lines for people, from what `describe` returns."""
    spec, subjects = overview["spec"], overview["subjects"]
    yield f"store     {overview['path']}"
    for (dataset, version), count in _count_datasets(subjects).items():
        yield f"data set  {dataset or 'not known'}: {count_noun(count, 'subject')}, format version {version}"
    search = "" if spec["code_search"] == "greedy" else f", chosen by a {spec['code_search']}"
    yield f"encoder   {spec['encoder']}, {spec['features']} as {spec['dtype']}{search}, {spec['precision']}"
    yield (
        f"windows   {spec['window_s']} s every {spec['stride_s']} s, {spec['frames']} frames x "
        f"{len(spec['channels'])} channels x {spec['dims']} {'codes' if spec['features'] == 'codes' else 'dims'} "
        f"at {spec['sample_rate_hz']} Hz, {spec['montage']}"
    )
    if overlap := overview["persons_seen_in_pretraining"]:
        yield f"overlap   the encoder saw these persons in pretraining: {', '.join(overlap)}"
    yield from _format_subjects(subjects, len(overview["persons"]))
    for row in subjects.values():
        yield from _format_notes(row)


def _persons_seen(store: Store) -> Iterator[str]:
    """Persons of the store whom the encoder saw in pretraining, as far as names of data sets tell."""
    seen = list_persons_seen(store.provenance["encoder"])
    for person in store.persons:
        datasets = [file.dataset for file in store.files if file.person == person]
        if any(person == name and same_dataset(dataset, other) for other, name in seen for dataset in datasets):
            yield person


def _describe_subject(file: StoreFile) -> dict[str, Any]:
    return {
        "person": file.person,
        "dataset": file.dataset,
        "version": file.version,
        "recordings": len(file.recordings),
        "hours": sum(info.duration_s for info in file.recordings) / 3600,
        "ictal_seconds": int(file.labels.sum()),
        "seizures": sum(len(info.events) for info in file.recordings),
        "bytes": file.path.stat().st_size,
        "left_out": [dataclasses.asdict(recording) for recording in file.left_out],
        "unlabelled": [info.name for info in file.recordings if not info.labelled],
        "missing_channels": {
            info.name: missing for info in file.recordings if (missing := _missing_channels(file, info))
        },
        "events_without_label": [
            {"recording": info.name, **dataclasses.asdict(event)}
            for info in file.recordings
            for event in events_without_label(info.events, file.labels_of(info))
        ],
    }


def _missing_channels(file: StoreFile, info: RecordingInfo) -> list[str]:
    return [name for name, present in zip(file.spec.input_channels, info.channel_mask, strict=True) if not present]


def _count_datasets(subjects: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for row in subjects.values():
        key = (row["dataset"], row["version"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def _format_subjects(subjects: Mapping[str, Any], persons: int) -> Iterator[str]:
    """A row for each subject, and one for all."""
    total: dict[str, Any] = {column: sum(row[column] for row in subjects.values()) for column in _COLUMNS}
    total["person"] = str(persons)
    yield f"{'subject':<10}{'person':<10}{'recordings':>10}{'hours':>9}{'seizures':>10}{'ictal s':>9}{'MB':>9}"
    for subject, row in (*subjects.items(), ("all", total)):
        yield (
            f"{subject:<9} {row['person']:<9} {row['recordings']:>10}{row['hours']:>9.2f}"
            f"{row['seizures']:>10}{row['ictal_seconds']:>9}{row['bytes'] / 1e6:>9.1f}"
        )


def _format_notes(row: Mapping[str, Any]) -> Iterator[str]:
    """What to know of a subject's recordings, a line each."""
    for recording in row["left_out"]:
        yield f"left out  {recording['name']}: {recording['reason']}"
    for name in row["unlabelled"]:
        yield f"no labels {name}: no events file; not scored, only its time in alarm is reported"
    for name, channels in row["missing_channels"].items():
        yield f"missing   {name}: {', '.join(channels)}"
    for event in row["events_without_label"]:
        when = f"at {event['onset_s']:.2f} s ({event['duration_s']:.2f} s)"
        yield (
            f"no second {event['recording']}: the seizure {when} covers more than half of no second, "
            "so it labels none and counts only in event scores"
        )
