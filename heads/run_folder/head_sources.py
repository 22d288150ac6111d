"""Which source the heads of a run had, where they are not this project's."""

from collections.abc import Mapping
from typing import Any

from store.runtime.plurals import list_names

HeadSources = Mapping[str, Mapping[str, str]]  # name of a head -> "file" and "sha256" of its source


def describe_changed_heads(config: Mapping[str, Any], now: HeadSources) -> str:
    """Say which heads have another source now than a run recorded; empty if none has, or if it recorded none.

    >>> recorded = {"head_sources": {"mine:Head": {"file": "mine.py", "sha256": "1"}}}
    >>> describe_changed_heads(recorded, {"mine:Head": {"file": "mine.py", "sha256": "2"}})
    'another version of mine:Head (mine.py changed)'
    """
    if "head_sources" not in config:  # of this project's heads alone, or of a run made before
        return ""
    recorded: HeadSources = config["head_sources"]
    names = sorted(recorded.keys() | now.keys())
    if not (changed := [name for name in names if _hash_of(recorded, name) != _hash_of(now, name)]):
        return ""
    files = dict.fromkeys((now.get(name) or recorded[name])["file"] for name in changed)
    return f"another version of {list_names(changed)} ({list_names(list(files))} changed)"


def _hash_of(sources: HeadSources, name: str) -> str | None:
    return sources[name]["sha256"] if name in sources else None
