"""Smoothing, threshold, hysteresis, minimum length; and how they are chosen."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scoring.choice import (
    HYSTERESIS_RATIOS,
    MIN_DURATIONS_S,
    SMOOTHING_S,
    THRESHOLDS,
    PostProcessingChoice,
)
from eval.scoring.choosing import choose_postprocessing
from eval.scoring.operating_curve import RATES_PER_DAY, read_at_rates, sweep_thresholds
from eval.scoring.postprocess import PostProcessing, smooth
from eval.scoring.scores import ScoredRecording, score_person
from store import Event

LEVELS = {"_": 0.1, "-": 0.4, "+": 0.6, "#": 0.9}


def draw(timeline: str) -> np.ndarray:
    return np.array([LEVELS[mark] for mark in timeline], np.float32)


def marks(post: PostProcessing, timeline: str) -> str:
    return "".join("#" if on else "_" for on in post.mask(draw(timeline)))


@pytest.mark.parametrize(
    ("post", "timeline", "expected"),
    [
        (PostProcessing(0.5), "__#_+-_#", "__#_#__#"),
        (PostProcessing(0.8, hysteresis_ratio=0.5), "-+#+-_+-", "#####___"),
        (PostProcessing(0.8, hysteresis_ratio=0.7), "-+#+-_+-", "_###____"),
        (PostProcessing(0.8, hysteresis_ratio=0.5), "-+-__-+-", "________"),  # never reaches the threshold
        (PostProcessing(0.5, min_duration_s=2), "#_##_###", "__##_###"),
        (PostProcessing(0.5, smoothing_s=3), "___#___", "_______"),
        (PostProcessing(0.5, smoothing_s=3), "__##_##_", "__#####_"),  # a gap is filled
        (PostProcessing(0.95), "########", "________"),
        (PostProcessing(0.05), "________", "########"),
        (PostProcessing(0.5), "", ""),
    ],
)
def test_a_timeline_becomes_events(post: PostProcessing, timeline: str, expected: str) -> None:
    assert marks(post, timeline) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from([1, 3, 5, 15]))
def test_smoothing_is_the_mean_of_the_seconds_there_are(values: list[float], window_s: int) -> None:
    half = window_s // 2
    plain = [np.mean(values[max(0, at - half) : at + half + 1]) for at in range(len(values))]
    assert smooth(np.array(values), window_s) == pytest.approx(plain)


def test_a_probability_equal_to_the_threshold_counts() -> None:
    assert PostProcessing(0.5).mask(np.array([0.49, 0.5], np.float32)).tolist() == [False, True]


@pytest.mark.parametrize("odd", [math.nan, -0.1, 1.5, math.inf])
def test_what_is_no_probability_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match=f"1 values are not probabilities from 0 to 1, the first is {odd}"):
        PostProcessing(0.5).detect(np.array([0.2, odd]), 2.0)


def test_events_end_with_the_recording_and_know_their_confidence() -> None:
    (event,) = PostProcessing(0.5).detect(np.array([0.1, 0.6, 0.8]), 2.5)
    assert (event.onset_s, event.stop_s, event.confidence) == (1.0, 2.5, pytest.approx(0.7))


def record(reference: list[tuple[float, float]], probabilities: np.ndarray) -> ScoredRecording:
    labels = np.zeros(len(probabilities), np.uint8)
    for onset_s, stop_s in reference:
        labels[int(onset_s) : int(stop_s)] = 1
    events = tuple(Event(onset_s, stop_s - onset_s, "sz") for onset_s, stop_s in reference)
    return ScoredRecording(events, (), float(len(probabilities)), labels, probabilities)


def noisy(seed: int) -> ScoredRecording:
    """Twenty minutes with two seizures that stand out in part."""
    rng = np.random.default_rng(seed)
    reference = [(300.0, 340.0), (900.0, 930.0)]
    probabilities = rng.beta(1, 4, 1200)
    for onset_s, stop_s in reference:
        probabilities[int(onset_s) : int(stop_s)] = rng.beta(4, 3, int(stop_s - onset_s))
    return record(reference, probabilities)


def rates(
    persons: Mapping[str, Sequence[ScoredRecording]], posts: Mapping[str, PostProcessing]
) -> dict[str, float]:
    """Mean event rates over persons, through timescoring itself."""
    scores = [
        score_person([replace(r, detected=posts[name].detect(r.probabilities, r.duration_s)) for r in own])
        for name, own in persons.items()
    ]
    return {
        key: float(np.mean([s[f"event.{key}"] for s in scores])) for key in ("sensitivity", "f1", "fp_per_day")
    }


def test_no_other_setting_does_better_by_timescoring() -> None:
    persons = {"01": [noisy(0)], "02": [noisy(2)]}
    choice = choose_postprocessing(persons, best_threshold=0.5)
    chosen = rates(persons, dict.fromkeys(persons, choice.post))
    assert (choice.f1, choice.fp_per_day) == pytest.approx((chosen["f1"], chosen["fp_per_day"]))
    for other in itertools.product(THRESHOLDS[5:16:2], HYSTERESIS_RATIOS, SMOOTHING_S[::2], MIN_DURATIONS_S[::2]):
        found = rates(persons, dict.fromkeys(persons, PostProcessing(*other)))
        assert found["f1"] <= choice.f1 + 1e-9
        assert found["f1"] < choice.f1 - 1e-9 or found["fp_per_day"] >= choice.fp_per_day - 1e-9


def test_false_alarms_decide_between_equal_f1() -> None:
    """F1 is 2 / 3 with one hit, one miss and no alarm, and with two hits and two alarms."""
    probabilities = np.full(3000, 0.01)
    probabilities[300:330] = 0.97
    for start in (900, 1500, 2100):
        probabilities[start : start + 30] = 0.6
    recording = record([(300, 330), (900, 930)], probabilities)
    choice = choose_postprocessing({"01": [recording]}, best_threshold=0.5)
    assert choice.f1 == pytest.approx(2 / 3)
    assert choice.fp_per_day == 0
    assert choice.post.threshold > 0.6


def test_persons_without_seizures_choose_by_their_false_alarms_alone() -> None:
    """0.9 has a false alarm in 02, 0.97 has none; F1 of 01 is 1 for both, and 02 has none."""
    probabilities = np.full(900, 0.01)
    probabilities[300:330] = 0.98
    quiet = np.full(900, 0.01)
    quiet[100:700] = 0.9
    persons = {"01": [record([(300, 330)], probabilities)], "02": [record([], quiet)]}
    choice = choose_postprocessing(persons, best_threshold=0.5)
    assert (choice.f1, choice.fp_per_day) == (1, 0)
    assert choice.post.threshold > 0.9
    assert choose_postprocessing({"02": persons["02"]}, best_threshold=0.5).fp_per_day == 0


def test_what_is_equal_goes_to_the_threshold_nearest_to_the_prior_and_the_least_processing() -> None:
    recording = record([(300, 330)], np.where((np.arange(900) >= 300) & (np.arange(900) < 330), 0.999, 0.001))
    assert choose_postprocessing({"01": [recording]}, best_threshold=0.74).post == PostProcessing(0.7311)
    assert not choose_postprocessing({"01": [recording]}, best_threshold=0.74).at_edge


def test_a_threshold_at_the_edge_is_noticed() -> None:
    recording = record([(300, 330)], np.full(900, 0.002))
    recording.probabilities[300:330] = 0.008
    choice = choose_postprocessing({"01": [recording]}, best_threshold=0.5)
    assert choice.post.threshold == THRESHOLDS[0]
    assert choice.at_edge


def test_a_choice_survives_its_file() -> None:
    choice = choose_postprocessing({"01": [noisy(3)]}, best_threshold=0.5)
    assert PostProcessing.from_json(choice.to_json()) == choice.post


def test_the_choice_is_read_from_its_file_also_in_the_first_spelling() -> None:
    content = choose_postprocessing({"01": [noisy(3)]}, best_threshold=0.5).to_json()
    assert PostProcessingChoice.from_json(content).to_json() == content
    earlier = {**content, "release": content["hysteresis_ratio"]}
    del earlier["hysteresis_ratio"]
    assert PostProcessingChoice.from_json(earlier).to_json() == content
    bare = PostProcessingChoice.from_json({**content, "validation": [1]})
    assert math.isnan(bare.f1)


def test_sensitivity_at_fixed_rates_is_the_best_that_has_no_more_false_alarms() -> None:
    curve = pd.DataFrame(
        {"fp_per_day": [30.0, 4.0, 3.0, 1.5], "sensitivity": [1.0, 0.7, 0.8, 0.25]}, index=[0.1, 0.4, 0.5, 0.9]
    )
    table = read_at_rates(curve).set_index("fp_per_day")
    assert tuple(table.index) == RATES_PER_DAY
    assert math.isnan(table["sensitivity"][1.0])
    assert table.loc[[2.0, 5.0, 24.0], ["sensitivity", "threshold"]].to_numpy().tolist() == [
        [0.25, 0.9],
        [0.8, 0.5],
        [0.8, 0.5],
    ]
    assert table["fp_per_hour"][24.0] == 1


def test_a_sweep_counts_as_a_score_does() -> None:
    persons = {"01": [noisy(4), noisy(5)], "02": [noisy(6)], "03": [noisy(7)]}
    posts = {"01": PostProcessing(0.5, smoothing_s=5), "02": PostProcessing(0.9, min_duration_s=5)}
    posts["03"] = replace(posts["01"], threshold=0.7)  # counted together with 01
    table = sweep_thresholds(persons, posts)
    assert table.index.tolist() == list(THRESHOLDS)
    for threshold in (0.2689, 0.6225):
        wanted = rates(persons, {name: replace(post, threshold=threshold) for name, post in posts.items()})
        assert table.loc[threshold, list(wanted)].to_dict() == pytest.approx(wanted)
