"""The command and options that made a run, and how to call it for another fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from heads.folds import DEFAULT_INNER
from heads.settings import TrainSettings
from store.runtime.commands import command_line

_SHOWN = 3  # settings, and values of one, in a message


def kind_of(settings: Mapping[str, Any]) -> str:
    """Which command makes runs with such settings.

    >>> [kind_of(settings) for settings in ({"method": "lda"}, {"random": None}, {"lr": 0.1})]
    ['probe', 'sweep', 'train']
    """
    return "probe" if "method" in settings else "sweep" if "random" in settings else "train"


def describe_head(settings: Mapping[str, Any]) -> str:
    """What a run trained, in words.

    >>> describe_head({"head": "linear"}), describe_head({"head": "pooled-linear", "method": "logistic"})
    ('linear head', 'logistic probe')
    >>> describe_head({"head": ["linear", "spatial-fusion"], "random": None})
    'linear or spatial-fusion head'
    """
    if kind_of(settings) == "probe":
        return f"{settings['method']} probe"
    head = settings.get("head", "unknown")
    return f"{' or '.join(head) if isinstance(head, list) else head} head"


def fold_command(
    path: Path,
    config: Mapping[str, Any],
    fold: str,
    stores: Sequence[Path] = (),
    sweep_choice: Mapping[str, str | None] | None = None,
) -> str:
    """What to type to have a fold in a run; a final head of a sweep goes to a run of its own, ``PATH-final``.

    Parameters
    ----------
    config
        Of the run.
    fold
        "final" or "all".
    stores
        Where the run's stores are now; where they were if not given.
    sweep_choice
        For the final head of a sweep, values of the settings that the sweep tried several values of.
    """
    settings, store = config["settings"], config["store"]
    paths = [str(path) for path in stores] or [member["path"] for member in store.get("members") or [store]]
    kind = kind_of(settings)
    options = list(_options(kind, settings))
    if kind == "sweep" and fold == "final":
        path, kind = _beside(path, "final"), "train"
        options = list(_options_of_final(settings, sweep_choice or {}))
    folds = [] if kind == "sweep" else ["--fold", fold]
    if "split" in settings:
        folds = ["--split", settings["split"]]
    return command_line(f"heads.{kind}", "--store", *paths, *folds, "--out", path, *options)


def describe_difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Say which settings differ, three at most; empty if none does."""
    names = [name for name in sorted(stored.keys() | given.keys()) if stored.get(name) != given.get(name)]
    parts = [
        f"settings.{name} is {_show(stored.get(name))}, wanted {_show(given.get(name))}" for name in names[:_SHOWN]
    ]
    more = len(names) - _SHOWN
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _beside(path: Path, suffix: str) -> Path:
    """Path of a folder beside a run's, which may be given as ``.``."""
    named = path if path.name.strip(".") else path.resolve()
    return named.with_name(f"{named.name}-{suffix}")


def _options_of_final(settings: Mapping[str, Any], sweep_choice: Mapping[str, str | None]) -> Iterator[str]:
    """Options of `train` for one setting of a sweep; a new run folder does not know how persons choose."""
    first = {name: value[0] if isinstance(value, list) else value for name, value in settings.items()}
    yield from _options("train", {**first, **sweep_choice, "random": None})
    if "split" not in settings and settings["inner"] != DEFAULT_INNER:
        yield from ("--inner", str(settings["inner"]))


def _options(kind: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """The settings that are not the command's default; how persons choose is as in the run folder."""
    if kind == "probe":
        for name in ("method", "statistics"):
            if name in settings:
                yield from (f"--{name}", str(settings[name]))
        return
    for field in fields(TrainSettings):
        value = settings.get(field.name, field.default)
        if value != field.default:
            values = value if isinstance(value, list) else [value]
            yield from (
                f"--{field.name.replace('_', '-')}",
                *(str(item) if item is not None else "none" for item in values),
            )
    if settings.get("random") is not None:
        yield from ("--random", str(settings["random"]))


def _show(value: object) -> str:
    """A value as text; of several, the first."""
    if not isinstance(value, list) or len(value) <= _SHOWN:
        return repr(value)
    return f"[{', '.join(map(repr, value[:_SHOWN]))}, ... {len(value)} in all]"
