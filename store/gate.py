"""What a foreign file is held against before anything else reads it."""

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5o, h5t

from store.layout import Array, SubjectContent, array_names, content_checksum, from_arrays
from store.runtime.errors import StoreError, UserError, os_errors
from store.runtime.sigint import defer_sigint
from store.schema import FORMAT, FORMAT_VERSION, FeatureSpec, count_seconds, count_windows

_TEXTS = ("format", "spec", "subject", "person", "provenance", "checksum")
_LONGEST_S = 1e8  # three years
_INTEGERS = ("first_window", "windows", "first_second", "seconds")
_JSON_BYTES = 1 << 26
_HDF5_ERRORS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    RecursionError,
    OverflowError,
    AttributeError,
)


def damaged(path: Path, what: str) -> StoreError:
    """The error for a file that is not what was written."""
    return StoreError(f"{path}: {what}; remove the file and extract the subject again")


def read_checked(path: Path, handle: BinaryIO, file_bytes: int) -> tuple[SubjectContent, str, int]:
    """Read all of a store's file but the features, held against the format.

    Returns
    -------
    content
    checksum
        Of the content.
    offset
        Of the features in the file.

    Raises
    ------
    StoreError
        If it is no file of this format, or damaged, or holds what no store holds.
    """
    try:
        with defer_sigint(), h5py.File(handle, "r") as file:
            return _read(path, file, file_bytes)
    except StoreError:
        raise
    except _HDF5_ERRORS as error:  # whatever HDF5 makes of damage
        raise damaged(path, f"unreadable ({error})") from error


def read_json(path: Path, limit_bytes: int = _JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object from a file that others may have written.

    Raises
    ------
    UserError
        If the file cannot be read, is no regular file, is larger than the limit, or holds no JSON object.
    """
    with (
        os_errors(path),
        open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file,
    ):
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: no regular file; give a JSON file")
        if status.st_size > limit_bytes:
            raise UserError(f"{path}: {status.st_size} bytes, allowed are {limit_bytes}; it is not a file of ours")
        content = file.read()
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error}); restore it from a copy, or make it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, wanted a JSON object; restore it from a copy")
    return values


def _read(path: Path, file: h5py.File, file_bytes: int) -> tuple[SubjectContent, str, int]:
    attributes, version = _read_attributes(path, file)
    spec = FeatureSpec.from_json(attributes["spec"].decode())
    if problem := _spec_problem(spec):
        raise damaged(path, problem)
    names = array_names(spec, version)
    datasets = {name: _open_dataset(path, file, name, file_bytes) for name in ("features", *names)}
    for name in names:
        if problem := _table_problem(name, datasets[name], spec, version):
            raise damaged(path, f"{name}: {problem}")
    arrays = {name: h5py.Dataset(datasets[name])[()] for name in names}
    texts = [attributes[name] for name in ("subject", "person", "provenance")]
    checksum = attributes["checksum"].decode()
    if content_checksum(spec, texts, list(arrays.values())) != checksum:
        raise damaged(path, "labels, tables or attributes differ from their checksum")
    content = from_arrays(spec, version, attributes, arrays)
    if sum(len(info.events) for info in content.recordings) != len(arrays["events"]):
        raise damaged(path, "events: one belongs to no recording")
    if problem := _content_problem(content):
        raise damaged(path, problem)
    return content, checksum, _features_offset(path, datasets["features"], content, file_bytes)


def _read_attributes(path: Path, file: h5py.File) -> tuple[dict[str, bytes], int]:
    """Texts and version; a length is checked by HDF5 itself, which keeps attributes in one block."""
    texts = {}
    for name in _TEXTS:
        if not h5a.exists(file.id, name.encode()):
            continue
        attribute = h5a.open(file.id, name.encode())
        kind = attribute.get_type()
        if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or attribute.shape:
            raise damaged(path, f"attribute {name} is no text of fixed length")
        texts[name] = bytes(file.attrs[name])
    if texts.get("format") != FORMAT.encode():
        raise StoreError(f"{path}: an HDF5 file, but no feature store; move it out of the store's folder")
    version = file.attrs["version"]
    if np.ndim(version) or not np.issubdtype(np.asarray(version).dtype, np.integer) or version < 1:
        raise damaged(path, "format version is no whole number")
    if version > FORMAT_VERSION:
        raise StoreError(f"{path}: format version {version}, this program reads up to {FORMAT_VERSION}; update it")
    if "checksum" not in texts:
        raise damaged(path, "incomplete, it has no checksum")
    if missing := [name for name in _TEXTS if name not in texts]:
        raise damaged(path, f"attribute {missing[0]} is missing")
    return texts, int(version)


def _open_dataset(path: Path, file: h5py.File, name: str, file_bytes: int) -> h5d.DatasetID:
    """Open a dataset whose bytes lie in this file, all of them, as they are."""
    group = file.id
    for part in (parts := name.encode().split(b"/"))[:-1]:
        group = _open_linked(path, group, part, name)
    dataset = _open_linked(path, group, parts[-1], name)
    if not isinstance(dataset, h5d.DatasetID):
        raise damaged(path, f"{name} is no dataset")
    creation = dataset.get_create_plist()
    if creation.get_external_count():
        raise damaged(path, f"{name} lies in an external file, which a store never does")
    if creation.get_layout() != h5d.CONTIGUOUS or creation.get_nfilters():
        raise damaged(path, f"{name} is not one contiguous block, without filters")
    if dataset.get_type().detect_class(h5t.VLEN) or dataset.get_type().detect_class(h5t.REFERENCE):
        raise damaged(path, f"{name} holds values of variable length")
    wanted_bytes = math.prod(dataset.shape) * dataset.get_type().get_size()
    offset = dataset.get_offset() if wanted_bytes else 0
    if offset is None or offset + wanted_bytes > file_bytes:
        raise damaged(path, f"{name} are cut off: {wanted_bytes} bytes declared in a file of {file_bytes}")
    return dataset


def _open_linked(path: Path, group: Any, link: bytes, name: str) -> Any:
    if not isinstance(group, h5py.h5g.GroupID) or not group.links.exists(link):
        raise damaged(path, f"{name} is missing")
    if group.links.get_info(link).type != h5l.TYPE_HARD:
        raise damaged(path, f"{name} is a link, perhaps to another file")
    return h5o.open(group, link)


def _spec_problem(spec: FeatureSpec) -> str:
    """Say what no spec can be; empty if nothing."""
    texts = ("encoder", "weights_sha256", "features", "dtype", "resampling", "precision")
    if wrong := [name for name in texts if not isinstance(getattr(spec, name), str)]:
        return f"spec: {wrong[0]} is no text"
    counts = ("sample_rate_hz", "window_s", "stride_s", "hop", "frames", "dims")
    for name in counts:
        value = getattr(spec, name)
        if type(value) is not int or not 1 <= value < 1 << 31:
            return f"spec: {name} is {value!r}, allowed are whole numbers from 1"
    if spec.stride_s > spec.window_s:
        return f"spec: a stride of {spec.stride_s} s leaves seconds out of windows of {spec.window_s} s"
    if (spec.features, spec.dtype) not in (("latents", "float16"), ("latents", "float32"), ("codes", "uint8")):
        return f"spec: {spec.features!r} as {spec.dtype!r}; allowed are latents as float16, codes as uint8"
    if not spec.channels or not all(isinstance(channel, str) for channel in spec.channels):
        return "spec: channels are no names"
    return ""


def _table_problem(name: str, dataset: h5d.DatasetID, spec: FeatureSpec, version: int) -> str:
    """Say how type or shape of a table are not those of the format; empty if they are."""
    channels = len(spec.channels)
    shape, dtype = dataset.shape, dataset.dtype
    if name in ("recordings", "events"):
        return _columns_problem(dtype, _columns(name, channels, version)) or (
            "" if len(shape) == 1 else "no list of rows"
        )
    allowed: Mapping[str, tuple[str, int]] = {
        "labels": ("|u1", 1),
        "metadata": ("|u1", 1),
        "codebooks": ("<f4", 3),
    }
    wanted, axes = allowed.get(name, ("<f8", 1 if name == "sums/count" else 2))
    if dtype != np.dtype(wanted) or len(shape) != axes:
        return f"is {dtype} {shape}, wanted {np.dtype(wanted)} with {axes} axes"
    if (name.startswith("sums/") and shape[0] != channels) or (name == "codebooks" and shape[0] != spec.dims):
        return f"has the shape {shape}, which fits not the {channels} channels and {spec.dims} dims of the spec"
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
        return f"wanted columns {', '.join(columns)}"
    wrong = [name for name, fits in columns.items() if not fits(dtype.fields[name][0])]
    return f"column {wrong[0]} is {dtype.fields[wrong[0]][0]}" if wrong else ""


def _content_problem(content: SubjectContent) -> str:
    """Say which value cannot be; empty if all can."""
    checks = (_metadata_problem, _recordings_problem, _events_problem, _labels_problem, _moments_problem)
    return next(filter(None, (check(content) for check in checks)), "")


def _metadata_problem(content: SubjectContent) -> str:
    if not content.person or not content.subject or "/" in content.subject:
        return f"person {content.person!r} or subject {content.subject!r} is no name"
    if not isinstance(content.provenance, dict):
        return "provenance is no JSON object"
    for name in ("encoder", "versions"):
        if not isinstance(content.provenance.get(name), dict):
            return f"provenance names no {name}"
    for source in content.sources.values():
        if not isinstance(source.signal_bytes, int) or not isinstance(source.signal_mtime_ns, int):
            return "sources: size and time of a signal are no whole numbers"
    texts = [content.dataset, *content.participant, *content.participant.values(), *content.former_checksums]
    texts += [text for recording in content.left_out for text in (recording.name, recording.reason)]
    return "" if all(isinstance(text, str) for text in texts) else "metadata: a text is none"


def _recordings_problem(content: SubjectContent) -> str:
    spec, window, second = content.spec, 0, 0
    if not content.recordings:
        return "recordings: there is none"
    names = [info.name for info in content.recordings]
    if len(set(names)) < len(names):
        return "recordings: two have the same name"
    for info in content.recordings:
        if not info.name or "/" in info.name or "\0" in info.name:
            return f"recordings: {info.name!r} is no name"
        if not 0 < info.duration_s <= _LONGEST_S:  # also for nan
            return f"recordings: {info.name} lasts {info.duration_s} s, allowed are up to {_LONGEST_S:.0f}"
        if info.seconds != count_seconds(info.duration_s):
            return f"recordings: {info.name} has {info.seconds} seconds in {info.duration_s} s"
        if info.windows != count_windows(info.seconds, spec.window_s, spec.stride_s):
            return f"recordings: {info.name} has {info.windows} windows in {info.seconds} s"
        if (info.first_window, info.first_second) != (window, second):
            return f"recordings: {info.name} does not begin where the one before ends"
        window, second = window + info.windows, second + info.seconds
    return ""


def _events_problem(content: SubjectContent) -> str:
    for info in content.recordings:
        for event in info.events:
            if not (abs(event.onset_s) <= _LONGEST_S and 0 <= event.duration_s <= _LONGEST_S):
                return f"events: {info.name} has one at {event.onset_s} s that lasts {event.duration_s} s"
    return ""


def _labels_problem(content: SubjectContent) -> str:
    seconds = sum(info.seconds for info in content.recordings)
    if len(content.labels) != seconds:
        return f"{len(content.labels)} labels for {seconds} seconds"
    if content.labels.max(initial=0) > 1:
        return f"labels: one is {content.labels.max()}, allowed are 0 and 1"
    for info in content.recordings:
        if not info.labelled and content.labels[info.first_second : info.first_second + info.seconds].any():
            return f"labels: {info.name} has no annotation and yet a seizure"
    return ""


def _moments_problem(content: SubjectContent) -> str:
    dims = content.spec.dims if content.codebooks is None else content.codebooks.shape[2]
    moments = content.moments
    if moments.total.shape[1] != dims or moments.squares.shape[1] != dims:
        return f"sums: have {moments.total.shape[1]} dims, wanted {dims}"
    arrays: list[Array] = [moments.count, moments.total, moments.squares]
    arrays += [] if content.codebooks is None else [content.codebooks]
    if not all(np.isfinite(array).all() for array in arrays) or moments.count.min() < 0:
        return "sums or codebooks: a value is not finite"
    return ""


def _features_offset(path: Path, dataset: h5d.DatasetID, content: SubjectContent, file_bytes: int) -> int:
    wanted = (sum(info.windows for info in content.recordings), *content.spec.shape)
    if dataset.shape != wanted or dataset.dtype != content.spec.dtype:
        raise damaged(path, f"features are {dataset.dtype} {dataset.shape}, wanted {content.spec.dtype} {wanted}")
    return int(dataset.get_offset())
