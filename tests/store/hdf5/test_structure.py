"""What of a file lies elsewhere, or is of another kind than a store's, is refused and never read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import store
from store import StoreError
from store.reader import open_file
from tests.helpers.stores import write_subject


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_subject(tmp_path / "store", "01", (40, 18), 0)


def external_storage(file: h5py.File, target: Path, name: str = "features") -> None:
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    size = int(np.prod(shape)) * dtype.itemsize
    file.create_dataset(name, shape, dtype, external=[(str(target), 0, size)])


def external_labels(file: h5py.File, target: Path) -> None:
    external_storage(file, target, "labels")


def virtual(file: h5py.File, target: Path) -> None:
    layout = h5py.VirtualLayout(shape=(58,), dtype=np.uint8)
    layout[:] = h5py.VirtualSource(str(target), "labels", shape=(58,))
    del file["labels"]
    file.create_virtual_dataset("labels", layout)


def linked(link: Callable[[Path], Any], name: str) -> Callable[[h5py.File, Path], None]:
    def alter(file: h5py.File, target: Path) -> None:
        del file[name]
        file[name] = link(target)

    return alter


def huge(file: h5py.File, target: Path) -> None:
    del file["labels"]
    file.create_dataset("labels", (1 << 40,), np.uint8)


def huge_chunks(file: h5py.File, target: Path) -> None:
    del file["labels"]
    file.create_dataset("labels", (1 << 40,), np.uint8, chunks=(1 << 20,))


def compressed(file: h5py.File, target: Path) -> None:
    labels = file["labels"][()]
    del file["labels"]
    file.create_dataset("labels", data=labels, compression="gzip")


def variable_length(file: h5py.File, target: Path) -> None:
    del file["labels"]
    file.create_dataset("labels", data=["a"] * 58, dtype=h5py.string_dtype())


def group(file: h5py.File, target: Path) -> None:
    del file["labels"]
    file.create_group("labels")


def text_of_variable_length(file: h5py.File, target: Path) -> None:
    del file.attrs["person"]
    file.attrs["person"] = "01"


def version_that_is_none(file: h5py.File, target: Path) -> None:
    file.attrs["version"] = np.array([2, 2])


STRUCTURES: list[tuple[Callable[[h5py.File, Path], None], str]] = [
    (external_storage, "features lies in an external file, which a store never uses"),
    (external_labels, "labels lies in an external file, which a store never uses"),
    (virtual, "labels is not one contiguous block, without filters"),
    (linked(lambda target: h5py.ExternalLink(str(target), "labels"), "labels"), "labels is a link, perhaps to"),
    (linked(lambda target: h5py.SoftLink("/features"), "labels"), "labels is a link, perhaps to another file"),
    (linked(lambda target: h5py.SoftLink("/sums"), "sums"), "sums/count is a link, perhaps to another file"),
    (huge, "labels are cut off: 1099511627776 bytes declared in a file of"),
    (huge_chunks, "labels is not one contiguous block, without filters"),
    (compressed, "labels is not one contiguous block, without filters"),
    (variable_length, "labels: holds values of variable length"),
    (group, "labels is not a dataset"),
    (lambda file, target: file.__delitem__("labels"), "labels is missing"),
    (lambda file, target: file.__delitem__("sums"), "sums/count is missing"),
    (text_of_variable_length, "attribute person is not a text of fixed length"),
    (version_that_is_none, "format version is not a whole number"),
    (lambda file, target: file.attrs.__delitem__("person"), "attribute person is missing"),
    (lambda file, target: file.attrs.__delitem__("version"), "format version is not a whole number"),
]


@pytest.mark.parametrize("target", ["fifo", "file"])
@pytest.mark.parametrize(("alter", "message"), STRUCTURES)
def test_what_lies_elsewhere_or_is_not_there_is_never_read(
    path: Path, tmp_path: Path, alter: Callable[[h5py.File, Path], None], message: str, target: str
) -> None:
    """A pipe that nobody writes to would hang whoever opens it."""
    if target == "fifo":
        os.mkfifo(tmp_path / "target")
    else:
        (tmp_path / "target").write_bytes(path.read_bytes())
    with h5py.File(path, "a") as file:
        alter(file, tmp_path / "target")
    with pytest.raises(StoreError) as caught:
        open_file(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_pipe_or_a_folder_is_no_store_file(path: Path) -> None:
    os.mkfifo(path.parent / "sub-02.h5")
    with pytest.raises(StoreError, match=r"sub-02\.h5: not a regular file; move it out of the store's folder"):
        store.open(path.parent)
    (path.parent / "sub-02.h5").unlink()
    (path.parent / "sub-02.h5").mkdir()
    with pytest.raises(StoreError, match=r"sub-02\.h5: not a regular file; move it out of the store's folder"):
        store.open(path.parent)


def test_links_that_lead_nowhere(path: Path) -> None:
    (path.parent / "sub-02.h5").symlink_to("sub-02.h5")
    with pytest.raises(StoreError, match=r"sub-02\.h5: cannot be read \(Too many levels of symbolic links\)"):
        store.open(path.parent)
