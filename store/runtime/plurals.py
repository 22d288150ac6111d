"""Nouns and names in messages: singular or plural, long lists shortened."""

from collections.abc import Iterable, Sequence

_MOST_NAMED = 10


def count_noun(number: int, noun: str) -> str:
    """A number and its noun.

    >>> [count_noun(number, "false alarm") for number in (0, 1, 2)]
    ['0 false alarms', '1 false alarm', '2 false alarms']
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def list_names(names: Iterable[str], most: int = _MOST_NAMED) -> str:
    """Names for a message, of many only the first.

    >>> list_names(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = list(names)
    rest = len(names) - len(names[:most])
    return ", ".join(names[:most]) + (f" and {rest} more" if rest else "")


def noun_with_names(noun: str, names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """A noun and the names it stands for, of many only the first.

    >>> noun_with_names("fold", ["01"])
    'fold 01'
    >>> noun_with_names("person", ["01", "02", "03"], most=2)
    'persons 01, 02 and 1 more'
    """
    return f"{noun}{'s' * (len(names) != 1)} {list_names(names, most)}"
