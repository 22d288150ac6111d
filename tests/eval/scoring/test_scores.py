"""SzCORE counts and rates against timescoring itself and against figures worked out by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

from eval.scoring.events import DetectedEvent, events_from_mask
from eval.scoring.scores import Counts, ScoredRecording, count, metrics, score_person, summarise
from store import Event


def record(reference: str, detected: str, step_s: int = 10) -> ScoredRecording:
    """A recording from two drawn timelines, ``step_s`` seconds a character."""
    labels, mask = (np.repeat([mark == "#" for mark in line], step_s) for line in (reference, detected))
    duration_s = float(len(labels))
    events = events_from_mask(labels, labels.astype(float), duration_s)
    return ScoredRecording(
        tuple(Event(event.onset_s, event.stop_s - event.onset_s, "sz") for event in events),
        events_from_mask(mask, mask.astype(float), duration_s),
        duration_s,
        labels.astype(np.uint8),
        np.where(mask, 0.75, 0.25),
    )


def times(
    reference: list[tuple[float, float]], detected: list[tuple[float, float]], duration_s: float
) -> ScoredRecording:
    """A recording from exact times ``(onset_s, stop_s)``."""
    empty = np.zeros(math.ceil(duration_s))
    return ScoredRecording(
        tuple(Event(onset_s, stop_s - onset_s, "sz") for onset_s, stop_s in reference),
        tuple(DetectedEvent(onset_s, stop_s, 1.0) for onset_s, stop_s in detected),
        duration_s,
        empty,
        empty,
    )


def count_events(recording: ScoredRecording) -> tuple[int, int, int]:
    """References, hits and false alarms."""
    events, _ = count(recording)
    return events.reference, events.hits, events.false_alarms


@pytest.mark.parametrize(
    ("reference", "detected", "expected"),
    [
        ("____________", "____________", (0, 0, 0)),  # nothing there, nothing detected
        ("____####____", "____________", (1, 0, 0)),  # missed
        ("____________", "____####____", (0, 0, 1)),  # no seizure at all
        ("____####____", "____####____", (1, 1, 0)),
        ("____####____", "############", (1, 1, 0)),  # everything detected
        ("############", "############", (1, 1, 0)),
        ("____##______", "______##____", (1, 1, 0)),  # touching: within the tolerance
        ("______##________", "__#_____________", (1, 0, 1)),  # ends 30 s before the onset
        ("______##________", "___#____________", (1, 1, 0)),  # within 30 s before
        ("______##________", "_____________#__", (1, 1, 0)),  # within 60 s after
        ("______##________", "______________#_", (1, 0, 1)),  # begins 60 s after the end
        ("#________#", "__________", (1, 0, 0)),  # 80 s apart: merged
        ("#_________#", "___________", (2, 0, 0)),  # 90 s apart: two
        ("__________", "#________#", (0, 0, 1)),
        ("___________", "#_________#", (0, 0, 2)),
        ("#" * 30, "_" * 30, (1, 0, 0)),  # 300 s: one
        ("#" * 31, "_" * 31, (2, 0, 0)),  # longer: split
        ("#" * 61, "_" * 61, (3, 0, 0)),
        ("_" * 61, "#" * 61, (0, 0, 3)),
        ("#" * 31, "#" + "_" * 30, (2, 1, 0)),  # the second part begins 290 s later
    ],
)
def test_counts_of_events(reference: str, detected: str, expected: tuple[int, int, int]) -> None:
    assert count_events(record(reference, detected)) == expected


@pytest.mark.parametrize(("gap_s", "references"), [(89.9, 1), (90.0, 2)])
def test_merging_takes_exact_times(gap_s: float, references: int) -> None:
    recording = times([(10.3, 20.6), (20.6 + gap_s, 150.0)], [], 200.0)
    assert count_events(recording) == (references, 0, 0)


@pytest.mark.parametrize(("stop_s", "hits"), [(70.2, 0), (70.3, 1)])
def test_tolerance_takes_exact_times(stop_s: float, hits: int) -> None:
    assert count_events(times([(100.2, 120.0)], [(60.0, stop_s)], 200.0)) == (1, hits, 1 - hits)


def test_an_event_past_the_end_is_clipped() -> None:
    past, within = times([(50.0, 999.0)], [(55.0, 80.0)], 60.0), times([(50.0, 60.0)], [(55.0, 60.0)], 60.0)
    assert count(past) == count(within) == (Counts(1, 1, 0, 60.0), Counts(10, 5, 0, 60.0))


def test_an_event_before_the_start_is_clipped() -> None:
    before, within = times([(-5.0, 10.0)], [], 60.0), times([(0.0, 10.0)], [], 60.0)
    assert count(before) == count(within) == (Counts(1, 0, 0, 60.0), Counts(10, 0, 0, 60.0))


def test_order_and_nesting_do_not_matter() -> None:
    messy = times([(300.0, 320.0), (10.0, 60.0), (20.0, 30.0)], [(310.0, 330.0), (0.0, 5.0)], 400.0)
    tidy = times([(10.0, 60.0), (300.0, 320.0)], [(0.0, 5.0), (310.0, 330.0)], 400.0)
    assert count(messy) == count(tidy)


def test_the_shortest_recording_is_scored() -> None:
    assert count(times([], [], 0.02)) == (Counts(0, 0, 0, 1.0), Counts(0, 0, 0, 1.0))


@given(st.floats(0.01, 4000))
def test_nothing_to_count_lasts_as_long_as_timescoring_says(duration_s: float) -> None:
    empty = Annotation(np.zeros(max(10, round(duration_s * 10)), bool), 10)
    for counts, score in zip(
        count(times([], [], duration_s)), (EventScoring(empty, empty), SampleScoring(empty, empty)), strict=True
    ):
        assert counts == Counts(score.refTrue, score.tp, score.fp, score.numSamples / score.fs)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.integers(1, 40))
def test_counts_equal_timescoring_called_directly(marks: list[tuple[bool, bool]], step_s: int) -> None:
    lines = ["".join("#" if mark else "_" for mark in line) for line in zip(*marks, strict=True)]
    masks = [np.repeat(line, step_s * 10) for line in zip(*marks, strict=True)]
    reference, detected = (Annotation(mask, 10) for mask in masks)
    events, samples = count(record(lines[0], lines[1], step_s))
    for counts, score in (
        (events, EventScoring(reference, detected)),
        (samples, SampleScoring(reference, detected)),
    ):
        assert (counts.reference, counts.hits, counts.false_alarms) == (score.refTrue, score.tp, score.fp)
        wanted = (score.sensitivity, score.precision, score.f1, score.fpRate)
        assert tuple(counts.rates().values()) == pytest.approx(wanted, nan_ok=True)


def test_rates_without_references_or_detections() -> None:
    nothing, missed, alarms = (Counts(*c, 3600.0).rates() for c in ((0, 0, 0), (2, 0, 0), (0, 0, 3)))
    assert [math.isnan(value) for value in nothing.values()] == [True, True, True, False]
    assert math.isnan(missed["precision"])
    assert (missed["sensitivity"], missed["f1"], missed["fp_per_day"]) == (0, 0, 0)
    assert math.isnan(alarms["sensitivity"])
    assert (alarms["precision"], alarms["f1"], alarms["fp_per_day"]) == (0, 0, 72)


def test_a_persons_rates_come_from_summed_counts() -> None:
    recordings = [
        record("____####____", "____##______"),  # hit: 20 of 40 s
        record("____________", "___________#"),  # 1 false alarm of 10 s
        record("__##________", "____________"),  # missed: 20 s
    ]
    scores = score_person(recordings)
    assert scores["seconds"] == 360
    assert scores["ictal_seconds"] == 60
    assert [scores[f"event.{name}"] for name in ("sensitivity", "precision", "f1")] == [0.5, 0.5, 0.5]
    assert scores["event.fp_per_day"] == pytest.approx(240)
    assert scores["sample.sensitivity"] == pytest.approx(20 / 60)
    assert scores["sample.precision"] == pytest.approx(20 / 30)
    assert scores["sample.f1"] == pytest.approx(2 * 20 / (2 * 20 + 10 + 40))
    # 20 of 60 seizure seconds and 10 of 300 others have the higher of two probabilities
    assert scores["auroc"] == pytest.approx(20 / 60 * 290 / 300 + (20 / 60 * 10 + 40 / 60 * 290) / 300 / 2)
    assert scores["auprc"] == pytest.approx(20 / 60 * 20 / 30 + 40 / 60 * 60 / 360)
    # 50 of 360 seconds are on the wrong side
    assert scores["brier"] == pytest.approx((310 * 0.25**2 + 50 * 0.75**2) / 360)


@pytest.mark.parametrize("reference", ["____", "####"])
def test_rank_metrics_of_one_class_are_undefined(reference: str) -> None:
    scores = score_person([record(reference, "__##")])
    assert math.isnan(scores["auroc"])
    assert math.isnan(scores["auprc"])


def test_a_summary_rests_on_defined_values() -> None:
    persons = pd.DataFrame(
        {"auroc": [0.5, math.nan, 0.9], "event.f1": [math.nan] * 3, "brier": [math.nan, 0.25, math.nan]},
        index=["a", "b", "c"],
    )
    summary = summarise(persons, np.random.default_rng(0))
    assert summary["auroc"].tolist() == pytest.approx([0.7, 0.4 / math.sqrt(2), 0.5, 0.9, 2])
    assert summary["event.f1"].isna().tolist() == [True] * 4 + [False]
    assert summary.loc["defined"].tolist() == [2, 0, 1]
    assert summary["brier"].tolist() == pytest.approx([0.25, *[math.nan] * 3, 1], nan_ok=True)


def test_intervals_are_seeded_and_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.1, 40)
    persons = pd.DataFrame({"auroc": values})
    first, second = (summarise(persons, np.random.default_rng(7)) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    half = 1.96 * values.std() / math.sqrt(len(values))
    bounds = first["auroc"][["ci95_low", "ci95_high"]].tolist()
    assert bounds == pytest.approx([values.mean() - half, values.mean() + half], abs=0.005)


def test_metrics_are_nested_with_null_for_undefined() -> None:
    scores = {
        "01": score_person([record("____####____", "____##______")]),
        "02": score_person([record("____________", "____________")]),
    }
    persons = pd.DataFrame.from_dict(scores, orient="index")
    content = metrics(persons, summarise(persons, np.random.default_rng(0)))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content.keys() == {"persons", "mean", "sd", "ci95", "defined", "counts", "timescoring"}
    fields = {"auroc", "auprc", "brier", "seconds", "ictal_seconds", "event", "sample"}
    rates = {"sensitivity", "precision", "f1", "fp_per_day"}
    groups = [*content["persons"].values(), *(content[key] for key in ("mean", "sd", "ci95", "defined"))]
    for group in groups:
        assert group.keys() == fields
        assert group["event"].keys() == group["sample"].keys() == rates
    assert content["persons"]["01"]["event"]["f1"] == 1.0
    assert content["persons"]["02"]["auroc"] is None
    assert content["persons"]["02"]["event"]["f1"] is None
    assert content["persons"]["02"]["event"]["fp_per_day"] == 0.0
    assert content["mean"]["event"]["f1"] == 1.0
    assert content["counts"] == {
        "persons": {"01": {"tp": 1, "fn": 0, "fp": 0}, "02": {"tp": 0, "fn": 0, "fp": 0}},
        "all": {"tp": 1, "fn": 0, "fp": 0},
    }
    assert content["defined"]["event"] == {"sensitivity": 1, "precision": 1, "f1": 1, "fp_per_day": 2}
    assert content["ci95"]["seconds"] == [120.0, 120.0]
    assert content["ci95"]["event"]["f1"] == [None, None]
