"""The one table of old names, which users typed and files hold, and their new ones.

Values are translated where a command line, a run's settings or a file is read. What is named by a hash of its
settings (checkpoints, rows of a sweep) stays named by the old values, so that older work is found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# setting: {old value: value}
VALUES: dict[str, dict[str, str]] = {
    "pooling": {"max-deviation": "max-std"},
    "statistics": {"mean-deviation": "mean-std"},
}
# keys of a row of a sweep's results, `cells/*.json`
SWEEP_ROW = {"failure": "error"}
# keys of `postprocessing.json`
POSTPROCESSING = {"release": "hysteresis_ratio"}


def translate_arguments(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command line with today's values.

    >>> translate_arguments(["--pooling", "max", "max-deviation", "--out", "max-deviation"])
    ['--pooling', 'max', 'max-std', '--out', 'max-deviation']
    """
    translated, option = [], ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("--"):
            option = name.removeprefix("--")
            argument = f"{name}={_value(option, value)}" if equals else argument
        else:
            argument = _value(option, argument)
        translated.append(argument)
    return translated


def translate_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with today's values; a value may be a list of values.

    >>> translate_settings({"pooling": ["max", "max-deviation"], "lr": 0.1})
    {'pooling': ['max', 'max-std'], 'lr': 0.1}
    """
    return {
        name: [_value(name, item) for item in value] if isinstance(value, list) else _value(name, value)
        for name, value in settings.items()
    }


def restore_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the values of the first version, by whose hash files are named.

    >>> restore_settings({"pooling": "max-std"})
    {'pooling': 'max-deviation'}
    """
    before = {name: {new: old for old, new in values.items()} for name, values in VALUES.items()}
    known = {
        name: value for name, value in settings.items() if (name, value) != ("context_s", old_context(settings))
    }
    return {name: before.get(name, {}).get(value, value) for name, value in known.items()}


def old_context(settings: Mapping[str, Any]) -> int:
    """The ``context_s`` that a head had before it was a setting.

    >>> old_context({"head": "pooled-linear"}), old_context({"head": "linear"})
    (5, 1)
    """
    head, pooling = settings.get("head", "spatial-fusion"), settings.get("pooling")
    averages = head == "pooled-linear" or (head == "spatial-fusion" and pooling == "max-std-electrodes")
    return 5 if averages else 1


def translate_keys(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Content with today's keys.

    >>> translate_keys({"failure": "diverged", "score": 0.5}, SWEEP_ROW)
    {'error': 'diverged', 'score': 0.5}
    """
    return {names.get(key, key): value for key, value in content.items()}


def _value(setting: str, value: Any) -> Any:
    return VALUES.get(setting, {}).get(value, value) if isinstance(value, str) else value
