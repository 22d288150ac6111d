"""Validate files from outside before any other code reads them."""

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from h5py import h5d

from store.hdf5.structure import damaged, open_dataset, read_attributes, table_problem
from store.layout import Array, SubjectContent, array_names, content_checksum, from_arrays
from store.runtime.errors import StoreError, UserError, os_errors
from store.runtime.sigint import defer_sigint
from store.schema import FeatureSpec, count_seconds, count_windows

_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_S = 1e8  # three years
_EVENT_TOLERANCE_S = 1.0  # past the last second, for rounding
_JSON_BYTES = 1 << 26
_HDF5_ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError)


def read_checked(path: Path, handle: BinaryIO, file_bytes: int) -> tuple[SubjectContent, str, int]:
    """Read all of a store's file but the features, and validate it.

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
        If it is not a file of this format, is damaged, or holds an invalid value.
    """
    try:
        with defer_sigint(), h5py.File(handle, "r") as file:
            return _read(path, file, file_bytes)
    except StoreError:
        raise
    except _HDF5_ERRORS as error:  # all that HDF5 raises on a damaged file
        raise damaged(path, _explain(str(error))) from error


def _explain(message: str) -> str:
    """Say in plain words what HDF5 says of files that were cut off or are of another kind."""
    if "truncated file" in message:
        return "unreadable, the file was cut off"
    if "file signature not found" in message:
        return "unreadable, it is not an HDF5 file, or its beginning is missing"
    return f"unreadable ({message})"


def read_json(path: Path, limit_bytes: int = _JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object from a file that others may have written.

    Raises
    ------
    UserError
        If the file cannot be read, is not a regular file, is larger than the limit, or does not hold a JSON
        object.
    """
    with (
        os_errors(path),
        open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file,
    ):
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a regular file; give a JSON file")
        if status.st_size > limit_bytes:
            raise UserError(f"{path}: {status.st_size} bytes, allowed are {limit_bytes}; it is not a file of ours")
        content = file.read()
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); restore it from a copy, or make it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, expected a JSON object; restore it from a copy")
    return values


def _read(path: Path, file: h5py.File, file_bytes: int) -> tuple[SubjectContent, str, int]:
    attributes, version = read_attributes(path, file)
    try:
        spec = FeatureSpec.from_json(attributes["spec"].decode())
    except StoreError as error:
        raise damaged(path, str(error)) from error
    if problem := _spec_problem(spec):
        raise damaged(path, problem)
    names = array_names(spec, version)
    datasets = {name: open_dataset(path, file, name, file_bytes) for name in ("features", *names)}
    for name in names:
        if problem := table_problem(name, datasets[name], spec, version):
            raise damaged(path, f"{name}: {problem}")
    arrays = {name: h5py.Dataset(datasets[name])[()] for name in names}
    texts = [attributes[name] for name in ("subject", "person", "provenance")]
    checksum = attributes["checksum"].decode()
    if content_checksum(spec, texts, list(arrays.values())) != checksum:
        raise damaged(path, "labels, tables or attributes differ from their checksum")
    try:
        content = from_arrays(spec, version, attributes, arrays)
    except (TypeError, AttributeError, KeyError) as error:  # JSON of another form
        raise damaged(path, "metadata: unexpected or missing fields") from error
    if sum(len(info.events) for info in content.recordings) != len(arrays["events"]):
        raise damaged(path, "events: one belongs to no recording")
    if problem := _content_problem(content):
        raise damaged(path, problem)
    return content, checksum, _features_offset(path, datasets["features"], content, file_bytes)


def _features_offset(path: Path, dataset: h5d.DatasetID, content: SubjectContent, file_bytes: int) -> int:
    shape = (sum(info.windows for info in content.recordings), *content.spec.shape)
    if dataset.shape != shape or dataset.dtype != content.spec.dtype:
        raise damaged(path, f"features are {dataset.dtype} {dataset.shape}, expected {content.spec.dtype} {shape}")
    return int(dataset.get_offset())


def _spec_problem(spec: FeatureSpec) -> str:
    """Say what is wrong with a spec; empty if nothing is."""
    texts = ["encoder", "weights_sha256", "features", "dtype", "resampling", "precision"]
    texts += ["montage", "reference", "normalisation", "unit", "code_search"]
    if wrong := [name for name in texts if not isinstance(getattr(spec, name), str)]:
        return f"spec: {wrong[0]} is not text"
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
        return "spec: channels are not names"
    if not all(isinstance(row, str) and row.count("\t") == 2 for row in spec.derivations):
        return "spec: derivations are not rows of three cells"
    if not all(isinstance(channel, str) for channel in spec.inputs) or (spec.inputs and len(spec.channels) != 1):
        return "spec: inputs are not names, or are not mixed to one channel"
    for name in ("high_pass_hz", "low_pass_hz", "notch_hz"):
        value = getattr(spec, name)
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            return f"spec: {name} is {value!r}, allowed are numbers from 0"
    return ""


def _content_problem(content: SubjectContent) -> str:
    """Say which value is invalid; empty if none is."""
    checks = (_metadata_problem, _recordings_problem, _events_problem, _labels_problem, _moments_problem)
    return next(filter(None, (check(content) for check in checks)), "")


def _metadata_problem(content: SubjectContent) -> str:
    if not content.person or not content.subject or "/" in content.subject:
        return f"person {content.person!r} or subject {content.subject!r} is not a name"
    if not isinstance(content.provenance, dict):
        return "provenance is not a JSON object"
    for name in ("encoder", "versions"):
        if not isinstance(content.provenance.get(name), dict):
            return f"provenance names no {name}"
    for source in content.sources.values():
        if not isinstance(source.signal_bytes, int) or not isinstance(source.signal_mtime_ns, int):
            return "sources: size and time of a signal are not whole numbers"
    texts = [content.dataset, *content.participant, *content.participant.values(), *content.former_checksums]
    texts += [text for recording in content.left_out for text in (recording.name, recording.reason)]
    return "" if all(isinstance(text, str) for text in texts) else "metadata: a text field holds something else"


def _recordings_problem(content: SubjectContent) -> str:
    spec, window, second = content.spec, 0, 0
    if not content.recordings:
        return "recordings: the table is empty"
    names = [info.name for info in content.recordings]
    if len(set(names)) < len(names):
        return "recordings: two have the same name"
    for info, features in zip(content.recordings, content.hashes, strict=True):
        if not info.name or "/" in info.name or "\0" in info.name:
            return f"recordings: {info.name!r} is not a name"
        if not _SHA256.fullmatch(features):
            return f"recordings: the checksum of {info.name} is not a sha256"
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
            stop_s = event.onset_s + event.duration_s
            if not 0 <= event.onset_s <= stop_s <= info.seconds + _EVENT_TOLERANCE_S:
                return f"events: {info.name} has one at {event.onset_s} s that lasts {event.duration_s} s"
    return ""


def _labels_problem(content: SubjectContent) -> str:
    seconds = sum(info.seconds for info in content.recordings)
    if len(content.labels) != seconds:
        return f"{len(content.labels)} labels for {seconds} seconds"
    if content.labels.max(initial=0) > 1:
        return f"labels: one is {content.labels.max()}, allowed are 0 and 1"
    for info in content.recordings:
        if not info.labelled and content.labels_of(info).any():
            return f"labels: {info.name} is not annotated and yet has a seizure"
    return ""


def _moments_problem(content: SubjectContent) -> str:
    dims = content.spec.dims if content.codebooks is None else content.codebooks.shape[2]
    moments = content.moments
    if moments.total.shape[1] != dims or moments.squares.shape[1] != dims:
        return f"sums: have {moments.total.shape[1]} dims, expected {dims}"
    arrays: list[Array] = [moments.count, moments.total, moments.squares]
    arrays += [] if content.codebooks is None else [content.codebooks]
    if not all(np.isfinite(array).all() for array in arrays):
        return "sums or codebooks: a value is not finite"
    if min(moments.count.min(), moments.squares.min()) < 0:
        return "sums: a count or a sum of squares is below 0"
    return ""
