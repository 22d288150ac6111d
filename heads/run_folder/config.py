"""Read and validate ``config.json`` of a run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from heads.folds import DEFAULT_INNER, Inner
from heads.settings import TrainSettings
from store import FeatureSpec
from store.gate import read_json
from store.runtime.errors import UserError
from store.runtime.old_spellings import old_context, translate_settings
from store.schema import has_default

SettingsT = TypeVar("SettingsT", bound=TrainSettings)

_MOST_BYTES = 1 << 28  # a store may hold many recordings


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's configuration, with today's values of settings.

    Raises
    ------
    UserError
        If it is not what a run writes.
    """
    config = _read(path)
    return {**config, "settings": complete_settings(translate_settings(config["settings"]))}


def complete_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with what earlier versions, which knew no inner heads and no other context, did not name."""
    return {"inner": "one", "context_s": old_context(settings), **settings}


def follow_context(settings: SettingsT, path: Path) -> SettingsT:
    """Settings as given, with the context of the run that is there if it is from before that was a setting.

    Raises
    ------
    UserError
        If the run's configuration is damaged.
    """
    is_default = settings.context_s == TrainSettings.context_s
    return with_old_context(settings) if is_default and is_before_context(path) else settings


def is_before_context(path: Path) -> bool:
    """Whether a run is there that is from before the context was a setting.

    Raises
    ------
    UserError
        If the run's configuration is damaged.
    """
    config_path = path / "config.json"
    return config_path.is_file() and "context_s" not in _read(config_path)["settings"]


def with_old_context(settings: SettingsT) -> SettingsT:
    """Settings with the context that such a head had before it was a setting."""
    return replace(settings, context_s=old_context(vars(settings)))


def resolve_inner(
    given: Inner | None, path: Path, default: Inner = DEFAULT_INNER, split: str | None = None
) -> Inner:
    """How persons choose: as given, else as in the run folder that is there, else the default.

    Parameters
    ----------
    split
        A given split, whose validation persons choose.

    Raises
    ------
    UserError
        If the run's configuration is damaged, or a split says otherwise who chooses.
    """
    if split is not None and given is not None:
        raise UserError("--inner and --split do not go together: the validation persons of the split choose")
    if split is not None:
        return "one"
    if given is not None:
        return given
    recorded = (
        read_config(path / "config.json")["settings"]["inner"] if (path / "config.json").is_file() else default
    )
    return recorded if recorded in ("pairs", "one") else int(recorded)


def _read(path: Path) -> dict[str, Any]:
    config = read_json(path, _MOST_BYTES)
    if problem := _problem(config):
        raise UserError(f"{path}: damaged ({problem}); restore it from a copy, or train the run again")
    return config


def _problem(config: Mapping[str, Any]) -> str:
    """Say what is wrong with a configuration; empty if nothing is."""
    for name in ("settings", "store"):
        if not isinstance(config.get(name), dict):
            return f"{name} is not an object"
    sources = config.get("head_sources", {})
    if not isinstance(sources, dict) or not all(_are_texts(row, ("file", "sha256")) for row in sources.values()):
        return "head_sources holds no files and hashes"
    return _settings_problem(config["settings"]) or _store_problem(config["store"])


def _settings_problem(settings: Mapping[str, Any]) -> str:
    for name, value in settings.items():
        for entry in value if isinstance(value, list) else [value]:
            if entry is not None and not isinstance(entry, str | int | float):
                return f"settings.{name} is a {type(entry).__name__}"
    inner = settings.get("inner", "one")
    if inner not in ("pairs", "one") and type(inner) is not int:
        return f"settings.inner is {inner!r}"
    seeds = settings.get("seed", 0)
    if not all(type(seed) is int for seed in (seeds if isinstance(seeds, list) else [seeds])):
        return f"settings.seed is {seeds!r}"
    heads = settings.get("head")
    if not all(isinstance(head, str) for head in (heads if isinstance(heads, list) else [heads])):
        return f"settings.head is {heads!r}"
    return ""


def _store_problem(store: Mapping[str, Any]) -> str:
    if not isinstance(store.get("path"), str) or "\0" in store["path"]:
        return "store.path is not a path"
    for name in ("checksums", "identities"):
        texts = store.get(name, {} if name == "identities" else None)
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            return f"store.{name} is not an object of hashes"
    recordings = store.get("recordings", {})
    if not isinstance(recordings, dict) or not all(map(_is_identity, recordings.values())):
        return "store.recordings is not an object of identities"
    provenance = store.get("provenance")
    if not isinstance(provenance, dict) or not isinstance(provenance.get("encoder"), dict):
        return "store.provenance names no encoder"
    seen = provenance["encoder"].get("persons_seen", [])
    if not all(isinstance(persons, list) for persons in (seen.values() if isinstance(seen, dict) else [seen])):
        return "store.provenance.encoder.persons_seen is neither a list nor lists by data set"
    datasets = store.get("datasets", [])
    if not isinstance(datasets, list) or not all(isinstance(name, str) for name in datasets):
        return "store.datasets is not a list of names"
    return _members_problem(store) or _spec_problem(store.get("spec"))


def _members_problem(store: Mapping[str, Any]) -> str:
    """What is wrong with the record of several stores that were trained on together."""
    members, persons = store.get("members", []), store.get("persons", {})
    if not isinstance(members, list) or not all(_are_texts(member, ("name", "path")) for member in members):
        return "store.members is not a list of names and paths"
    rows = persons.values() if isinstance(persons, dict) else [None]
    if not all(_are_texts(row, ("dataset", "person")) for row in rows):
        return "store.persons names no data sets"
    return ""


def _are_texts(row: Any, keys: tuple[str, ...]) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) and "\0" not in row[key] for key in keys)


def _is_identity(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("person", "labels", "features"))


def _spec_problem(spec: Any) -> str:
    kinds: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), tuple[str, ...]: (list,)}
    hints = get_type_hints(FeatureSpec)
    fields = FeatureSpec.__dataclass_fields__
    required = {name for name, field in fields.items() if not has_default(field)}
    if not isinstance(spec, dict) or not required <= spec.keys() <= fields.keys():
        return "store.spec has missing or unknown fields"
    for name, value in spec.items():
        if type(value) not in kinds[hints[name]]:
            return f"store.spec.{name} is {value!r}"
        if isinstance(value, list) and not all(isinstance(text, str) for text in value):
            return f"store.spec.{name} are not names"
    return ""
