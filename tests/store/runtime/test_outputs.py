"""What a command may overwrite."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from store.runtime.errors import UserError
from store.runtime.outputs import guard_output


def is_table(path: Path) -> bool:
    return path.read_bytes().startswith(b"table")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.edf"
    path.parent.mkdir()
    path.write_bytes(b"table, and the input")
    return path


def soft(target: Path, link: Path) -> Path:
    link.symlink_to(target)
    return link


def hard(target: Path, link: Path) -> Path:
    os.link(target, link)
    return link


LINKS: list[Callable[[Path, Path], Path]] = [lambda target, link: target, soft, hard]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_never_an_output(
    source: Path, tmp_path: Path, link: Callable[[Path, Path], Path], force: bool
) -> None:
    out = link(source, tmp_path / "out")
    with pytest.raises(UserError, match=rf"{out}: is the input {source}, or a link to it; give another path"):
        guard_output(out, inputs=[source], is_ours=is_table, force=force)


def test_an_input_through_a_linked_folder(source: Path, tmp_path: Path) -> None:
    folder = soft(source.parent, tmp_path / "link")
    with pytest.raises(UserError, match="is the input"):
        guard_output(folder / "a.edf", inputs=[source])
    with pytest.raises(UserError, match="is the input"):
        guard_output(folder / "new", inputs=[source.parent / "new"])


def test_a_file_of_an_input_folder(source: Path) -> None:
    other = source.with_name("b.edf")
    other.write_bytes(b"EDF")
    with pytest.raises(UserError, match=rf"b\.edf: is a file of the input {source.parent}; give another path"):
        guard_output(other, inputs=[source.parent], is_ours=is_table, force=True)
    guard_output(source.with_name("new"), inputs=[source.parent])
    guard_output(source, inputs=[source.parent], is_ours=is_table)  # written there before


def test_what_is_not_ours_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    guard_output(out)
    out.write_bytes(b"somebody's")
    with pytest.raises(UserError, match="out: already exists, and this command did not write it; give another"):
        guard_output(out, is_ours=is_table)
    guard_output(out, is_ours=is_table, force=True)
    out.write_bytes(b"table")
    guard_output(out, is_ours=is_table)
    with pytest.raises(UserError, match="already exists"):
        guard_output(out)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\x89HDF\r\n\x1a\n" + bytes(8), "an HDF5 file"), (b"\x02" + bytes(7) + b'{"a":1}', "a safetensors file")],
)
def test_features_and_weights_are_never_overwritten(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(UserError, match=f"out: is {kind}.* and is not overwritten; give another path, or remove"):
        guard_output(tmp_path / "out", is_ours=is_table, force=True)


def test_folders_and_links_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; give a file"):
        guard_output(tmp_path)
    with pytest.raises(UserError, match="already exists"):
        guard_output(soft(tmp_path / "none", tmp_path / "dangling"), is_ours=is_table)
    loop = soft(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(UserError, match="loop: already exists"):
        guard_output(loop, inputs=[tmp_path / "a"], is_ours=is_table)


def test_a_device_is_never_an_output(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/full"), soft(Path("/dev/full"), tmp_path / "link"), tmp_path / "pipe"):
        with pytest.raises(UserError, match=f"{path}: is a device or a pipe, not a file; give another path"):
            guard_output(path, is_ours=is_table, force=True)


def test_two_outputs_of_one_path(source: Path) -> None:
    out = source.with_name("out")
    with pytest.raises(UserError, match="out: is given for two outputs; give another path"):
        guard_output(out, inputs=[source], outputs=[source.parent / ".." / "in" / "out"], force=True)


def test_an_ending_says_what_is_written(tmp_path: Path) -> None:
    guard_output(tmp_path / "a.TSV", endings=[".tsv"])
    for endings, text in (([".tsv"], ".tsv"), ([".png", ".pdf", ".svg"], ".png, .pdf or .svg")):
        with pytest.raises(UserError, match=rf"a\.csv: the name does not fit .*; give one that ends in {text}$"):
            guard_output(tmp_path / "a.csv", endings=endings, force=True)
