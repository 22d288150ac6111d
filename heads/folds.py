"""Assign persons to training, validation and test; no person is ever on two sides."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from store.runtime.errors import UserError
from store.runtime.names import to_path_name
from store.runtime.plurals import count_noun, list_names, noun_with_names

VALIDATION_SHARE = 0.2  # of the persons that are not tested, with ``inner`` "one"

DEFAULT_INNER = 4
GIVEN = "split"  # name of the fold of a given split; a person called so is %73plit
PARTS = {  # of a given split, as data sets call them
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "eval"), "test"),
}
Inner = int | Literal["pairs", "one"]  # how persons are left out to choose for a fold


@dataclass(frozen=True)
class Split:
    """Persons that train a head, and persons that it predicts to choose."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Fold:
    """Persons of one fold. ``final`` has no test persons and trains on everyone.

    Without ``inner``, the head that trains on ``train`` is chosen on ``validation``, which it does not train on.
    With it, everything is chosen on predictions for ``validation`` by inner heads, one a group, each trained on
    ``train`` without that group; the head of the fold then trains on all of ``train``.
    """

    name: str  # of the tested person, as a path takes it: a person called final is %66inal
    test: tuple[str, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...]
    inner: tuple[tuple[str, ...], ...] = ()  # groups of persons, in all the validation persons

    @property
    def is_given(self) -> bool:
        """Whether the persons are those of a given split."""
        return self.name == GIVEN

    @property
    def title(self) -> str:
        """The fold as people read it: the tested person, or ``final`` or ``split``.

        >>> Fold("%2D1", ("-1",), (), ()).title, Fold("final", (), (), ()).title
        ('-1', 'final')
        """
        return self.test[0] if self.test and not self.is_given else self.name

    @property
    def splits(self) -> tuple[Split, ...]:
        """Persons of the heads whose predictions choose.

        >>> Fold("03", ("03",), ("01", "02"), ("01", "02"), (("01",), ("02",))).splits
        (Split(train=('02',), validation=('01',)), Split(train=('01',), validation=('02',)))
        """
        if not self.inner:
            return (Split(self.train, self.validation),) if self.validation else ()
        return tuple(Split(tuple(p for p in self.train if p not in group), group) for group in self.inner)


@dataclass(frozen=True)
class LabelCounts:
    """Seconds of one person by label."""

    ictal: int
    background: int

    @property
    def both(self) -> bool:
        """Whether there are seizure and background seconds."""
        return self.ictal > 0 and self.background > 0


def make_folds(counts: Mapping[str, LabelCounts], selection: str, inner: Inner = "one") -> tuple[Fold, ...]:
    """Make one fold (``"01"``, ``"final"``) or all leave-one-person-out folds (``"all"``).

    The choice of persons looks at no features and needs no seed, and for a fold at no label of its tested person.

    Parameters
    ----------
    inner
        A number: the persons that are not tested choose in so many groups. "pairs": each is a group of its own, so
        that every inner head is without a pair of persons, and serves the folds of both. "one": the next persons
        after the tested one in cyclic order of names choose, that have both labels: a fifth, at least one.

    Raises
    ------
    UserError
        If the person is unknown, or if persons or seizures do not suffice.

    Examples
    --------
    >>> counts = {name: LabelCounts(10, 90) for name in ("01", "02", "03")}
    >>> make_folds(counts, "02")[0]
    Fold(name='02', test=('02',), validation=('03',), train=('01',), inner=())
    """
    if isinstance(inner, int) and inner < 2:
        raise UserError(f"--inner {inner}: allowed are 2 groups and more, pairs, one")
    persons = sorted(counts)
    if len(persons) < 3:
        raise UserError(
            f"the store holds {count_noun(len(persons), 'person')} ({list_names(persons)}); training, "
            "validation and test need 3 or more; extract more subjects"
        )
    if selection == "all":
        return tuple(_make_fold(counts, to_path_name(person), (person,), inner) for person in persons)
    if selection == "final":
        return (_make_fold(counts, "final", (), inner),)
    names = {to_path_name(person): person for person in persons} | {person: person for person in persons}
    person = names.get(selection) or names.get(selection.removeprefix("sub-"))
    if person is None:
        raise UserError(f"no person {selection!r} in the store; allowed: all, final, {list_names(persons)}")
    return (_make_fold(counts, to_path_name(person), (person,), inner),)


def make_given_fold(counts: Mapping[str, LabelCounts], parts: Mapping[str, str], source: str) -> Fold:
    """Make the fold of a given split.

    Parameters
    ----------
    parts
        Person -> "train", "validation" or "test"; persons that are not in ``counts`` are left out.
    source
        What gave the split, for messages.

    Raises
    ------
    UserError
        If a person is missing, a part is empty, there is no seizure to train on, or no validation person with
        seizure and background.

    Examples
    --------
    >>> counts = {name: LabelCounts(10, 90) for name in ("01", "02", "03")}
    >>> make_given_fold(counts, {"01": "test", "02": "train", "03": "validation"}, "split.tsv")
    Fold(name='split', test=('01',), validation=('03',), train=('02',), inner=())
    """
    unknown = sorted(parts.keys() - counts.keys())
    others = f" (not in the store: {list_names(unknown, most=5)})" if unknown else ""
    if missing := sorted(counts.keys() - parts.keys()):
        who = noun_with_names("person", missing, most=5)
        raise UserError(
            f"{source}: no part for {who} of the store{others}; allowed are train, validation and test"
        )
    sides = {
        part: tuple(sorted(p for p in counts if parts[p] == part)) for part in ("train", "validation", "test")
    }
    if empty := [part for part, persons in sides.items() if not persons]:
        raise UserError(
            f"{source}: no {empty[0]} person in the store{others}; a split needs train, validation and test"
        )
    if not any(counts[person].ictal for person in sides["train"]):
        raise UserError(f"{source}: no train person has a seizure; a head needs some to train on")
    if not any(counts[person].both for person in sides["validation"]):
        raise UserError(
            f"{source}: no validation person has both seizure and background seconds; epoch and threshold are "
            "chosen on such persons"
        )
    return Fold(GIVEN, sides["test"], sides["validation"], sides["train"])


def split_persons(counts: Mapping[str, LabelCounts], groups: int) -> tuple[tuple[str, ...], ...]:
    """Split labelled persons into at most so many groups, those that have both labels evenly.

    >>> counts = {"01": LabelCounts(0, 9), "02": LabelCounts(1, 9), "03": LabelCounts(2, 9)}
    >>> split_persons(counts, 2)
    (('02', '01'), ('03',))
    """
    labelled = [person for person, count in counts.items() if count.ictal or count.background]
    ordered = sorted(labelled, key=lambda person: (not counts[person].both, person))
    return tuple(tuple(ordered[start::groups]) for start in range(min(groups, len(ordered))))


def _make_fold(counts: Mapping[str, LabelCounts], name: str, test: tuple[str, ...], inner: Inner) -> Fold:
    if inner == "one":
        return _fold_of_next_persons(counts, name, test)
    others = {person: counts[person] for person in sorted(counts) if person not in test}
    usable = sum(count.both for count in others.values())
    if usable < 2:
        raise UserError(
            f"fold {name}: 2 persons with seizure and background seconds are needed to train and to choose, "
            f"{usable} found among {list_names(others)}; extract subjects with seizures"
        )
    groups = split_persons(others, len(others) if inner == "pairs" else inner)
    return Fold(name, test, tuple(sorted(itertools.chain(*groups))), tuple(others), groups)


def _fold_of_next_persons(counts: Mapping[str, LabelCounts], name: str, test: tuple[str, ...]) -> Fold:
    persons = sorted(counts)
    start = persons.index(test[0]) + 1 if test else 0
    rest = [person for person in (*persons[start:], *persons[:start]) if person not in test]
    size = max(1, round(VALIDATION_SHARE * len(rest)))
    usable = [person for person in rest if counts[person].both]
    validation = tuple(sorted(usable[:size]))
    train = tuple(sorted(person for person in rest if person not in validation))
    if len(validation) < size:
        raise UserError(
            f"fold {name}: needs {count_noun(size, 'validation person')} with seizure and background seconds, "
            f"{len(validation)} found among {list_names(sorted(rest))}; extract subjects with seizures"
        )
    if not any(counts[person].ictal for person in train):
        raise UserError(
            f"fold {name}: no seizure in the training persons {list_names(train)}; extract subjects with seizures"
        )
    return Fold(name, test, validation, train)
