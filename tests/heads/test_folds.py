"""No person on two sides, and validation that can choose."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.folds import Inner, LabelCounts, Split, make_folds
from store.runtime.errors import UserError

BOTH = LabelCounts(ictal=20, background=80)
QUIET = LabelCounts(ictal=0, background=100)
UNLABELLED = LabelCounts(ictal=0, background=0)


@given(st.integers(3, 30))
def test_every_person_is_tested_once_and_on_one_side_only(persons: int) -> None:
    counts = {f"{number:02}": BOTH for number in range(persons)}
    folds = make_folds(counts, "all")
    assert [fold.test for fold in folds] == [(person,) for person in counts]
    for fold in folds:
        sides = [*fold.test, *fold.validation, *fold.train]
        assert sorted(sides) == sorted(counts)
        assert len(set(sides)) == len(sides)
        assert len(fold.validation) == max(1, round(0.2 * (persons - 1)))


def test_every_person_validates_equally_often() -> None:
    folds = make_folds({f"{number:02}": BOTH for number in range(11)}, "all")
    validating = [person for fold in folds for person in fold.validation]
    assert {validating.count(person) for person in validating} == {2}


def test_one_fold_is_the_same_as_in_all() -> None:
    counts = {name: BOTH for name in ("01", "02", "03", "04")}
    assert make_folds(counts, "03")[0] == make_folds(counts, "all")[2]


def test_a_person_is_selected_with_or_without_sub() -> None:
    assert make_folds(dict.fromkeys(("01", "02", "03"), BOTH), "sub-02")[0].test == ("02",)
    for persons in (("sub-01", "sub-02", "sub-03"), ("02", "sub-02", "03")):
        assert make_folds(dict.fromkeys(persons, BOTH), "sub-02")[0].test == ("sub-02",)


def test_final_trains_on_everyone_in_the_end() -> None:
    (fold,) = make_folds({name: BOTH for name in ("01", "02", "03")}, "final")
    assert (fold.test, fold.validation, fold.train) == ((), ("01",), ("02", "03"))


def test_persons_without_seizures_train_but_do_not_validate() -> None:
    (fold,) = make_folds({"01": BOTH, "02": QUIET, "03": BOTH, "04": BOTH}, "01")
    assert (fold.validation, fold.train) == (("03",), ("02", "04"))


@given(st.integers(3, 24), st.one_of(st.integers(2, 9), st.just("pairs")), st.randoms())
def test_inner_heads_predict_everyone_but_the_tested_once(persons: int, inner: Inner, random: Random) -> None:
    kinds = [BOTH, BOTH, BOTH, *(random.choice((BOTH, QUIET, UNLABELLED)) for _ in range(persons - 3))]
    counts = {f"{number:02}": kind for number, kind in enumerate(kinds)}
    for fold in (*make_folds(counts, "all", inner), *make_folds(counts, "final", inner)):
        assert sorted((*fold.test, *fold.train)) == sorted(counts)
        labelled = [person for person in fold.train if counts[person] != UNLABELLED]
        assert sorted(person for split in fold.splits for person in split.validation) == labelled
        assert list(fold.validation) == labelled
        assert len(fold.splits) == (len(labelled) if inner == "pairs" else min(inner, len(labelled)))
        for split in fold.splits:
            assert sorted((*split.train, *split.validation)) == list(fold.train)
            assert any(counts[person].both for person in split.train)
        sizes = [sum(counts[person].both for person in split.validation) for split in fold.splits]
        assert max(sizes) - min(sizes) <= 1


def test_pairs_share_inner_heads() -> None:
    folds = make_folds({f"{number:02}": BOTH for number in range(12)}, "all", "pairs")
    assert len({split.train for fold in folds for split in fold.splits}) == 66


def test_labels_of_the_tested_person_choose_no_group() -> None:
    counts = {f"{number:02}": BOTH for number in range(7)}
    assert make_folds(counts, "03", 4) == make_folds({**counts, "03": QUIET}, "03", 4)


def test_without_inner_heads_the_head_itself_chooses() -> None:
    (fold,) = make_folds({name: BOTH for name in ("01", "02", "03")}, "02")
    assert fold.splits == (Split(("01",), ("03",)),)


@pytest.mark.parametrize(
    ("counts", "inner", "message"),
    [
        ({"01": BOTH, "02": BOTH, "03": BOTH}, 1, "--inner 1: allowed are 2 groups and more, pairs, one"),
        ({"01": BOTH, "02": BOTH, "03": QUIET}, 4, "fold 01: 2 persons with seizure .* 1 found among 02, 03"),
    ],
)
def test_inner_groups_that_cannot_be_built(counts: dict[str, LabelCounts], inner: Inner, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(counts, "01", inner)


@pytest.mark.parametrize(
    ("counts", "selection", "message"),
    [
        ({"01": BOTH}, "all", r"the store holds 1 person \(01\); training, validation and test need 3 or more"),
        ({"01": BOTH, "02": BOTH}, "final", r"the store holds 2 persons \(01, 02\)"),
        (
            {"01": BOTH, "02": BOTH, "03": BOTH},
            "07",
            "no person '07' in the store; allowed: all, final, 01, 02, 03",
        ),
        (
            {"01": BOTH, "02": QUIET, "03": QUIET},
            "01",
            r"fold 01: needs 1 validation person with .* 0 found among 02, 03",
        ),
        ({"01": BOTH, "02": BOTH, "03": QUIET}, "01", "fold 01: no seizure in the training persons 03"),
    ],
)
def test_folds_that_cannot_be_built(counts: dict[str, LabelCounts], selection: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(counts, selection)


@pytest.mark.parametrize("inner", ["one", "pairs", 2])
def test_unlabelled_persons_do_not_choose(inner: Inner) -> None:
    counts = {"01": UNLABELLED, **dict.fromkeys(("02", "03", "04"), BOTH)}
    for fold in make_folds(counts, "all", inner):
        assert "01" not in fold.validation
        assert fold.validation


@pytest.mark.parametrize("inner", ["one", "pairs", 2])
def test_persons_without_any_labels_are_one_line(inner: Inner) -> None:
    counts = dict.fromkeys(("01", "02", "03", "04"), UNLABELLED)
    with pytest.raises(UserError, match=r"fold 01: .* seizure and background seconds.*, 0 found among 02"):
        make_folds(counts, "all", inner)
