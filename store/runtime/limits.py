"""Allowed ranges of numeric options."""

from collections.abc import Mapping

from store.runtime.errors import UserError

SEEDS = (0, 2**32 - 1)


def require_limits(settings: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Refuse settings outside of their ranges, ``{field: (least, most)}``.

    Raises
    ------
    UserError
        Naming the option and its range.
    """
    for name, bounds in limits.items():
        require_within(f"--{name.replace('_', '-')}", getattr(settings, name), bounds)


def require_within(option: str, value: float, bounds: tuple[float, float]) -> None:
    """Refuse a number outside of a range; nan is outside of all.

    Raises
    ------
    UserError
        Naming the option and its range.
    """
    if not is_within(value, bounds):
        raise UserError(f"{option} {value}: not usable; allowed: {describe_limits(bounds)}")


def is_within(value: float, bounds: tuple[float, float]) -> bool:
    """Whether a number is in a range, its ends included.

    >>> is_within(1, (0, 1)), is_within(float("nan"), (0, 1))
    (True, False)
    """
    least, most = bounds
    return least <= value <= most


def describe_limits(bounds: tuple[float, float]) -> str:
    """A range as errors name it.

    >>> describe_limits(SEEDS)
    '0 to 4294967295'
    >>> describe_limits((10.0, 1e5))
    '10 to 100000'
    """
    least, most = bounds
    return f"{least:.10g} to {most:.10g}"
