"""Nouns in messages: singular for one, plural for the rest."""

from collections.abc import Sequence


def count_noun(number: int, noun: str) -> str:
    """A number and its noun.

    >>> [count_noun(number, "false alarm") for number in (0, 1, 2)]
    ['0 false alarms', '1 false alarm', '2 false alarms']
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def noun_with_names(noun: str, names: Sequence[str], most: int | None = None) -> str:
    """A noun and the names it stands for, of many only the first.

    >>> noun_with_names("fold", ["01"])
    'fold 01'
    >>> noun_with_names("person", ["01", "02", "03"], most=2)
    'persons 01, 02 and 1 more'
    """
    shown = names[:most]
    rest = len(names) - len(shown)
    return f"{noun}{'s' * (len(names) != 1)} {', '.join(shown)}" + (f" and {rest} more" if rest else "")
