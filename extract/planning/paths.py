"""Paths of the files of an extraction."""

from pathlib import Path


def published_path(store: Path, subject: str) -> Path:
    """File of a subject whose recordings are all there."""
    return store / f"sub-{subject}.h5"


def parts_path(store: Path, subject: str) -> Path:
    """Folder of the recordings of a subject that is not published as it is now."""
    return store / ".parts" / f"sub-{subject}"


def part_path(store: Path, subject: str, name: str) -> Path:
    """File of one recording."""
    return parts_path(store, subject) / f"{name}.h5"


def left_out_path(store: Path, subject: str, name: str) -> Path:
    """File that says why a recording cannot be used."""
    return parts_path(store, subject) / f"{name}.txt"
