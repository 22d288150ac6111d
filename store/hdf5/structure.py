"""Validate the structure of an HDF5 file before any of its values is read."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5t

from store.runtime.errors import StoreError
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec

_TEXTS = ("format", "spec", "subject", "person", "provenance", "checksum")
_INTEGERS = ("first_window", "windows", "first_second", "seconds")


def damaged(path: Path, what: str) -> StoreError:
    """The error for a file that is not what was written."""
    return StoreError(f"{path}: {what}; remove the file and extract the subject again")


def read_attributes(path: Path, file: h5py.File) -> tuple[dict[str, bytes], int]:
    """Texts and version; a length is checked by HDF5 itself, which keeps attributes in one block."""
    texts = {}
    for name in _TEXTS:
        if not h5a.exists(file.id, name.encode()):
            continue
        attribute = h5a.open(file.id, name.encode())
        kind = attribute.get_type()
        if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or attribute.shape:
            raise damaged(path, f"attribute {name} is not a text of fixed length")
        texts[name] = bytes(file.attrs[name])
    if texts.get("format") != FORMAT.encode():
        raise StoreError(f"{path}: an HDF5 file, but not a feature store; move it out of the store's folder")
    version = file.attrs.get("version")
    if (
        version is None
        or np.ndim(version)
        or not np.issubdtype(np.asarray(version).dtype, np.integer)
        or version < 1
    ):
        raise damaged(path, "format version is not a whole number")
    if version > FORMAT_VERSION:
        raise StoreError(f"{path}: format version {version}, this program reads up to {FORMAT_VERSION}; update it")
    if "checksum" not in texts:
        raise damaged(path, "incomplete, it has no checksum")
    if missing := [name for name in _TEXTS if name not in texts]:
        raise damaged(path, f"attribute {missing[0]} is missing")
    return texts, int(version)


def open_dataset(path: Path, file: h5py.File, name: str, file_bytes: int) -> h5d.DatasetID:
    """Open a dataset whose bytes lie in this file, all of them, as they are."""
    group = file.id
    for part in (parts := name.encode().split(b"/"))[:-1]:
        group = _open_linked(path, group, part, name)
    dataset = _open_linked(path, group, parts[-1], name)
    if not isinstance(dataset, h5d.DatasetID):
        raise damaged(path, f"{name} is not a dataset")
    creation = dataset.get_create_plist()
    if creation.get_external_count():
        raise damaged(path, f"{name} lies in an external file, which a store never uses")
    if creation.get_layout() != h5d.CONTIGUOUS or creation.get_nfilters():
        raise damaged(path, f"{name} is not one contiguous block, without filters")
    declared_bytes = math.prod(dataset.shape) * dataset.get_type().get_size()
    offset = dataset.get_offset() if declared_bytes else 0
    if offset is None or offset + declared_bytes > file_bytes:
        raise damaged(path, f"{name} are cut off: {declared_bytes} bytes declared in a file of {file_bytes}")
    return dataset


def _open_linked(path: Path, group: Any, link: bytes, name: str) -> Any:
    if not isinstance(group, h5py.h5g.GroupID) or not group.links.exists(link):
        raise damaged(path, f"{name} is missing")
    if group.links.get_info(link).type != h5l.TYPE_HARD:
        raise damaged(path, f"{name} is a link, perhaps to another file")
    return h5o.open(group, link)


def table_problem(name: str, dataset: h5d.DatasetID, spec: FeatureSpec, version: int) -> str:
    """Say how type or shape of a table are not those of the format; empty if they are."""
    channels = len(spec.channels)
    shape, dtype = dataset.shape, dataset.dtype
    if dtype.hasobject:
        return "holds values of variable length"
    if name in ("recordings", "events"):
        return _columns_problem(dtype, _columns(name, len(spec.input_channels), version)) or (
            "" if len(shape) == 1 else "not a list of rows"
        )
    allowed: Mapping[str, tuple[str, int]] = {
        "labels": ("|u1", 1),
        "metadata": ("|u1", 1),
        "codebooks": ("<f4", 3),
    }
    expected, axes = allowed.get(name, ("<f8", 1 if name == "sums/count" else 2))
    if dtype != np.dtype(expected) or len(shape) != axes:
        return f"is {dtype} {shape}, expected {np.dtype(expected)} with {axes} axes"
    if (name.startswith("sums/") and shape[0] != channels) or (name == "codebooks" and shape[0] != spec.dims):
        return f"has the shape {shape}, which does not fit {channels} channels and {spec.dims} dims"
    return ""


def _columns(name: str, channels: int, version: int) -> dict[str, Callable[[np.dtype[Any]], bool]]:
    def is_text(dtype: np.dtype[Any]) -> bool:
        return dtype.kind == "S"

    def is_float(dtype: np.dtype[Any]) -> bool:
        return dtype == np.dtype("<f8")

    def is_integer(dtype: np.dtype[Any]) -> bool:
        return dtype == np.dtype("<i8")

    def is_mask(dtype: np.dtype[Any]) -> bool:
        return dtype == np.dtype(("u1", (channels,)))

    if name == "events":
        return {"recording": is_integer, "onset_s": is_float, "duration_s": is_float, "kind": is_text}
    columns: dict[str, Callable[[np.dtype[Any]], bool]] = {"name": is_text, **dict.fromkeys(_INTEGERS, is_integer)}
    columns |= {"duration_s": is_float, "start": is_text, "channel_mask": is_mask, "features_sha256": is_text}
    return columns | ({"labelled": lambda dtype: dtype == np.dtype("u1")} if version > 1 else {})


def _columns_problem(dtype: np.dtype[Any], columns: Mapping[str, Callable[[np.dtype[Any]], bool]]) -> str:
    if dtype.fields is None or list(dtype.fields) != list(columns):
        return f"expected columns {', '.join(columns)}"
    wrong = [name for name, fits in columns.items() if not fits(dtype.fields[name][0])]
    return f"column {wrong[0]} is {dtype.fields[wrong[0]][0]}" if wrong else ""
