"""Objects of other packages: found through entry points, or imported as ``package.module:name``."""

import importlib
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from store.runtime.errors import UserError


def plugin_names(group: str) -> tuple[str, ...]:
    """Names that installed packages give to a group of entry points, in order."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def load_plugin(group: str, name: str) -> Any | None:
    """The object of that name in a group of entry points; None if no installed package has one.

    Raises
    ------
    UserError
        If two packages have one, or it cannot be imported.
    """
    references = {entry.value for entry in entry_points(group=group, name=name)}
    if len(references) > 1:
        raise UserError(f"{name}: given by more than one package ({', '.join(sorted(references))}); uninstall one")
    return import_object(references.pop()) if references else None


def import_named(reference: str) -> Any:
    """Import ``package.module:name`` as the user named it, from an installed package or the working folder.

    What a file names goes through here only if the user named it as well: to import is to run code.

    Raises
    ------
    UserError
        As `import_object`.
    """
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)  # last, so that a person's files hide no installed package
    return import_object(reference)


def import_object(reference: str) -> Any:
    """Import ``package.module:name`` from an installed package.

    Raises
    ------
    UserError
        If there is no such module or name, or its import fails.

    >>> import_object("math:pi")
    3.141592653589793
    """
    module_name, _, name = reference.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the code of other people raises
        raise UserError(
            f"{reference}: cannot be imported ({type(error).__name__}: {error}); "
            f"{_import_remedy(reference, module_name, error)}"
        ) from error
    for part in name.split("."):
        if not hasattr(value, part):
            raise UserError(f"{reference}: {module_name} has no {name}; give a name that the module defines")
        value = getattr(value, part)
    return value


def correct_reference(given: str) -> str:
    """``module:name`` for what a person gave instead, a Python file or a module of the working folder; else empty.

    For a file outside the working folder, with what else to do.

    >>> correct_reference("./hd.py:My"), correct_reference("my/hd.py"), correct_reference("linaer")
    ('hd:My', 'my.hd:Name', '')
    >>> correct_reference("../hd.py:My")
    'hd:My and run the command in .., or install the module'
    """
    module, _, name = given.partition(":")
    path = Path(module)
    if path.suffix == ".py" and path.stem:
        reference = ".".join((*path.parts[:-1], path.stem))
        is_elsewhere = path.is_absolute() or ".." in path.parts
        folder = f" and run the command in {path.parent}, or install the module" if is_elsewhere else ""
        return f"{path.stem if is_elsewhere else reference}:{name or 'Name'}{folder}"
    for module, last in ((given, ""), given.rpartition(".")[::2]):
        parts = module.split(".")
        if all(part.isidentifier() for part in parts) and Path(*parts).with_suffix(".py").is_file():
            return f"{module}:{last or 'Name'}"
    return ""


def _import_remedy(reference: str, module_name: str, error: BaseException) -> str:
    """What to do about a failed import: of the module itself, or of what it imports."""
    if corrected := correct_reference(reference) if module_name.endswith(".py") else "":
        return f"give {corrected}"
    packages = [module_name.rsplit(".", count)[0] for count in range(module_name.count(".") + 1)]
    if isinstance(error, ModuleNotFoundError) and error.name in packages:
        return "give package.module:name of an installed package or of the working folder"
    if isinstance(error, ModuleNotFoundError):
        return f"install {error.name}, or mend the import in {module_name}"
    return f"mend {module_name}; --debug shows where"
