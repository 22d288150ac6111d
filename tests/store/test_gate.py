"""Files that others made, or changed and signed again: refused in one line before anything reads them."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import store
from store import Event, StoreError
from store.gate import read_json
from store.layout import array_names, content_checksum
from store.reader import open_file
from store.runtime.errors import UserError
from store.schema import FeatureSpec
from store.writer import write_file
from tests.helpers.stores import SPEC, recording, write_subject


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_subject(tmp_path / "store", "01", (40, 18), 0)


def sign(path: Path) -> None:
    """Give a file the checksum of what it holds."""
    with h5py.File(path, "a") as file:
        spec = FeatureSpec.from_json(file.attrs["spec"].decode())
        texts = [bytes(file.attrs[name]) for name in ("subject", "person", "provenance")]
        arrays = [file[name][()] for name in array_names(spec)]
        file.attrs["checksum"] = np.bytes_(content_checksum(spec, texts, arrays).encode())


def replace_array(file: h5py.File, name: str, array: Any) -> None:
    del file[name]
    file[name] = array


def change(file: h5py.File, name: str, index: int, column: str, value: object) -> None:
    rows = file[name][()]
    rows[column][index] = value
    file[name][...] = rows


def change_spec(file: h5py.File, **changes: object) -> None:
    file.attrs["spec"] = np.bytes_(json.dumps(json.loads(file.attrs["spec"]) | changes, sort_keys=True))


def change_metadata(file: h5py.File, **changes: object) -> None:
    text = json.dumps(json.loads(file["metadata"][()].tobytes()) | changes)
    replace_array(file, "metadata", np.frombuffer(text.encode(), np.uint8))


def without_column(file: h5py.File, name: str, column: str) -> None:
    rows = file[name][()]
    replace_array(file, name, rows[[other for other in rows.dtype.names if other != column]].copy())


SIGNED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "label 2": (lambda f: f["labels"].__setitem__(3, 2), "labels: one is 2, allowed are 0 and 1"),
    "label 255": (lambda f: f["labels"].__setitem__(3, 255), "labels: one is 255, allowed are 0 and 1"),
    "labels as floats": (
        lambda f: replace_array(f, "labels", np.full(58, np.nan)),
        "labels: is float64 (58,), expected uint8",
    ),
    "labels of wrong shape": (
        lambda f: replace_array(f, "labels", np.zeros((58, 1), np.uint8)),
        "labels: is uint8 (58, 1), expected uint8 with 1 axes",
    ),
    "too few labels": (lambda f: replace_array(f, "labels", np.zeros(57, np.uint8)), "57 labels for 58 seconds"),
    "labels without annotation": (
        lambda f: change(f, "recordings", 0, "labelled", 0),
        "labels: sub-01_ses-01_task-szMonitoring_run-00 is not annotated and yet has a seizure",
    ),
    "duration nan": (lambda f: change(f, "recordings", 0, "duration_s", np.nan), "run-00 lasts nan s, allowed"),
    "duration 1e300": (lambda f: change(f, "recordings", 0, "duration_s", 1e300), "run-00 lasts 1e+300 s"),
    "duration 0": (lambda f: change(f, "recordings", 0, "duration_s", 0), "run-00 lasts 0.0 s"),
    "other seconds": (lambda f: change(f, "recordings", 0, "seconds", 41), "run-00 has 41 seconds in 40.0 s"),
    "other windows": (lambda f: change(f, "recordings", 0, "windows", 1 << 40), "windows in 40 s"),
    "other order": (
        lambda f: f["recordings"].__setitem__(slice(None), f["recordings"][()][::-1]),
        "run-01 does not begin where the one before ends",
    ),
    "same name": (
        lambda f: change(f, "recordings", 1, "name", f["recordings"]["name"][0]),
        "recordings: two have the same name",
    ),
    "name that leaves the folder": (
        lambda f: change(f, "recordings", 1, "name", b"sub-01/../../x"),
        "recordings: 'sub-01/../../x' is not a name",
    ),
    "hash that is none": (
        lambda f: change(f, "recordings", 1, "features_sha256", b"x"),
        "recordings: the checksum of sub-01_ses-01_task-szMonitoring_run-01 is not a sha256",
    ),
    "no recording": (
        lambda f: (
            replace_array(f, "recordings", f["recordings"][:0]),
            replace_array(f, "events", f["events"][:0]),
        ),
        "recordings: the table is empty",
    ),
    "missing column": (
        lambda f: without_column(f, "recordings", "seconds"),
        "recordings: expected columns name, first",
    ),
    "table that is none": (
        lambda f: replace_array(f, "recordings", np.zeros(3)),
        "recordings: expected columns name, first_window",
    ),
    "rows in two axes": (
        lambda f: replace_array(f, "events", f["events"][()][:, None]),
        "events: not a list of rows",
    ),
    "event of nan": (
        lambda f: change(f, "events", 0, "onset_s", np.nan),
        "has one at nan s that lasts 15.0 s",
    ),
    "event of 1e300": (lambda f: change(f, "events", 0, "duration_s", 1e300), "one at 20.0 s that lasts 1e+300 s"),
    "event before": (lambda f: change(f, "events", 0, "onset_s", -1.0), "has one at -1.0 s"),
    "event after": (lambda f: change(f, "events", 0, "onset_s", 1e6), "has one at 1000000.0 s"),
    "event backwards": (lambda f: change(f, "events", 0, "duration_s", -0.5), "that lasts -0.5 s"),
    "event of none": (lambda f: change(f, "events", 0, "recording", 7), "events: one belongs to no recording"),
    "sums of wrong shape": (
        lambda f: replace_array(f, "sums/total", np.zeros((2, 5))),
        "sums/total: has the shape (2, 5), which does not fit 3 channels",
    ),
    "sums of other dims": (
        lambda f: [replace_array(f, f"sums/{name}", np.zeros((3, 4))) for name in ("total", "squares")],
        "sums: have 4 dims, expected 5",
    ),
    "sums of nan": (
        lambda f: f["sums/total"].__setitem__((0, 0), np.nan),
        "sums or codebooks: a value is not",
    ),
    "sums of squares below 0": (
        lambda f: f["sums/squares"].__setitem__((0, 0), -1),
        "sums: a count or a sum of squares is below 0",
    ),
    "stride 0": (lambda f: change_spec(f, stride_s=0), "spec: stride_s is 0, allowed are whole numbers from 1"),
    "stride beyond the window": (lambda f: change_spec(f, stride_s=5), "spec: a stride of 5 s leaves seconds out"),
    "frames that are none": (
        lambda f: change_spec(f, frames="8"),
        "spec: frames is '8', allowed are whole",
    ),
    "frames true": (lambda f: change_spec(f, frames=True), "spec: frames is True, allowed are whole numbers"),
    "encoder that is none": (lambda f: change_spec(f, encoder=None), "spec: encoder is not text"),
    "type of objects": (
        lambda f: change_spec(f, dtype="O"),
        "spec: 'latents' as 'O'; allowed are latents",
    ),
    "derivations of two cells": (
        lambda f: change_spec(f, montage="table", derivations=["a\tF7"]),
        "spec: derivations are not rows of three cells",
    ),
    "inputs that are not mixed": (
        lambda f: change_spec(f, inputs=["F7", "F8", "O1"]),
        "spec: inputs are not names, or are not mixed to one channel",
    ),
    "a notch below zero": (lambda f: change_spec(f, notch_hz=-50), "spec: notch_hz is -50, allowed are numbers"),
    "a unit that is none": (lambda f: change_spec(f, unit=1), "spec: unit is not text"),
    "channels that are none": (lambda f: change_spec(f, channels=[1, 2, 3]), "spec: channels are not names"),
    "provenance without versions": (
        lambda f: f.attrs.__setitem__("provenance", np.bytes_(b'{"encoder": {}}')),
        "provenance names no versions",
    ),
    "provenance that is none": (
        lambda f: f.attrs.__setitem__("provenance", np.bytes_(b"[]")),
        "provenance is not a JSON object",
    ),
    "sources of other fields": (
        lambda f: change_metadata(f, sources={"a": {"path": "/etc/passwd"}}),
        "metadata: unexpected or missing fields",
    ),
    "sources that are none": (lambda f: change_metadata(f, sources=[1]), "metadata: unexpected or missing fields"),
    "text that is none": (lambda f: change_metadata(f, dataset=7), "metadata: a text field holds something else"),
    "left out that is none": (lambda f: change_metadata(f, left_out=7), "metadata: unexpected or missing fields"),
    "nested metadata": (
        lambda f: replace_array(f, "metadata", np.frombuffer(b"[" * 100_000, np.uint8)),
        "unreadable (maximum recursion depth",
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_no_store_holds_is_refused_though_it_is_signed(path: Path, name: str) -> None:
    alter, message = SIGNED[name]
    with h5py.File(path, "a") as file:
        alter(file)
    sign(path)
    with pytest.raises(StoreError) as caught:
        store.open(path.parent)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_any_text_comes_back(tmp_path: Path) -> None:
    long, person = "sz_" + "\u6f22\u5b57" * 200, "Jos\u00e9/\u0416 \udc80" * 9
    infos = [
        replace(recording(0, 8, events=[Event(1.0, 2.0, long)]), name="sub-01_" + "\u00e4" * 60 + "1"),
        replace(recording(0, 8), name="sub-01_" + "\u00e4" * 60 + "2", first_window=2, first_second=8),
    ]
    infos = [replace(info, person=person) for info in infos]
    blocks = (np.zeros((2, *SPEC.shape), np.float32) for _ in infos)
    write_file(tmp_path / "sub-01.h5", SPEC, infos, np.zeros(16, np.uint8), blocks, {})
    assert store.open(tmp_path).recordings == tuple(infos)
    assert store.open(tmp_path).persons == (person,)


def test_a_name_with_the_character_nul_is_refused(tmp_path: Path) -> None:
    info = replace(recording(0, 8), person="a\0")
    with pytest.raises(StoreError, match="sub-01: a name holds the character NUL; remove it from the data set"):
        write_file(
            tmp_path / "sub-01.h5", SPEC, [info], np.zeros(8, np.uint8), iter([np.zeros((2, *SPEC.shape))]), {}
        )
    assert not list(tmp_path.iterdir())


def test_the_gate_takes_milliseconds(tmp_path: Path) -> None:
    path = write_subject(tmp_path, "01", (40,) * 40, 0)
    open_file(path)
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        open_file(path)
        times_s.append(time.perf_counter() - start_s)
    assert min(times_s) < 0.05


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"a\.json: not valid JSON \(Expecting property name"),
        (b'{"\xff', r"a\.json: not valid JSON \(.*codec can't decode"),
        (b"[" * 100_001, r"a\.json: not valid JSON \(maximum recursion depth"),
        (b"[1]", r"a\.json: holds a list, expected a JSON object"),
        (
            b'{"a": "' + b"x" * 200_000 + b'"}',
            r"a\.json: 200009 bytes, allowed are 150000; it is not a",
        ),
        (None, r"a\.json: no such file or folder"),
    ],
)
def test_foreign_json(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "a.json", 150_000)


def test_json_that_never_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"a\.json: not a regular file; give a JSON file"):
        read_json(tmp_path / "a.json")


def test_good_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, "\u00e9"]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, "\u00e9"]}


@pytest.mark.parametrize("text", [b"[]", b"7", b"{", b"[" * 60_000, b"\xff", b'{"hop": 1}'])
def test_a_spec_that_is_none(path: Path, text: bytes) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["spec"] = np.bytes_(text)
    with pytest.raises(StoreError) as caught:
        open_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
