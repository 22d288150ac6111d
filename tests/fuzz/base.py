"""Sound inputs that cases are made from; what is slow to make is made once a process."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from eval.__main__ import main as evaluate
from extract.__main__ import main as extract
from extract.braincodec.checkpoint import save_checkpoint
from extract.braincodec.network import BrainCodec, BrainCodecConfig
from heads.probe import main as probe
from heads.sweep import main as sweep
from heads.train import main as train
from tests.fuzz.oracle import read_store
from tests.fuzz.sandbox import Outcome, run
from tests.helpers.eeg import noise_uv, write_edf
from tests.helpers.paths import DATA

SMALL_HEAD = ("--epochs", "1", "--filters", "2", "--hidden", "2", "--precision", "float32", "--device", "cpu")
GOLDEN = DATA / "golden-v1"
COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
SECONDS = 4.5  # of a recording, if not said otherwise
EVENT = (1.0, 2.0, "sz_foc")


@dataclass(frozen=True)
class Entry:
    """A recording of a data set."""

    subject: str
    session: str
    run: int
    seconds: float = SECONDS

    @property
    def stem(self) -> str:
        """File name without suffixes."""
        return f"sub-{self.subject}_ses-{self.session}_task-x_run-{self.run:02}"

    @property
    def seed(self) -> int:
        """Of its signal: no two recordings have the same."""
        return int(self.subject) * 100 + int(self.session) * 10 + self.run

    def path(self, bids: Path, suffix: str = "_eeg.edf") -> Path:
        """Where a file of it lies."""
        return bids / f"sub-{self.subject}" / f"ses-{self.session}" / "eeg" / f"{self.stem}{suffix}"

    def write(self, bids: Path) -> None:
        """Write EDF and events."""
        path = self.path(bids)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(edf_bytes(self.seconds, self.seed))
        row = (f"{EVENT[0]:.2f}", f"{EVENT[1]:.2f}", EVENT[2], "n/a", "n/a", "n/a", f"{self.seconds:.2f}")
        self.path(bids, "_events.tsv").write_text("\t".join(COLUMNS) + "\n" + "\t".join(row) + "\n")


ENTRIES = (Entry("01", "01", 0), Entry("01", "02", 1), Entry("02", "01", 0), Entry("03", "01", 0))


def write_data_set(bids: Path, entries: tuple[Entry, ...] = ENTRIES) -> None:
    """A BIDS data set, sound in every part."""
    bids.mkdir(parents=True)
    (bids / "dataset_description.json").write_text('{"Name": "fuzz", "BIDSVersion": "1.8.0"}')
    rows = "".join(f"sub-{subject}\tn/a\n" for subject in sorted({entry.subject for entry in entries}))
    (bids / "participants.tsv").write_text(f"participant_id\tsex\n{rows}")
    for entry in entries:
        entry.write(bids)


def run_extract(box: Path, *more: object, encoder: object = "bandpower") -> Outcome:
    """`python -m extract` from ``bids`` to ``store`` of the box."""
    arguments = ["--bids", box / "bids", "--store", box / "store", "--encoder", encoder, "--device", "cpu", *more]
    return run(extract, "extract", arguments, box, below("nothing" if "--check" in more else "store"))


def run_train(box: Path, *more: object) -> Outcome:
    """`python -m heads.train` from ``store`` to ``run`` of the box."""
    arguments = ["--store", box / "store", "--out", box / "run", *SMALL_HEAD, *more]
    return run(train, "heads.train", arguments, box, below("run"))


def run_eval(box: Path, *more: object) -> Outcome:
    """`python -m eval` of ``run`` in the box."""
    return run(evaluate, "eval", [box / "run", *more], box, is_result)


def run_probe(box: Path, *more: object) -> Outcome:
    """`python -m heads.probe` from ``store`` to ``run`` of the box."""
    arguments = ["--store", box / "store", "--out", box / "run", *more]
    return run(probe, "heads.probe", arguments, box, may_probe)


def run_sweep(box: Path, *more: object) -> Outcome:
    """`python -m heads.sweep` of two settings from ``store`` to ``run`` of the box."""
    arguments = ["--store", box / "store", "--out", box / "run", *SMALL_HEAD, "--lr", "0.001", "0.01", *more]
    return run(sweep, "heads.sweep", arguments, box, below("run"))


def run_eval_on(box: Path, trained: Path, *more: object) -> Outcome:
    """`python -m eval --on` of a run's heads on ``store`` of the box, scores in ``run`` if not said otherwise."""
    arguments = [trained, "--on", box / "store", "--no-report", "--allow-training-persons"]
    where = ["--out", box / "run"] if "--out" not in more else []
    return run(evaluate, "eval", [*arguments, *where, *more], box, below("scores" if "--out" in more else "run"))


def may_probe(path: Path) -> bool:
    """Whether a probe may write a path: its run, and statistics beside the store."""
    return path.parts[0] == "run" or path.parts[:2] == ("store", "statistics")


def below(*names: str) -> Callable[[Path], bool]:
    """Whether a path of the box lies in one of these folders."""
    return lambda path: path.parts[0] in names


def is_result(path: Path) -> bool:
    """Whether a path of the box is a result that evaluation writes into a run, not what training wrote."""
    return path.parts[0] == "run" and (
        path.name in ("postprocessing.json", "report.html")
        or (path.parts[1].startswith("metrics") and len(path.parts) == 2)
        or path.name.endswith("_events.tsv")
        or path.parts[1] in ("figures", "report", "tables")
        or (len(path.parts) == 2 and path.suffix in (".csv", ".json", ".html") and path.name != "config.json")
    )


@cache
def edf_bytes(seconds: float, seed: int) -> bytes:
    """A sound EDF of 18 channels of noise."""
    path = _folder() / f"{seconds}-{seed}.edf"
    write_edf(path, noise_uv(seconds, seed))
    return path.read_bytes()


@cache
def features(seconds: float, seed: int) -> bytes:
    """What the encoder makes of such an EDF, as stored."""
    box = _folder() / f"features-{seconds}-{seed}"
    entry = Entry("01", "01", 0, seconds)
    write_data_set(box / "bids", (entry,))
    entry.path(box / "bids").write_bytes(edf_bytes(seconds, seed))
    outcome = run_extract(box)
    assert outcome.status == 0, outcome.text
    return read_store(box / "store")[entry.stem].features


AGAIN = {"train": run_train, "sweep": run_sweep, "probe": run_probe}


def finished_run(made_by: str = "train") -> Path:
    """A box with data set, store, and a run of all folds and, but of a sweep, the final one, scored."""
    return _finished_run(made_by)


@cache
def _finished_run(made_by: str) -> Path:
    box = _folder() / f"finished-{made_by}"
    write_data_set(box / "bids")
    folds = [()] if made_by == "sweep" else [("--fold", "all"), ("--fold", "final")]
    for outcome in (
        run_extract(box),
        *(AGAIN[made_by](box, *fold) for fold in folds),
        run_eval(box, "--no-report"),
    ):
        assert outcome.status == 0, outcome.text
    return box


@cache
def checkpoint_bytes() -> bytes:
    """A checkpoint of a tiny BrainCodec, as we write them."""
    torch.manual_seed(0)
    config = BrainCodecConfig(n_filters=2, max_filters=4, dimension=3, quantizers=2, codebook_size=8)
    path = _folder() / "tiny.safetensors"
    model = BrainCodec(config)
    with torch.no_grad():
        for codebook in model.quantizer.codebooks:
            codebook.vectors.normal_()
            codebook.trained.fill_(1)
    save_checkpoint(path, model, {"dataset": "fuzz", "persons_seen": ["01"]})
    return path.read_bytes()


def new_folder(name: str) -> Path:
    """An empty folder that lives as long as the process."""
    folder = _folder() / name
    folder.mkdir()
    return folder


@cache
def _folder() -> Path:
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
