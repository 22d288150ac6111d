"""python -m store info | verify."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from store.cli import run
from store.reader import Store, open_store
from store.schema import StoreError


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


Command = Annotated[Info, tyro.conf.subcommand("info")] | Annotated[Verify, tyro.conf.subcommand("verify")]


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
    return {
        "path": str(store.path),
        "spec": dataclasses.asdict(store.spec),
        "persons": list(store.persons),
        "subjects": subjects,
        "provenance": store.provenance,
    }


def _print_table(content: dict[str, Any]) -> None:
    spec, subjects = content["spec"], content["subjects"]
    print(f"store     {content['path']}")
    print(f"encoder   {spec['encoder']}, {spec['features']} as {spec['dtype']}, {spec['precision']}")
    print(
        f"windows   {spec['window_s']} s every {spec['stride_s']} s, {spec['frames']} frames x "
        f"{len(spec['channels'])} channels x {spec['dims']} dims at {spec['sample_rate_hz']} Hz"
    )
    print(f"{'subject':<10}{'person':<10}{'recordings':>10}{'hours':>9}{'seizures':>10}{'ictal s':>9}{'MB':>9}")
    for subject, row in subjects.items():
        print(
            f"{subject:<10}{row['person']:<10}{row['recordings']:>10}{row['hours']:>9.2f}"
            f"{row['seizures']:>10}{row['ictal_seconds']:>9}{row['bytes'] / 1e6:>9.1f}"
        )
    total = {
        key: sum(row[key] for row in subjects.values()) for key in next(iter(subjects.values())) if key != "person"
    }
    print(
        f"{'all':<10}{len(content['persons']):<10}{total['recordings']:>10}{total['hours']:>9.2f}"
        f"{total['seizures']:>10}{total['ictal_seconds']:>9}{total['bytes'] / 1e6:>9.1f}"
    )


def _info(settings: Info) -> int:
    content = describe(open_store(settings.store))
    if settings.json:
        print(json.dumps(content, indent=2))
    else:
        _print_table(content)
    return 0


def _verify(settings: Verify) -> int:
    damaged = 0
    for file in open_store(settings.store).files:
        try:
            file.verify()
            print(f"{file.path.name}: intact, {file.windows} windows")
        except StoreError as error:
            damaged += 1
            print(f"error: {error}", file=sys.stderr)
    return 2 if damaged else 0


def _command(settings: Info | Verify) -> int:
    return _info(settings) if isinstance(settings, Info) else _verify(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m store``."""
    return run(_command, Command, argv, prog="python -m store", description="Look at a feature store.")


if __name__ == "__main__":
    sys.exit(main())
