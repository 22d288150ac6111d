"""No command writes over its inputs, or what others wrote, however the path is spelled."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eval.__main__ import main as evaluate
from eval.detect import main as detect
from extract.__main__ import main as extract
from extract.codec import main as codec
from extract.demo import main as demo
from extract.encoders.shipped import WEIGHTS
from extract.link import main as link
from extract.pretrain.__main__ import main as pretrain
from heads.probe import main as probe
from heads.sweep import main as sweep
from heads.train import main as train
from store.__main__ import main as store_main
from tests.extract.io.datasets.trees import write_chbmit
from tests.fuzz import base
from tests.fuzz.sandbox import run, snapshot

Main = Callable[[Sequence[str]], int]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A data set, its store, a run, a download, and links to each."""
    for name in ("bids", "store", "run"):
        shutil.copytree(base.finished_run() / name, tmp_path / name)
        (tmp_path / f"{name}-link").symlink_to(name)
    for name in ("second", "third"):
        shutil.copytree(tmp_path / "run", tmp_path / name)
    write_chbmit(tmp_path / "source", 5)
    (tmp_path / "notes").mkdir()
    for name in ("report.html", "comparison.csv", "notes.txt", "table.md", "README"):
        (tmp_path / "notes" / name).write_text("mine")
    recording = base.ENTRIES[0].path(tmp_path / "bids")
    os.link(recording, tmp_path / "hard.edf")
    os.link(recording.with_name(recording.name.replace("_eeg.edf", "_events.tsv")), tmp_path / "hard.tsv")
    os.link(tmp_path / "store" / "sub-01.h5", tmp_path / "hard.npz")
    (tmp_path / "soft.edf").symlink_to(recording)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "other").symlink_to("run")
    (tmp_path / "here").mkdir()
    shutil.copytree(tmp_path / "bids", tmp_path / "another")
    shutil.copytree(tmp_path / "bids" / "sub-01", tmp_path / "here" / "sub-01")
    (tmp_path / "bids" / "derivatives" / "old").mkdir(parents=True)
    shutil.copy(tmp_path / "bids" / "dataset_description.json", tmp_path / "bids" / "derivatives" / "old")
    return tmp_path


EDF = str(base.ENTRIES[0].path(Path("bids")))
EVENTS = EDF.replace("_eeg.edf", "_events.tsv")
HEAD = "run/folds/final/head.safetensors"
EXTRACT = ("--encoder", "bandpower", "--bids", "bids", "--store")
HEADS = ("--store", "store", "--out")
SMALL = base.SMALL_HEAD
FILES = (EDF, "soft.edf", "hard.edf", HEAD, "store/sub-01.h5", EVENTS, "bids", "loop", "notes/README")
FOLDERS = (
    *("bids", "bids-link", "bids/", "here/../bids", "bids/new", "bids/sub-01/ses-01", "bids-link/new"),
    *("run", "run-link", "loop", EDF),
)
CASES: list[tuple[Main, str, list[tuple[str, ...]]]] = [
    (
        extract,
        "extract",
        [(*EXTRACT, out) for out in FOLDERS],
    ),
    (
        link,
        "extract.link",
        [("chbmit", "source", out) for out in ("source", "source/x", ".", "bids", "store", "run", "loop")],
    ),
    (demo, "extract.demo", [(out,) for out in ("bids", "store", "run", "notes", EDF, "loop")]),
    (
        pretrain,
        "extract.pretrain",
        [("--bids", "bids", "--out", out) for out in (*FILES, str(WEIGHTS), "bids/participants.tsv")],
    ),
    (
        codec,
        "extract.codec",
        [(EDF, out) for out in (*FILES, str(WEIGHTS))]
        + [
            (EDF, "out.edf", option, out)
            for option in ("--picture", "--curve")
            for out in ("out.edf", EDF, "hard.edf", "loop", "notes/README")
        ],
    ),
    (
        store_main,
        "store export",
        [
            ("export", "store", "--person", "01", "--out", out)
            for out in ("hard.npz", "store/sub-01.h5", "store", "loop", HEAD)
        ],
    ),
    *(
        (
            main,
            prog,
            [(*HEADS, out, *more) for out in ("store", "store-link", "bids", "notes", "notes/README", "loop")],
        )
        for main, prog, more in (
            (train, "heads.train", ("--fold", "all", *SMALL)),
            (sweep, "heads.sweep", SMALL),
            (probe, "heads.probe", ()),
        )
    ),
    *(
        (main, prog, [(*HEADS, out, "--force", *more) for out in ("store", "store-link", "bids", "bids-link")])
        for main, prog, more in (
            (train, "heads.train", ("--fold", "all", *SMALL)),
            (sweep, "heads.sweep", SMALL),
            (probe, "heads.probe", ()),
        )
    ),
    (
        evaluate,
        "eval",
        [
            ("run", "--on", "store", "--allow-training-persons", "--out", out)
            for out in ("run", "run-link", "store", "store-link", "bids", "notes", "notes/README", "loop")
        ],
    ),
    (
        evaluate,
        "eval compare",
        [
            ("compare", "run", "second", "--out", out)
            for out in (
                "notes",
                "notes/README",
                "store/sub-01.h5",
                "loop",
                "store",
                "bids",
                "bids-link",
                "run",
                "third",
                "bids/sub-01/new",
            )
        ],
    ),
    (
        detect,
        "eval.detect",
        [(EDF, out, "--run", "run") for out in (*FILES, "hard.tsv", "run/config.json")]
        + [
            (EDF, "out.tsv", "--run", "run", "--probabilities", out)
            for out in (EDF, "hard.edf", "out.tsv", EVENTS, HEAD, "run/metrics.json", "notes/README")
        ]
        + [
            (eeg, out, "--run", "run", *force)
            for eeg, out in (("bids/sub-01", "bids/sub-01/det"), ("here", "bids"), ("bids", "another"))
            for force in ((), ("--force",))
        ]
        + [
            ("here", "bids-link/new", "--run", "run"),
            ("here", "out/", "--run", "run", "--probabilities", "bids/x"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("main", "prog", "arguments"),
    [(main, prog, arguments) for main, prog, cases in CASES for arguments in cases],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_refused_in_one_line(main: Main, prog: str, arguments: tuple[str, ...], box: Path) -> None:
    before = snapshot(box)
    outcome = run(main, prog, [spell(part, box) for part in arguments], box, lambda path: False)
    assert outcome.status == 2, outcome.text
    assert snapshot(box) == before


def spell(part: str, box: Path) -> str:
    """An argument, as a path of the box if it is one."""
    is_path = os.path.lexists(box / part) or "/" in part or part in ("out.edf", "out.tsv")
    return str(box / part) if is_path else part


@pytest.mark.parametrize(
    "out", ["bids/derivatives/braincodec", "bids/derivatives/old/store", "new", "store", "store-link"]
)
def test_folders_that_extract_may_write(out: str, box: Path) -> None:
    outcome = run(extract, "extract", [*(spell(part, box) for part in EXTRACT), box / out], box, lambda path: True)
    assert outcome.status == 0, outcome.text
    assert (box / out / "sub-01.h5").is_file()
