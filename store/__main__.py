"""python -m store info | verify | export."""

import dataclasses
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from store.interop.table import export
from store.reader import Store, open_store
from store.runtime.cli import run
from store.runtime.errors import StoreError, UserError


@dataclass(frozen=True)
class Info:
    """Say what a store holds."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Verify:
    """Read everything and compare it with the checksums."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    sample: float = 1.0
    """Share of each subject's recordings whose features are read, at least one, drawn anew each time."""


@dataclass(frozen=True)
class Export:
    """Write a person's features as a flat table: a row a second, the mean over its frames."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    person: str
    """Person to export."""
    to: Literal["npz", "parquet"] = "npz"
    """Kind of file."""
    out: Path | None = None
    """File to write, replaced if there; person-NAME.npz or .parquet here if not given."""


Command = (
    Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


def describe(store: Store) -> dict[str, Any]:
    """What a store holds, as JSON-ready values."""
    subjects = {
        file.subject: {
            "person": file.person,
            "recordings": len(file.recordings),
            "hours": sum(info.duration_s for info in file.recordings) / 3600,
            "ictal_seconds": int(file.labels.sum()),
            "seizures": sum(len(info.events) for info in file.recordings),
            "bytes": file.path.stat().st_size,
        }
        for file in store.files
    }
    seen = set(store.provenance["encoder"].get("persons_seen", ()))
    return {
        "path": str(store.path),
        "spec": dataclasses.asdict(store.spec),
        "persons": list(store.persons),
        "persons_seen_in_pretraining": sorted(seen & set(store.persons)),
        "subjects": subjects,
        "provenance": store.provenance,
    }


def _print_table(content: dict[str, Any]) -> None:
    spec, subjects = content["spec"], content["subjects"]
    print(f"store     {content['path']}")
    print(f"encoder   {spec['encoder']}, {spec['features']} as {spec['dtype']}, {spec['precision']}")
    print(
        f"windows   {spec['window_s']} s every {spec['stride_s']} s, {spec['frames']} frames x "
        f"{len(spec['channels'])} channels x {spec['dims']} {'codes' if spec['features'] == 'codes' else 'dims'} "
        f"at {spec['sample_rate_hz']} Hz"
    )
    if overlap := content["persons_seen_in_pretraining"]:
        print(f"overlap   the encoder saw these persons in pretraining: {', '.join(overlap)}")
    columns = ("recordings", "hours", "seizures", "ictal_seconds", "bytes")
    total: dict[str, Any] = {column: sum(row[column] for row in subjects.values()) for column in columns}
    total["person"] = str(len(content["persons"]))
    print(f"{'subject':<10}{'person':<10}{'recordings':>10}{'hours':>9}{'seizures':>10}{'ictal s':>9}{'MB':>9}")
    for subject, row in (*subjects.items(), ("all", total)):
        print(
            f"{subject:<10}{row['person']:<10}{row['recordings']:>10}{row['hours']:>9.2f}"
            f"{row['seizures']:>10}{row['ictal_seconds']:>9}{row['bytes'] / 1e6:>9.1f}"
        )


def _info(settings: Info) -> int:
    content = describe(open_store(settings.store))
    if settings.json:
        print(json.dumps(content, indent=2))
    else:
        _print_table(content)
    return 0


def _verify(settings: Verify) -> int:
    if not 0 < settings.sample <= 1:
        raise UserError(f"--sample {settings.sample}: allowed is a share above 0, up to 1")
    damaged = 0
    for file in open_store(settings.store).files:
        there = len(file.recordings)
        numbers = sorted(random.sample(range(there), math.ceil(settings.sample * there)))
        try:
            file.verify(numbers)
            print(f"{file.path.name}: intact, {len(numbers)} of {there} recordings read, {file.windows} windows")
        except StoreError as error:
            damaged += 1
            print(f"error: {error}", file=sys.stderr)
    return 2 if damaged else 0


def _export(settings: Export) -> int:
    out = settings.out or Path(f"person-{settings.person}.{settings.to}")
    if out.suffix != f".{settings.to}":
        raise UserError(f"--out {out}: --to {settings.to} writes a file that ends in .{settings.to}")
    seconds = export(open_store(settings.store), settings.person, out)
    print(f"{out}: {seconds} seconds of person {settings.person}")
    return 0


def _command(settings: Info | Verify | Export) -> int:
    match settings:
        case Info():
            return _info(settings)
        case Verify():
            return _verify(settings)
        case Export():
            return _export(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m store``."""
    return run(_command, Command, argv, prog="python -m store", description="Look at a feature store.")


if __name__ == "__main__":
    sys.exit(main())
