"""What is said of scores that mean less than they seem to."""

from dataclasses import replace

from eval.report.headline import describe_scores, describe_tested
from eval.scoring.background import find_always_alarmed
from eval.scoring.choice import PostProcessingChoice
from eval.scoring.postprocess import PostProcessing
from eval.scoring.scores import ScoredRecording
from eval.scoring.validity_checks import find_warnings
from heads.folds import Fold
from store.schema import LeftOut
from tests.helpers.scored import make_results, record


def by_person(*recordings: ScoredRecording) -> dict[str, dict[str, ScoredRecording]]:
    return {f"{number:02}": {"x": recording} for number, recording in enumerate(recordings)}


def test_warnings_name_what_is_wrong() -> None:
    fine, edge = (PostProcessingChoice(PostProcessing(threshold), 1.0, 0.0) for threshold in (0.5, 0.0067))
    leaky = Fold("02", ("02",), ("03",), ("02", "04"))
    good = Fold("01", ("01",), ("02",), ("03",))
    seizure = record([(100, 130)], [], 7200)
    assert find_warnings(make_results(by_person(*[seizure] * 4), [good], {"01": fine})) == [
        "only 4 tested persons: means and intervals say little about new persons"
    ]
    recordings = by_person(record([], [], 7200), *[seizure] * 4)
    texts = find_warnings(make_results(recordings, [good, leaky], {"01": fine, "02": edge}, ["03", "99"]))
    assert [text.split(";")[0] for text in texts] == [
        "folds that chose or trained on the persons they test: 02",
        "the encoder saw persons of these names in pretraining: 03",
        "AUROC, AUPRC, sensitivity undefined for person 00 (no seizure): left out of the means",
        "the threshold lies at the edge of what was tried in fold 02: the validation persons do not determine it",
    ]


def test_persons_are_named_by_the_scores_that_are_undefined_for_them() -> None:
    """One has no seizure, one nothing else, one a seizure that labels no second."""
    whole, short = record([(0, 3600)], [], 3600), record([(100.5, 101.4)], [], 7200)
    texts = find_warnings(make_results(by_person(record([], [], 7200), whole, short, record([], [], 7200))))
    assert [text for text in texts if "undefined" in text] == [
        "AUROC, AUPRC, sensitivity undefined for persons 00, 03 (no seizure): left out of the means",
        "AUROC, AUPRC undefined for persons 01, 02 (all seconds of one label): left out of the means",
    ]


def test_a_detector_that_is_on_most_of_the_time_is_named_first() -> None:
    everything = record([(100, 130)], [(0, 7200)], 7200)
    results = make_results(by_person(*[record([(100, 130)], [], 7200)] * 3, everything, everything))
    assert find_always_alarmed(results.persons) == ["03", "04"]
    assert describe_tested(results.persons, 9) == (
        "5 of 9 persons tested; the detector is on for more than half of the background of persons 03, 04"
    )
    (text,) = find_warnings(results)
    assert text.startswith(
        "detections cover more than half of the background of persons 03, 04; their event scores"
    )


def test_one_person_is_no_persons() -> None:
    alone = make_results(by_person(record([(10, 20)], [(0, 1000)], 1000)))
    texts = find_warnings(alone)
    assert texts[0].startswith("1 of 1 person has less than 1 h of background (0.3 h in all): false-alarm")
    assert texts[-1].startswith("detections cover more than half of the background of person 00; their event")
    assert describe_tested(alone.persons, 1) == (
        "1 of 1 person tested; the detector is on for more than half of the background of person 00"
    )
    both = find_warnings(make_results(by_person(record([(10, 20)], [], 1000), record([(10, 20)], [], 7200))))
    assert both[0].startswith("1 of 2 persons has less than 1 h of background")


def test_half_of_the_background_is_not_more_than_half() -> None:
    half, more = record([(0, 10)], [(0, 505)], 1000), record([(0, 10)], [(0, 506)], 1000)
    assert find_always_alarmed(make_results(by_person(half, more)).persons) == ["01"]


def test_a_rate_of_false_alarms_needs_a_day_of_background() -> None:
    alarm = record([], [(500, 530)], 12 * 3600 - 1)
    short, long = (
        make_results(by_person(alarm, alarm)),
        make_results(by_person(alarm, record([], [], 12 * 3600 + 1))),
    )
    assert describe_scores(short.persons, short.summary).endswith(
        "; 2 false alarms in 24.0 h of background: too little for a rate, which needs 24 h"
    )
    assert describe_scores(short.persons, short.summary).startswith(
        "AUROC undefined; event sensitivity undefined;"
    )
    assert describe_scores(long.persons, long.summary).endswith("; 1.00 false alarms a day (0.042 an hour)")


def test_recordings_left_out_and_seizures_that_label_nothing_are_named() -> None:
    short = record([(10.5, 11.4), (100, 110)], [], 1000)
    left_out = [LeftOut(f"sub-0{number}", "a flat signal") for number in range(5)]
    texts = find_warnings(make_results({"01": {"a": short}}, left_out=left_out))
    assert texts[0] == (
        "5 recordings of the data set not in the store: sub-00 (a flat signal); sub-01 (a flat signal); "
        "sub-02 (a flat signal); and 2 more, in the report"
    )
    assert texts[1] == (
        "1 seizure covering more than half of no second, so none is labelled; event scores count them: a at 10.5 s"
    )


def test_training_persons_that_are_scored_are_named() -> None:
    results = make_results(by_person(record([], [])), tested={"heads": {}, "training_persons": ["00"]})
    assert find_warnings(results)[0].startswith("persons of the training data are scored: 00; their scores are no")


def test_persons_seen_in_pretraining_are_named_without_labels_too() -> None:
    results = make_results(by_person(record([], [])), persons_seen=["00"])
    unlabelled = replace(results, persons=results.persons.head(0), recordings={}, unlabelled=results.recordings)
    assert find_warnings(unlabelled)[0].startswith("the encoder saw persons of these names in pretraining: 00; if")
