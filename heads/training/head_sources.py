"""Source files of heads that are not this project's."""

import hashlib
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from heads.models.head import HeadBuilder
from heads.models.registry import HEADS, find_head


def describe_sources(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """File and sha256 of the source of heads, as it was when this process first asked; none of this project's.

    The file is that of the module of the class, not what it imports. A class without source has none.

    Raises
    ------
    UserError
        If there is no such head, or it cannot be imported.
    """
    builders = {name: find_head(name) for name in dict.fromkeys(names) if name not in HEADS}
    described = {name: _describe_source(builder) for name, builder in builders.items() if _has_file(builder)}
    return {name: source for name, source in described.items() if source is not None}


def _has_file(builder: HeadBuilder) -> bool:
    return builder not in HEADS.values() and (inspect.isclass(builder) or inspect.isfunction(builder))


@cache  # the class stays as it was imported, whatever becomes of its file
def _describe_source(builder: HeadBuilder) -> dict[str, str] | None:
    try:
        file = inspect.getsourcefile(builder)
        content = Path(file).read_bytes() if file else None
    except (OSError, TypeError):  # of a class that was made in another way than by a file
        return None
    return None if content is None else {"file": str(file), "sha256": hashlib.sha256(content).hexdigest()}
