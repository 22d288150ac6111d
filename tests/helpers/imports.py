"""Who imports whom in the packages, read from syntax trees; nothing is imported."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGES = ("extract", "store", "heads", "eval")


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """Dotted name of a file; of a package's ``__init__.py`` the package's own.

    >>> module_name(ROOT / "heads" / "models" / "__init__.py")
    'heads.models'
    """
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path, top_level: bool = False) -> Iterator[str]:
    """Dotted names of what a file imports, anywhere or at its top level only."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph(package: str) -> dict[str, set[str]]:
    """Modules of a package -> modules of the same package that they import."""
    files = {module_name(path): path for path in source_files(package)}
    return {name: (set(imported_names(path)) & files.keys()) - {name} for name, path in files.items()}


def top_level_graph(package: str) -> dict[str, set[str]]:
    """The same between what stands at the package's top level: modules, and folders as one."""

    def top(name: str) -> str:
        return name.split(".")[1] if "." in name else "__init__"

    graph: dict[str, set[str]] = {}
    for name, imports in import_graph(package).items():
        # "from store.runtime import cli" names the folder and the module in it
        direct = {top(other) for other in imports if other != package}
        graph.setdefault(top(name), set()).update(direct - {top(name)})
    return graph


def longest_path(graph: Mapping[str, set[str]]) -> list[str]:
    """Longest chain of imports.

    Raises
    ------
    ValueError
        If imports run in a circle; the message is the circle.

    >>> longest_path({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    ['a', 'b', 'c']
    """
    known: dict[str, list[str]] = {}

    def follow(name: str, behind: tuple[str, ...]) -> list[str]:
        if name in behind:
            raise ValueError(" -> ".join((*behind[behind.index(name) :], name)))
        if name not in known:
            chains = [follow(other, (*behind, name)) for other in sorted(graph.get(name, ()))]
            known[name] = [name, *max(chains, key=len, default=[])]
        return known[name]

    return max((follow(name, ()) for name in sorted(graph)), key=len, default=[])
