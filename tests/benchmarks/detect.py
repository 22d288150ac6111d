"""The detector on four hours and on raw clips: speed, memory, and the same events as through BIDS and a store."""

import os
import shutil
import tempfile
from pathlib import Path

import torch

import store
from eval.__main__ import main as evaluate
from eval.scoring.choice import POSTPROCESSING, read_choice
from eval.scoring.events import Detections
from extract.__main__ import main as extract
from extract.demo import main as make_demo
from extract.encoders.shipped import WEIGHTS
from heads.dataset import StoreDataset
from heads.device_features import DeviceFeatures
from heads.inference import predict_recordings
from heads.models.saved import load_head
from heads.train import main as train
from tests.helpers.paths import REAL
from tests.helpers.usage import measure_command

RAW_CLIPS = REAL / "chbmit-raw-clips"
HOURS = 4
HEADER = "onset\tduration\teventType\n0.00\t0.00\tbckg\n"


def make_run(folder: Path, encoder: str) -> Path:
    """A scored final fold, trained on some minutes of synthetic EEG."""
    bids, features, run = (str(folder / name) for name in ("bids", "store", "run"))
    make_demo([bids, "--persons", "4", "--recordings", "1", "--minutes", "3"])
    extract(["--bids", bids, "--store", features, "--encoder", encoder])
    train(["--store", features, "--fold", "final", "--out", run, "--epochs", "5"])
    evaluate([run])
    return Path(run)


def repeat(eeg: Path, hours: float) -> bytes:
    """An EDF whose data records are those of another over and over."""
    content = eeg.read_bytes()
    start, records, record_s = (int(float(content[at : at + 8])) for at in (184, 236, 244))
    wanted, size = round(hours * 3600 / record_s), (len(content) - start) // records
    data = content[start:] * -(-wanted // records)
    return content[:236] + f"{wanted:<8}".encode() + content[244:start] + data[: wanted * size]


def as_bids(files: list[Path], folder: Path) -> None:
    """Each file as a subject of its own, said to be without seizure."""
    for number, file in enumerate(files):
        path = folder / f"sub-{number:02}" / "eeg" / f"sub-{number:02}_task-x_eeg.edf"
        path.parent.mkdir(parents=True)
        shutil.copy(file, path)
        path.with_name(f"sub-{number:02}_task-x_events.tsv").write_text(HEADER)


def rows(text: str) -> list[list[str]]:
    """Onset, duration, type and confidence of each event."""
    return [line.split("\t")[:4] for line in text.splitlines()[1:]]


def main() -> None:
    """Print speed, memory, and on how many files both ways give the same rows."""
    encoder = "braincodec" if WEIGHTS.is_file() else "random"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = make_run(root, encoder)
        long = root / "long.edf"
        long.write_bytes(repeat(next((root / "bids").rglob("*_eeg.edf")), HOURS))
        files = [*sorted(RAW_CLIPS.glob("*.edf")), long]
        as_bids(files, root / "all")
        extract(["--bids", str(root / "all"), "--store", str(root / "all-store"), "--encoder", encoder])

        fold = run / "folds" / "final"
        dataset, post = StoreDataset(store.open(root / "all-store")), read_choice(fold / POSTPROCESSING).post
        head, _, _ = load_head(fold / "head.safetensors")
        state = {name: value[None] for name, value in head.state_dict().items()}
        features = DeviceFeatures(dataset, head, torch.device("cpu"))
        same = 0
        for file, info in zip(files, dataset.recordings, strict=True):
            usage = measure_command("eval.detect", file, root / "events.tsv", "--run", run)
            (probabilities,) = predict_recordings(head, state, dataset, features, info.person)[info.name]
            events = post.detect(probabilities, info.duration_s)
            wanted = Detections(events, info.duration_s, "").to_tsv()
            same += rows((root / "events.tsv").read_text()) == rows(wanted)
        load = os.getloadavg()[0]
        print(
            f"{encoder}: {HOURS} h in {usage.wall_s:.0f} s, {HOURS * 3600 / usage.wall_s:.0f} times real time; ",
            end="",
        )
        print(f"{usage.cpu_s:.0f} s of processors, peak memory {usage.peak / 1e9:.2f} GB; ", end="")
        print(f"load {load:.1f}, {torch.get_num_threads()} threads")
        print(f"{same} of {len(files)} files give the same events as through BIDS and store")
