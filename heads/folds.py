"""Persons to train, validation and test; no person is ever on two sides. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.runtime.errors import UserError
from store.runtime.names import to_path_name

VALIDATION_SHARE = 0.2  # of the persons that are not tested


@dataclass(frozen=True)
class Fold:
    """Persons of one fold. ``final`` has no test persons and trains on everyone."""

    name: str  # of the tested person, as a path takes it: a person called final is %66inal
    test: tuple[str, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...]


@dataclass(frozen=True)
class LabelCounts:
    """Seconds of one person by label."""

    ictal: int
    background: int


def make_folds(counts: Mapping[str, LabelCounts], selection: str) -> tuple[Fold, ...]:
    """Make one fold (``"01"``, ``"final"``) or all leave-one-person-out folds (``"all"``).

    Validation persons are the next ones after the tested person, in cyclic order of names, that have both
    labels: a fifth of the persons left, at least one. The choice looks at no features and needs no seed.

    Raises
    ------
    UserError
        If the person is unknown, or if persons or seizures do not suffice.

    Examples
    --------
    >>> counts = {name: LabelCounts(10, 90) for name in ("01", "02", "03")}
    >>> make_folds(counts, "02")[0]
    Fold(name='02', test=('02',), validation=('03',), train=('01',))
    """
    persons = sorted(counts)
    if len(persons) < 3:
        raise UserError(
            f"the store holds {len(persons)} person{'s' * (len(persons) != 1)} ({', '.join(persons)}); training, "
            "validation and test need 3 or more; extract more subjects"
        )
    if selection == "all":
        return tuple(_fold(counts, persons, to_path_name(person), (person,)) for person in persons)
    if selection == "final":
        return (_fold(counts, persons, "final", ()),)
    person = selection if selection in counts else {to_path_name(p): p for p in persons}.get(selection)
    if person is None:
        raise UserError(f"no person {selection!r} in the store; allowed: {', '.join(persons)}, all, final")
    return (_fold(counts, persons, to_path_name(person), (person,)),)


def _fold(counts: Mapping[str, LabelCounts], persons: Sequence[str], name: str, test: tuple[str, ...]) -> Fold:
    start = persons.index(test[0]) + 1 if test else 0
    rest = [person for person in (*persons[start:], *persons[:start]) if person not in test]
    size = max(1, round(VALIDATION_SHARE * len(rest)))
    usable = [person for person in rest if counts[person].ictal and counts[person].background]
    validation = tuple(sorted(usable[:size]))
    train = tuple(sorted(person for person in rest if person not in validation))
    if len(validation) < size:
        raise UserError(
            f"fold {name}: {size} validation person(s) with seizure and background seconds are needed, "
            f"{len(validation)} found among {', '.join(sorted(rest))}; extract subjects with seizures"
        )
    if not any(counts[person].ictal for person in train):
        raise UserError(
            f"fold {name}: no seizure in the training persons {', '.join(train)}; extract subjects with seizures"
        )
    return Fold(name, test, validation, train)
