"""Annotations that MNE shows over the EEG."""

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np

from eval.report.annotations import annotate_detections, annotate_probabilities, annotate_seizures
from eval.scoring.events import DetectedEvent, Detections
from store import Event
from tests.helpers.stores import recording


def rows(annotations: mne.Annotations) -> list[tuple[float, float, str]]:
    return [(float(each["onset"]), float(each["duration"]), each["description"]) for each in annotations]


def test_seizures() -> None:
    info = recording(0, 60, events=[Event(1.5, 10.0, "sz"), Event(30.0, 4.0, "sz_foc")])
    assert rows(annotate_seizures(info)) == [(1.5, 10.0, "sz"), (30.0, 4.0, "sz_foc")]
    assert rows(annotate_seizures(replace(info, events=()))) == []


def test_detections(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    path.write_text(Detections((DetectedEvent(3.0, 9.5, 0.8),), 60.0, "2026-01-02T03:04:05").to_tsv())
    assert rows(annotate_detections(path)) == [(3.0, 6.5, "detected")]


def test_probabilities_fit_the_eeg() -> None:
    probabilities = np.array([0.0, 0.1, 0.19, 0.95, 1.0, 0.05, 0.3], np.float32)
    expected = [(1.0, 2.0, "p 0.1"), (3.0, 1.0, "p 0.9"), (4.0, 1.0, "p 1.0"), (6.0, 1.0, "p 0.3")]
    annotations = annotate_probabilities(probabilities)
    assert rows(annotations) == expected
    raw = mne.io.RawArray(np.zeros((1, 7 * 64)), mne.create_info(1, 64, "eeg"), verbose="ERROR")
    assert rows(raw.set_annotations(annotations).annotations) == expected
    assert rows(annotate_probabilities(np.zeros(4))) == []
