"""Flat tables for other tools."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import store
from store.__main__ import main
from store.writer import write_file
from tests.helpers.stores import SPEC, recording


def by_hand(opened: store.Store, info: store.RecordingInfo) -> np.ndarray:
    """Mean of a second's frames, from the first window that holds the second."""
    features, stride_s = opened.features(info).astype(np.float32), opened.spec.stride_s
    out = []
    for second in range(info.seconds):
        window = max(0, -(-(second - 3) // stride_s))
        at = 2 * (second - window * stride_s)
        out.append(features[window, at : at + 2].mean(0).ravel())
    return np.array(out)


@pytest.mark.parametrize("stride_s", [4, 3, 1])
def test_npz_has_a_row_for_every_second(make_store: Callable[..., Path], tmp_path: Path, stride_s: int) -> None:
    path = make_store(persons=2, lengths_s=(1203, 41), spec=replace(SPEC, stride_s=stride_s))
    out = tmp_path / "new" / "two.npz"
    assert main(["export", str(path), "--person", "02", "--out", str(out)]) == 0
    opened = store.open(path)
    infos = [info for info in opened.recordings if info.person == "02"]
    with np.load(out) as table:
        assert list(table["recordings"]) == [info.name for info in infos]
        np.testing.assert_array_equal(table["recording"], [0] * 1203 + [1] * 41)
        np.testing.assert_array_equal(table["second"], [*range(1203), *range(41)])
        np.testing.assert_array_equal(table["labels"], np.concatenate([opened.labels(info) for info in infos]))
        wanted = np.concatenate([by_hand(opened, info) for info in infos])
        np.testing.assert_allclose(table["features"], wanted, rtol=1e-5, atol=1e-6)
        assert list(table["columns"][[0, 1, 14]]) == ["FP1-F3.00", "FP1-F3.01", "C3-P3.04"]


def test_parquet_holds_the_same(make_store: Callable[..., Path], tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, an extra")
    path = make_store(persons=1)
    for to in ("npz", "parquet"):
        command = ["export", str(path), "--person", "01", "--to", to, "--out", str(tmp_path / f"one.{to}")]
        assert main(command) == 0
    table = pq.read_table(tmp_path / "one.parquet")
    assert table.column_names[:4] == ["recording", "second", "label", "FP1-F3.00"]
    with np.load(tmp_path / "one.npz") as wanted:
        features = np.stack([column.to_numpy() for column in table.columns[3:]], 1)
        np.testing.assert_array_equal(features, wanted["features"])
        np.testing.assert_array_equal(table["label"].to_numpy(), wanted["labels"])
        np.testing.assert_array_equal(table["second"].to_numpy(), wanted["second"])


def test_mistakes_are_one_line(
    make_store: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(make_store(persons=2))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for options, message in (
        (["--person", "9"], "person '9': not in"),
        (["--person", "01", "--out", "x.csv"], "--out x.csv: --to npz writes a file that ends in .npz"),
        (
            ["--person", "01", "--to", "parquet"],
            "parquet needs pyarrow: pip install --editable '.[parquet]' in the project's folder; or export npz",
        ),
    ):
        assert main(["export", path, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert [file.name for file in tmp_path.iterdir()] == ["store"]


def test_a_person_of_any_name_stays_in_the_working_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    info = replace(recording(0, 8), person="../../x", labelled=False)
    blocks = iter([np.zeros((2, *SPEC.shape), np.float32)])
    write_file(tmp_path / "s" / "sub-01.h5", SPEC, [info], np.zeros(8, np.uint8), blocks, {})
    assert main(["export", str(tmp_path / "s"), "--person", "../../x"]) == 0
    assert capsys.readouterr().out == "person-%2E.%2F..%2Fx.npz: 8 seconds of person ../../x\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "s"]
    with np.load("person-%2E.%2F..%2Fx.npz") as table:
        assert table["labelled"].tolist() == [False]


def test_a_person_by_the_name_of_the_subjects_folder(
    make_store: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(make_store(persons=2)), "--person", "sub-02"]) == 0
    assert capsys.readouterr().out.startswith("person-02.npz: ")


@pytest.mark.parametrize("to", ["npz", "parquet"])
def test_only_an_export_is_replaced(make_store: Callable[..., Path], tmp_path: Path, to: str) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow, an extra")
    path, out = make_store(persons=1), tmp_path / f"out.{to}"
    command = ["export", str(path), "--person", "01", "--to", to, "--out", str(out)]
    out.write_text("somebody's")
    assert main(command) == 2
    assert out.read_text() == "somebody's"
    assert main([*command, "--force"]) == 0
    assert main(command) == 0
    before = (path / "sub-01.h5").read_bytes()
    out.unlink()
    out.symlink_to(path / "sub-01.h5")
    assert main([*command, "--force"]) == 2
    assert (path / "sub-01.h5").read_bytes() == before
