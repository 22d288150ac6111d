"""Options of commands: read their values, and describe mistakes in one line."""

import contextlib
import difflib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from store.runtime.errors import UserError

_NEAR = 0.62  # similarity, by difflib, of a name that may be meant
_NEVER_MEANT = "--force"  # overwrites what others may need
_KINDS = {int: ("N", "a whole number"), float: ("NUMBER", "a number"), str: ("NAME", "a name")}
_OR_NONE = " or none"
_CONFIG = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.HelptextFromCommentsOff,
    tyro.conf.PositionalMetavarFromFieldName,
)


def optional(metavar: str, help_text: str | None = None) -> Any:
    """Describe an option whose help says what holds if it is not given."""
    return tyro.conf.arg(metavar=metavar, help=help_text, help_behavior_hint="")


def read_options(
    settings_type: Any,
    arguments: Sequence[str],
    prog: str,
    description: str,
    elsewhere: Mapping[str, str] | None = None,
) -> Any:
    """Make a command's settings from its arguments; ``--help`` prints the help and exits.

    Parameters
    ----------
    elsewhere
        Options of similar commands that this one lacks, and what to say of each.

    Raises
    ------
    UserError
        Naming the option, what was given, and what is allowed.
    """

    def read(given: Sequence[str]) -> Any:
        registry = ConstructorRegistry()
        registry.primitive_rule(_value_rule)
        return tyro.cli(
            settings_type, args=given, prog=prog, description=description, config=_CONFIG, registry=registry
        )

    def option_names() -> list[str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            read(["--help"])
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
        return re.findall(r"^\W*(--[a-z0-9-]+)", lines, re.MULTILINE)

    with _errors_in_a_line(lambda event: _describe(event, arguments, option_names, elsewhere or {})):
        return read(arguments)


def describe_unknown(kind: str, name: str, allowed: Sequence[str]) -> str:
    """Say that there is no such option or command, and which one is meant perhaps.

    >>> describe_unknown("command", "trian", ["train", "eval"])
    'no command trian (did you mean train?)'
    """
    return f"no {kind} {name}{suggest(name, allowed)}"


def suggest(name: str, allowed: Sequence[str]) -> str:
    """Say which name is meant perhaps, to follow one that there is not; empty if none is like it.

    >>> suggest("bandpwer", ["random", "bandpower"])
    ' (did you mean bandpower?)'
    """
    by_letters = {other.lstrip("-"): other for other in allowed if other != _NEVER_MEANT}
    similar = difflib.get_close_matches(name.lstrip("-"), by_letters, 1, _NEAR)
    return f" (did you mean {by_letters[similar[0]]}?)" if similar else ""


@contextmanager
def _errors_in_a_line(describe: Callable[[Any], str]) -> Iterator[None]:
    """Raise what tyro would print in a box. Its hook is not part of its promise: without it the box is printed."""

    def complain(event: Any) -> None:
        with contextlib.suppress(AttributeError):
            if message := describe(event):
                raise UserError(f"{message}; see {event.prog} --help")

    try:
        from tyro._errors import on_parse_error
    except ImportError:
        yield
        return
    with on_parse_error(complain):
        yield


def _describe(
    event: Any, arguments: Sequence[str], option_names: Callable[[], list[str]], elsewhere: Mapping[str, str]
) -> str:
    """What is wrong, by tyro's event; nothing for an event that is not known."""

    def describe_surplus(tokens: Sequence[str], options: Sequence[str]) -> str:
        for name in (token.partition("=")[0] for token in tokens if token.startswith("-")):
            unknown = describe_unknown("option", name, options)
            return f"no option {name}: {elsewhere[name]}" if name in elsewhere else unknown
        return _describe_surplus_values(tokens, arguments)

    match type(event).__name__:
        case "UnrecognizedArgs":
            return describe_surplus(event.tokens, option_names())
        case "MissingArgs" if event.unrecognized_tokens:
            return describe_surplus(event.unrecognized_tokens, option_names())
        case "MissingArgs":
            return _describe_missing([_name(missing.arg) for missing in event.missing_arguments])
        case "BadValue" if event.argument.is_positional():  # tyro has not looked at unknown options yet
            options = option_names()
            given = [argument.partition("=")[0].replace("_", "-") for argument in arguments]
            unknown = [name for name in given if name.startswith("--") and name not in options]
            return describe_surplus(unknown, options) if unknown else _describe_missing([_name(event.argument)])
        case "BadValue":
            return f"{_name(event.argument)}: a value is missing"
        case "InvalidChoice":
            return f"{_name(event.argument)}: {_quote(event.value)} is not one of {', '.join(event.choices)}"
        case "InstantiationFailure" if event.argument is not None:
            return f"{_name(event.argument)}: {_as_in_help(event)}"
    return ""


def _describe_missing(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} required"


def _describe_surplus_values(tokens: Sequence[str], arguments: Sequence[str]) -> str:
    """Name the option whose values are too many, where it is one."""
    for option, values in _values_by_option(arguments):
        for taken, surplus in ((0, values), (1, values[1:])):
            if surplus and surplus == list(tokens):
                count = "one value" if taken else "no value"
                return f"{option} takes {count}; got {shlex.join(values)}"
    return f"{_quote(tokens[0])} is one value too many"


def _values_by_option(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Options as they are typed, each with the values up to the next one.

    >>> _values_by_option(["run", "--fold", "01", "02", "--lr=1"])
    [('--fold', ['01', '02']), ('--lr', ['1'])]
    """
    options: list[tuple[str, list[str]]] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            options.append((name, [value] if equals else []))
        elif options:
            options[-1][1].append(argument)
    return options


def _as_in_help(event: Any) -> str:
    """The message for a value, without a "none" that the help does not offer."""
    shown = str(event.argument.lowered.metavar)
    return str(event.message if "none" in shown else event.message.removesuffix(_OR_NONE))


def _name(argument: Any) -> str:
    """An option as it is typed, a positional argument as the help calls it."""
    lowered = argument.lowered
    return str(lowered.metavar if argument.is_positional() else lowered.name_or_flags[-1])


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read numbers, words beside numbers, values that may be none and several values; all else tyro reads."""
    item, is_several = info.type, False
    if get_origin(item) is tuple and get_args(item)[1:] == (...,):
        item, is_several = get_args(item)[0], True
    value = _Value.of(item)
    if value is None or not (is_several or value.is_optional or value.numbers):
        return None

    def parse(texts: list[str]) -> Any:
        values = tuple(map(value.parse, texts))
        return values if is_several else values[0]

    def show(given: Any) -> list[str]:
        return ["none" if element is None else str(element) for element in (given if is_several else [given])]

    return PrimitiveConstructorSpec(
        nargs="*" if is_several else 1,
        metavar=f"{value.metavar} ..." if is_several else value.metavar,
        instance_from_str=parse,
        is_instance=lambda given: True,
        str_from_instance=show,
    )


@dataclass(frozen=True)
class _Value:
    """What one value may be: a number or a name, one of some words, or none."""

    kinds: tuple[type, ...]
    words: tuple[str, ...]
    is_optional: bool

    @classmethod
    def of(cls, hint: Any) -> "_Value | None":
        """Of a type; None if it is of another kind."""
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
        kinds = tuple(part for part in parts if part in _KINDS)
        others = [part for part in parts if part not in (NoneType, *_KINDS) and get_origin(part) is not Literal]
        return None if others else cls(kinds, tuple(words), NoneType in parts)

    @property
    def numbers(self) -> bool:
        """Whether it may be a number."""
        return bool({int, float} & {*self.kinds})

    @property
    def metavar(self) -> str:
        """As the help shows it."""
        names = [_KINDS[kind][0] for kind in self.kinds] + list(self.words) + ["none"] * self.is_optional
        return f"{{{','.join(self.words)}}}" if not self.kinds else "|".join(names)

    def parse(self, text: str) -> Any:
        """Read a value."""
        if self.is_optional and text.lower() == "none":
            return None
        if text in self.words:
            return text
        for kind in self.kinds:
            with contextlib.suppress(ValueError):
                return kind(text)
        if not self.kinds:
            raise ValueError(f"{_quote(text)} is not one of {', '.join(self.words)}")
        allowed = " or ".join([_KINDS[kind][1] for kind in self.kinds] + list(self.words))
        raise ValueError(f"{_quote(text)} is not {allowed}{_OR_NONE if self.is_optional else ''}")
