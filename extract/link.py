"""``python -m extract.link``: make a BIDS tree of links to the files of a downloaded data set."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("extract.link"))

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from extract.io.datasets import chbmit, siena, tusz
from extract.io.datasets.bids_tree import BidsTree, build_tree
from extract.io.datasets.write_tree import RECORD, Changes, require_apart, write_tree
from store.runtime.cli import run, to_one_line
from store.runtime.commands import command_line
from store.runtime.plurals import count_noun, list_names

_MOST_NAMED = 20
READERS = {"chbmit": chbmit.read, "siena": siena.read, "tusz": tusz.read}


@dataclass(frozen=True)
class LinkCommand:
    """The command line of ``python -m extract.link``."""

    data_set: tyro.conf.Positional[Literal["chbmit", "siena", "tusz"]]
    """Name of the data set: chbmit, siena or tusz."""
    source: tyro.conf.Positional[Path]
    """Downloaded folder of the data set; only read."""
    dest: tyro.conf.Positional[Path]
    """Folder of the BIDS tree: a new one, or one that this command made and now updates."""
    copy: bool = False
    """Copy the EDF files instead of linking, for systems without symbolic links."""
    unlisted: Literal["leave-out", "bckg"] = "leave-out"
    """If the annotations do not list a recording: leave it out, or treat all of it as background."""
    past_end: Literal["refuse", "cut"] = "refuse"
    """If a seizure ends after its file: refuse the data set, or cut the seizure at the end of the file."""


def link(command: LinkCommand) -> None:
    """Read a data set, write its tree, and say what was found.

    Raises
    ------
    UserError
        If the data set is not as its authors ship it, or the tree cannot be written.
    """
    source = Path(os.path.abspath(command.source))
    require_apart(source, command.dest)
    tree = build_tree(READERS[command.data_set](source), source, command.unlisted, command.past_end)
    changes = write_tree(tree, source, command.dest, command.copy)
    for line in describe(tree, changes, command):
        print(to_one_line(line))


def describe(tree: BidsTree, changes: Changes, command: LinkCommand) -> list[str]:
    """What was found and done, for people."""
    lines = [
        f"{count_noun(tree.persons, 'person')}, {count_noun(len(tree.links), 'recording')}, "
        f"{tree.duration_s / 3600:.2f} h, "
        f"{count_noun(tree.seizures, 'seizure')} of {tree.ictal_s:.0f} s in {command.dest}",
        f"files: {changes.added} added, {changes.changed} changed, {changes.removed} removed, "
        f"{changes.unchanged} unchanged",
    ]
    if tree.unlisted:
        left_out = command.unlisted == "leave-out"
        fate = "left out; --unlisted bckg takes them as background" if left_out else "taken as background"
        lines.append(
            f"not in the annotations ({len(tree.unlisted)}), {fate}: {list_names(tree.unlisted, _MOST_NAMED)}"
        )
    if tree.absent:
        lines.append(
            f"in the annotations, not on the disk ({len(tree.absent)}): {list_names(tree.absent, _MOST_NAMED)}"
        )
    if tree.unlisted or tree.absent:
        lines.append(f"all of these names: {command.dest / RECORD}")
    folder = f"{os.path.abspath(command.source)}/"
    lines += [f"note: {note.removeprefix(folder)}" for note in tree.notes]
    encode = command_line("extract", "--bids", command.dest, "--store", "STORE")
    return [*lines, f"encode it with: {encode}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(
        link,
        LinkCommand,
        argv,
        module="extract.link",
        description="Make a BIDS tree of links to the files of a downloaded CHB-MIT, Siena or TUSZ.\n\n"
        "Start with: DATA-SET, SOURCE and DEST; SOURCE is only read.",
        examples=["chbmit physionet.org/files/chbmit/1.0.0 chb-mit"],
    )
