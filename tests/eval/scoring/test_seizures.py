"""A row for every seizure, with the reason of a miss, and for every false alarm; they add up to the scores."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording, score_person
from eval.scoring.seizures import find_unlabelled_events, list_false_alarms, list_seizures
from store import Event
from tests.helpers.scored import record

POST = {"01": PostProcessing(0.5), "02": PostProcessing(0.5)}


def detect(recording: ScoredRecording, post: PostProcessing) -> ScoredRecording:
    return replace(recording, detected=post.detect(recording.probabilities, recording.duration_s))


def test_a_hit_has_latency_overlap_and_peak() -> None:
    recording = record([(100, 130)], [(95, 110), (300, 310)])
    recording.probabilities[105] = 0.9
    row = list_seizures({"01": {"a": recording}}, POST).iloc[0]
    assert (row["onset_s"], row["duration_s"], row["type"], row["annotations"]) == (100, 30, "sz", 1)
    assert row["hit"]
    assert row["latency_s"] == -5
    assert row["overlap"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["peak_probability"] == 0.9
    assert row["why_missed"] == ""


def test_why_a_seizure_was_missed() -> None:
    short = PostProcessing(0.5, min_duration_s=20)
    for recording, post, reason in (
        (record([(100, 130)], []), POST["01"], "probability under threshold: at most 0.100, threshold 0.500"),
        (
            detect(record([(100, 130)], [(105, 117)]), short),
            short,
            "event of 12 s is shorter than the minimum duration, 20 s",
        ),
        (record([(100, 130)], [(200, 230)]), POST["01"], "outside the tolerance: detected 70 s after the end"),
        (record([(400, 430)], [(300, 350)]), POST["01"], "outside the tolerance: detected 50 s before the onset"),
        (record([(900, 930)], [(300, 350)]), POST["01"], "probability under threshold: at most 0.100"),
    ):
        row = list_seizures({"01": {"a": recording}}, {"01": post}).iloc[0]
        assert not row["hit"]
        assert row["why_missed"].startswith(reason)
        assert math.isnan(row["latency_s"])


def test_rows_are_the_events_that_are_counted() -> None:
    """Annotations less than 90 s apart are one event, one of more than 300 s is several."""
    recording = record([(100, 110), (150, 160), (400, 1050)], [(700, 705)], 1200)
    events = recording.reference
    recording = replace(recording, reference=(replace(events[0], kind="sz_foc"), *events[1:]))
    table = list_seizures({"01": {"a": recording}}, POST)
    assert table[["onset_s", "duration_s", "annotations", "hit"]].to_numpy().tolist() == [
        [100, 60, 2, False],
        [400, 300, 1, True],
        [700, 300, 1, True],
        [1000, 50, 1, False],
    ]
    assert table["type"].tolist() == ["sz_foc; sz", "sz", "sz", "sz"]


def test_false_alarms_have_their_distance_to_the_nearest_seizure() -> None:
    recordings = {
        "01": {"a": record([(100, 130), (400, 430)], [(110, 120), (700, 730)])},
        "02": {"b": record([], [(5, 9)])},
    }
    table = list_false_alarms(recordings)
    assert table[["person", "recording", "onset_s", "duration_s"]].to_numpy().tolist() == [
        ["01", "a", 700, 30],
        ["02", "b", 5, 4],
    ]
    assert table["nearest_seizure_s"][0] == 270
    assert math.isnan(table["nearest_seizure_s"][1])
    assert table["peak_probability"].tolist() == [0.8, 0.8]


def test_without_seizures_and_alarms_the_tables_are_empty() -> None:
    recordings = {"01": {"a": record([], [])}}
    assert list_seizures(recordings, POST).empty
    assert list_false_alarms(recordings).empty


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 5, 15]), st.sampled_from([1, 10, 20]))
def test_rows_add_up_to_the_counts(seed: int, smoothing_s: int, min_duration_s: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = int(rng.integers(1, 1500))
    onsets = rng.uniform(0, seconds, rng.integers(0, 5))
    reference = tuple(Event(float(onset), float(rng.uniform(0.2, 400)), "sz") for onset in np.sort(onsets))
    steps = np.repeat(rng.random(seconds // 20 + 1), 20)[:seconds]
    post = PostProcessing(0.7, 0.8, smoothing_s, min_duration_s)
    recording = detect(ScoredRecording(reference, (), float(seconds), np.zeros(seconds), steps), post)
    scores = score_person([recording])
    table = list_seizures({"01": {"a": recording}}, {"01": post})
    assert int(table["hit"].sum()) == scores["event.tp"]
    assert len(table) - int(table["hit"].sum()) == scores["event.fn"]
    hit = table["hit"].astype(bool)
    assert (table.loc[~hit, "why_missed"] != "").all()
    assert table.loc[hit, "latency_s"].notna().all()
    assert len(list_false_alarms({"01": {"a": recording}})) == scores["event.fp"]


def test_events_that_label_no_second_are_those_of_the_store() -> None:
    """One begins where the recording ends, after a second that is labelled; one covers half of two seconds."""
    found = find_unlabelled_events({"p": {"x": record([(10.4, 11.4), (1000.0, 1002.0), (990, 1000)], [])}})
    assert found["onset_s"].tolist() == [1000.0]
    found = find_unlabelled_events({"p": {"x": record([(10.5, 11.5)], [])}})
    assert found["onset_s"].tolist() == [10.5]
