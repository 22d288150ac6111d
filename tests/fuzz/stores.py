"""Store files, edited and signed anew: what is refused is one line, what is accepted is consistent."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from store.__main__ import main as store_main
from tests.fuzz import base
from tests.fuzz.edits import FileEdit, JsonEdit, byte_edits, file_edits, json_edits
from tests.fuzz.oracle import problems
from tests.fuzz.sandbox import Finding, Outcome, run

COMMANDS: dict[str, Callable[[Path], Outcome]] = {
    "train": lambda box: base.run_train(box, "--fold", "all"),
    "probe": base.run_probe,
    "sweep": base.run_sweep,
    "on": lambda box: base.run_eval_on(box, base.finished_run() / "run"),
}
ARRAYS = ("labels", "recordings", "events", "sums/count", "sums/total", "sums/squares", "codebooks", "metadata")
VALUES = (
    -1,
    0,
    1,
    2,
    255,
    2**31,
    2**62,
    0.5,
    -0.5,
    math.nan,
    math.inf,
    1e300,
    b"",
    b"\xff\xfe",
    b"../../x",
    b"sub-01",
)
LIES = (
    "external",
    "fifo",
    "soft link",
    "outer link",
    "virtual",
    "compressed",
    "huge",
    "group",
    "chunked",
    "string",
)
SHAPES = ("drop", "double", "flat", "square", "empty", "float", "int", "text", "order", "column", "without")


@dataclass(frozen=True)
class StoreEdit:
    """One thing of an HDF5 file changes."""

    what: str
    name: str
    at: float = 0.0
    value: int = 0  # of VALUES
    json: JsonEdit | None = None

    def apply(self, file: h5py.File, box: Path) -> None:
        """Edit an open file, as far as it has such a thing."""
        if self.what == "attribute":
            value = VALUES[self.value]
            file.attrs[self.name] = np.bytes_(value) if isinstance(value, bytes) else value
        elif self.what == "no attribute":
            file.attrs.pop(self.name, None)
        elif self.what == "attribute kind":
            file.attrs[self.name] = str(_text(file.attrs.get(self.name, b"")))  # of variable length
        elif self.what == "json":
            _edit_json(file, self)
        elif self.name in file:
            _edit_dataset(file, self, box)


@dataclass(frozen=True)
class StoreCase:
    """Edits of one subject's file."""

    source: str
    edits: tuple[StoreEdit, ...]
    signed: bool
    bytes: FileEdit | None
    command: str  # that meets it, after the store's own


@st.composite
def cases(draw: st.DrawFn) -> StoreCase:
    """One or two edits, mostly signed anew; or bytes changed."""
    name = st.sampled_from(ARRAYS)
    attribute = st.sampled_from(["format", "version", "spec", "subject", "person", "provenance", "checksum"])
    value = st.integers(0, len(VALUES) - 1)
    edit = (
        st.builds(StoreEdit, st.just("value"), name, fractions, value)
        | st.builds(StoreEdit, st.sampled_from(SHAPES), name, fractions, value)
        | st.builds(StoreEdit, st.sampled_from(LIES), st.sampled_from(["features", *ARRAYS]))
        | st.builds(StoreEdit, st.sampled_from(["value", *SHAPES]), st.just("features"), fractions, value)
        | st.builds(
            StoreEdit, st.sampled_from(["attribute", "no attribute", "attribute kind"]), attribute, value=value
        )
        | st.builds(
            StoreEdit, st.just("json"), st.sampled_from(["spec", "provenance", "metadata"]), json=json_edits
        )
    )
    edits = tuple(draw(st.lists(edit, min_size=1, max_size=2)))
    command = st.sampled_from(["", "", *COMMANDS])
    if draw(st.sampled_from([False] * 5 + [True])):
        return StoreCase("today", (), False, draw(byte_edits | file_edits), draw(command))
    source = draw(st.sampled_from(["today", "today", "v1", "codes"]))
    return StoreCase(source, edits, draw(st.sampled_from([True] * 4 + [False])), None, draw(command))


fractions = st.floats(0, 1, exclude_max=True, width=32)


def check(case: StoreCase, box: Path) -> None:
    """Look at the store, verify it, train on it."""
    folders = {"v1": base.GOLDEN / "bandpower", "codes": base.GOLDEN / "codes"}
    shutil.copytree(folders.get(case.source) or base.finished_run() / "store", box / "store")
    path = box / "store" / "sub-01.h5"
    outside = box / "outside"
    outside.write_bytes(bytes(1 << 16))
    os.mkfifo(box / "pipe")
    if case.bytes:
        case.bytes.apply(path)
    else:
        with h5py.File(path, "r+") as file:
            for edit in case.edits:
                with suppress(OSError, ValueError, MemoryError):  # edited before
                    edit.apply(file, box)
            if case.signed:
                sign(file)
    seen = [
        run(store_main, "store", arguments, box, lambda path: False)
        for arguments in (["info", box / "store"], ["info", "--json", box / "store"], ["verify", box / "store"])
    ]
    said = "\n".join(outcome.text[:3000] for outcome in seen)
    if len({outcome.status for outcome in seen[:2]}) > 1:
        raise Finding("store: info and info --json disagree", said)
    wrong = problems(path) if seen[0].status == 0 and path.exists() else []
    if wrong and (seen[2].status == 0 or "features" not in wrong[0]):
        raise Finding(f"store: accepts {wrong[0]}", f"{wrong}\n{said}")
    if case.command:
        _use(case.command, box, seen[0].status, said)


def _use(command: str, box: Path, info: int, said: str) -> None:
    """Train, sweep or probe on the store, or test the heads of a run on it."""
    used = COMMANDS[command](box)
    if info != 0 and used.status == 0:
        raise Finding(f"{command}: takes a store that info refuses", said)
    if used.status == 0:
        scored = used if command == "on" else base.run_eval(box, "--no-report")
        if scored.status != 0:
            raise Finding("eval: refuses a run just trained", f"{said}\n{scored.text}")
        persons = json.loads((box / "run" / "metrics.json").read_text())["persons"]
        with_files = {_text(h5py.File(path).attrs["person"]) for path in (box / "store").glob("*.h5")}
        if set(persons) != with_files:
            raise Finding(
                "eval: persons are missing in the scores", f"{sorted(persons)} {sorted(with_files)}\n{said}"
            )


def sign(file: h5py.File) -> None:
    """Write the checksum that fits what the file holds, as far as it holds what is summed."""
    try:
        spec = json.dumps(json.loads(_text(file.attrs["spec"])), sort_keys=True)
        digest = hashlib.sha256(spec.encode() + b"\0")
        for name in ("subject", "person", "provenance"):
            digest.update(bytes(file.attrs[name]) + b"\0")
        for name in (name for name in ARRAYS if name in file):
            array = np.zeros(file[name].shape, file[name].dtype) if file[name].external else file[name][()]
            digest.update(repr((_fields(array.dtype), array.shape)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        file.attrs["checksum"] = np.bytes_(digest.hexdigest().encode())
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, AttributeError, RecursionError, MemoryError):
        return  # then nobody can sign it


def _edit_json(file: h5py.File, edit: StoreEdit) -> None:
    assert edit.json
    if edit.name == "metadata":
        if "metadata" in file:
            edited = edit.json.apply(file["metadata"][()].tobytes().decode())
            del file["metadata"]
            file["metadata"] = np.frombuffer(edited, np.uint8)
    elif isinstance(content := file.attrs.get(edit.name), bytes):
        edited = edit.json.apply(content.decode())
        if 0 < len(edited) < 60_000:  # HDF5's own limit
            file.attrs[edit.name] = np.bytes_(edited)


def _edit_dataset(file: h5py.File, edit: StoreEdit, box: Path) -> None:
    if not isinstance(file[edit.name], h5py.Dataset) or file[edit.name].external:
        return  # reading it would open what it names
    if edit.what in LIES:
        _lie(file, edit, box)
        return
    array = file[edit.name][()]
    edited = _with_value(array, edit) if edit.what == "value" else _with_shape(array, edit)
    if edited is not None:
        del file[edit.name]
        file.create_dataset(edit.name, data=edited)


def _with_value(array: Any, edit: StoreEdit) -> Any:
    """One value, of one column if it is a table, is another."""
    if not array.size:
        return None
    edited, value = array.copy(), VALUES[edit.value]
    place = int(edit.at * array.size)
    target = edited.reshape(-1)
    if array.dtype.names:
        names = array.dtype.names
        name = names[place % len(names)]
        row = (place // len(names)) % len(target)
        target, place = target[name], row
    if (target.dtype.kind == "S") != isinstance(value, bytes):
        return None
    with np.errstate(all="ignore"):
        try:
            target[place] = value
        except (OverflowError, ValueError):
            target[place] = 0
    return edited


def _with_shape(array: Any, edit: StoreEdit) -> Any:
    names = array.dtype.names
    match edit.what:
        case "drop":
            return array[:-1]
        case "double":
            return np.concatenate([array, array])
        case "flat":
            return array.reshape(-1) if array.ndim > 1 else array.reshape(1, -1)
        case "square":
            return array[..., None]
        case "empty":
            return array[:0]
        case "float" if not names:
            return array.astype(np.float64)
        case "int" if not names:
            return np.nan_to_num(array).astype(np.int64)
        case "text":
            return np.zeros(array.shape, "S4")
        case "order":
            return array[::-1]
        case "column" if names:
            old = names[int(edit.at * len(names))]
            return array.astype([(f"{n}x" if n == old else n, array.dtype[n]) for n in names])
        case "without" if names:
            return array[[name for name in names if name != names[int(edit.at * len(names))]]].copy()
    return None


def _lie(file: h5py.File, edit: StoreEdit, box: Path) -> None:
    old = file[edit.name]
    if not isinstance(old, h5py.Dataset):
        return
    shape, dtype, array = old.shape, old.dtype, old[()]
    del file[edit.name]
    match edit.what:
        case "external" | "fifo":
            target = str(box / ("outside" if edit.what == "external" else "pipe"))
            file.create_dataset(edit.name, shape, dtype, external=[(target, 0, h5py.h5f.UNLIMITED)])
        case "soft link":
            file[f"{edit.name}_"] = array
            file[edit.name] = h5py.SoftLink(f"/{edit.name}_")
        case "outer link":
            file[edit.name] = h5py.ExternalLink(str(box / "store" / "sub-02.h5"), f"/{edit.name}")
        case "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(box / "store" / "sub-02.h5"), edit.name, shape)
            file.create_virtual_dataset(edit.name, layout)
        case "compressed" | "chunked" if array.size and array.ndim:
            file.create_dataset(
                edit.name, data=array, chunks=True, compression="gzip" if edit.what == "compressed" else None
            )
        case "huge":
            file.create_dataset(edit.name, (10**12, *shape[1:]), dtype, chunks=(1, *(s or 1 for s in shape[1:])))
        case "group":
            file.create_group(edit.name)
        case "string":
            file[edit.name] = "text"


def _text(value: object) -> str:
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return content.decode("utf-8", "surrogateescape")


def _fields(dtype: np.dtype[Any]) -> list[tuple[Any, ...]]:
    if not dtype.fields:
        return [("", dtype.str)]
    types = {name: field[0] for name, field in dtype.fields.items()}
    return [(name, kind.base.str, kind.shape) if kind.shape else (name, kind.str) for name, kind in types.items()]
