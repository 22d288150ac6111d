"""``python -m store``: inspect or verify a feature store, or export a person."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("store.__main__"))

import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from store.interop.overview import describe, format_overview
from store.interop.table import export, find_person
from store.reader import list_files, open_file, open_store
from store.runtime.cli import run, to_one_line
from store.runtime.commands import command_line, name_command
from store.runtime.errors import StoreError, UserError
from store.runtime.names import to_path_name
from store.runtime.options import describe_unknown, optional
from store.runtime.plurals import count_noun

StorePath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STORE")]


@dataclass(frozen=True)
class InfoCommand:
    """Show what a store contains: persons, hours, seizures, and what was left out or is missing, and why."""

    store: StorePath
    """Folder of the store."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class VerifyCommand:
    """Read all files and compare them with their checksums; exit status 2 if a file is damaged."""

    store: StorePath
    """Folder of the store."""
    sample: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 1.0
    """Share of each subject's recordings to read features of (at least one), drawn anew each time."""


@dataclass(frozen=True)
class ExportCommand:
    """Write a person's features as a table: one row per second, the mean over its frames."""

    store: StorePath
    """Folder of the store."""
    person: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """Person to export, named as in `info`."""
    to: Literal["npz", "parquet"] = "npz"
    """Format of the file."""
    out: Annotated[Path | None, optional("FILE")] = None
    """File to write, replaced if it is an export. (default: person-NAME.npz or .parquet in the working folder)"""
    force: bool = False
    """Overwrite an existing file that is not an export."""


def _info(command: InfoCommand) -> int:
    overview = describe(open_store(command.store))
    if command.json:
        print(json.dumps(overview, indent=2))
    else:
        for line in format_overview(overview):
            print("".join(c if c.isprintable() else to_one_line(c) or " " for c in line))
    return 0


def _verify(command: VerifyCommand) -> int:
    if not 0 < command.sample <= 1:
        raise UserError(f"--sample {command.sample}: allowed is a share above 0, up to 1")
    damaged = 0
    for path in list_files(command.store):
        try:
            file = open_file(path)
            count = len(file.recordings)
            numbers = sorted(random.sample(range(count), math.ceil(command.sample * count)))
            file.verify(numbers)
        except StoreError as error:
            damaged += 1
            print(f"{name_command('store verify')}: error: {to_one_line(error)}", file=sys.stderr)
        else:
            read = f"{len(numbers)} of {count_noun(count, 'recording')} read"
            print(f"{path.name}: intact, {read}, {count_noun(file.windows, 'window')}")
    if damaged:
        return 2
    open_store(command.store)  # whether the files belong together
    return 0


def _export(command: ExportCommand) -> int:
    store = open_store(command.store)
    person = find_person(store, command.person)
    out = command.out or Path(f"person-{to_path_name(person)}.{command.to}")
    if out.suffix != f".{command.to}":
        raise UserError(f"--out {out}: --to {command.to} writes a file that ends in .{command.to}")
    seconds = export(store, person, out, force=command.force)
    print(to_one_line(f"{out}: {count_noun(seconds, 'second')} of person {person}"))
    return 0


_COMMANDS: dict[str, tuple[Callable[[Any], int], type, str]] = {  # function, settings, example
    "info": (_info, InfoCommand, "STORE"),
    "verify": (_verify, VerifyCommand, "STORE --sample 0.1"),
    "export": (_export, ExportCommand, "STORE --person 01 --to parquet"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m store``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is None:
        is_asked = bool({"-h", "--help"} & set(arguments))
        print("\n".join(_help(name_command("store"))), file=sys.stdout if is_asked else sys.stderr)
        return 0 if is_asked else 2
    if name not in _COMMANDS:
        unknown = to_one_line(describe_unknown("command", name, list(_COMMANDS)))
        print(f"{name_command('store')}: error: {unknown}; allowed: {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    arguments.remove(name)
    work, settings, example = _COMMANDS[name]
    return run(
        work, settings, arguments, module=f"store {name}", description=str(settings.__doc__), examples=[example]
    )


def _help(prog: str) -> list[str]:
    return [
        f"usage: {prog} COMMAND ...",
        "",
        "Inspect, verify or export a feature store.",
        "",
        *(f"  {name:<8}{settings.__doc__}" for name, (_, settings, _) in _COMMANDS.items()),
        "",
        f"Example: {command_line('store', 'info', 'STORE')}",
        "",
        f"{prog} COMMAND --help lists the options of a command.",
    ]
