"""Damaged files of a store: refused on opening, found by verifying, never joined."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import store
from store import StoreError
from store.reader import open_file
from store.writer import join_files
from tests.helpers.paths import DATA
from tests.helpers.stores import SPEC, write_part, write_subject


def damage_format(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1


def damage_version(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 3


def damage_checksum(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file.attrs["checksum"]


def damage_labels(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["labels"]
        file["labels"] = np.zeros(3, np.uint8)


def damage_shape(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["features"]
        file["features"] = np.zeros((3, 4), np.float16)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:5000]),
            "unreadable, the file was cut off; remove the file and extract",
        ),
        (
            lambda path: path.write_bytes(b"not a store"),
            "unreadable, it is not an HDF5 file, or its beginning is missing; remove",
        ),
        (damage_format, "an HDF5 file, but not a feature store"),
        (damage_version, "format version 3, this program reads up to 2; update it"),
        (damage_checksum, "incomplete, it has no checksum"),
        (damage_labels, "labels, tables or attributes differ from their checksum"),
        (damage_shape, r"features are float16 \(3, 4\), expected float16 \(10, 8, 3, 5\)"),
    ],
)
def test_damaged_files_are_refused_on_opening(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(write_subject(tmp_path, "01", (40,), 0))
    with pytest.raises(StoreError, match=message):
        store.open(tmp_path)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_verify_finds_a_flipped_bit_in_the_features(tmp_path: Path) -> None:
    path = write_subject(tmp_path, "01", (40, 24), 0)
    file = open_file(path)
    file.verify()
    flip(path, file.offset + 11 * int(np.prod(SPEC.shape)) * 2)
    with pytest.raises(StoreError, match=r"sub-01\.h5: features of sub-01_\S+_run-01 differ from their checksum"):
        open_file(path).verify()


@pytest.mark.parametrize("name", ["labels", "sums/total", "recordings", "events"])
def test_opening_finds_a_changed_table(tmp_path: Path, name: str) -> None:
    path = write_subject(tmp_path, "01", (40,), 0)
    with h5py.File(path, "a") as file:
        file[name][0] = file[name][0] if name == "labels" else np.zeros_like(file[name][0])
        file["labels"][3] = name == "labels"
    with pytest.raises(StoreError, match="labels, tables or attributes differ from their checksum"):
        open_file(path)


def test_a_damaged_part_is_not_joined(tmp_path: Path) -> None:
    write_part(tmp_path / "a.h5", 0, 18)
    flip(tmp_path / "a.h5", open_file(tmp_path / "a.h5").offset)
    with pytest.raises(StoreError, match="differ from their checksum"):
        join_files(tmp_path / "sub-01.h5", [tmp_path / "a.h5"])
    assert not (tmp_path / "sub-01.h5").exists()


@pytest.mark.parametrize("features", ["latents", "codes"])
def test_no_flipped_bit_goes_unnoticed(tmp_path: Path, features: str) -> None:
    """Every 41st byte of a file; ``tests/benchmarks/survival.py`` flips them all."""
    content = (DATA / "store-v1" / features / "sub-07.h5").read_bytes()
    path = tmp_path / "sub-07.h5"
    for at in range(0, len(content), 41):
        path.write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        with pytest.raises(StoreError):
            open_file(path).verify()
