"""Find the EEG files to run a detector on, and the paths of their events files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from eval.detection.detector import Detector
from eval.detection.outputs import signal_files
from store.runtime.atomic import write_text
from store.runtime.errors import UserError
from store.runtime.walk import walk

SUFFIXES = (".edf", ".bdf", ".vhdr", ".set")
_RECORD = "detect.json"
_APART = ("derivatives", "sourcedata", "code")  # folders of a BIDS data set that hold none of its recordings


@dataclass(frozen=True)
class DetectionTask:
    """One EEG file and what is written for it."""

    eeg: Path
    events: Path
    probabilities: Path | None

    @property
    def outputs(self) -> list[Path]:
        """Files that are written."""
        return [path for path in (self.events, self.probabilities) if path is not None]


def find_tasks(inputs: Sequence[Path], output: Path, probabilities: Path | None) -> list[DetectionTask]:
    """A task for each EEG file of files and folders, in order; a folder's tree is kept below the output.

    Of a BIDS data set (a folder with ``dataset_description.json``) only names that end in ``_eeg`` count.

    Raises
    ------
    UserError
        If a folder has no EEG file, a file is given twice, or two files would be written to one.
    """
    tasks: dict[Path, DetectionTask] = {}
    for path in inputs:
        for eeg, below in _find_files(path):
            name = below.name[: -len(below.suffix)].removesuffix("_eeg")
            events = output / below.with_name(f"{name}_events.tsv")
            table = probabilities and probabilities / below.with_name(f"{name}_probabilities.tsv")
            if events in tasks and eeg.resolve() == tasks[events].eeg.resolve():
                raise UserError(f"{eeg}: is given twice; name each file or folder once")
            if events in tasks:
                raise UserError(
                    f"{eeg} and {tasks[events].eeg} would both be written to {events}; rename one, or run "
                    "them apart"
                )
            tasks[events] = DetectionTask(eeg, events, table)
    return list(tasks.values())


def _find_files(path: Path) -> list[tuple[Path, Path]]:
    """EEG files and their paths below a folder; a file itself, which need not be there."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    is_bids = (path / "dataset_description.json").is_file()

    def enters(folder: Path) -> bool:
        return folder.name[0] != "." and not (is_bids and folder.parent == path and folder.name in _APART)

    def is_eeg(file: Path) -> bool:
        is_recording = file.stem.endswith("_eeg") or not is_bids
        return file.name[0] != "." and file.suffix.lower() in SUFFIXES and is_recording

    files = [(file, file.relative_to(path)) for file in walk(path, enters) if is_eeg(file)]
    if not files:
        raise UserError(f"{path}: no EEG file in it ({', '.join(SUFFIXES)}); give a folder that has some")
    return files


def is_finished(task: DetectionTask, folder: Path) -> bool:
    """Whether all of a task's outputs are newer than its EEG file and than the folder's record of the detector."""
    try:
        signal = [
            at for path in signal_files(task.eeg) for at in (path.stat().st_mtime_ns, path.lstat().st_mtime_ns)
        ]
        outputs = [path.stat().st_mtime_ns for path in task.outputs]
        return min(outputs) > max(signal) and min(outputs) >= (folder / _RECORD).stat().st_mtime_ns
    except (OSError, ValueError):
        return False


def record_detector(folder: Path, detector: Detector, missing: str, force: bool) -> None:
    """Write down which detector a folder's events are of.

    Raises
    ------
    UserError
        If they are of another one, unless ``force`` says that they are made again.
    """
    path = folder / _RECORD
    record = {
        "head_sha256": sha256(detector.head_path.read_bytes()).hexdigest(),
        "postprocessing": detector.post.__dict__,
        "spec": json.loads(detector.spec.to_json()),
        "missing": missing,
    }
    before = _read_record(path)
    if before == record:
        return
    if before is not None and not force:
        different = ", ".join(name for name in record if before.get(name) != record[name])
        raise UserError(
            f"{folder}: holds events of another detector (changed: {different}); give another folder, or "
            "--force to replace them"
        )
    write_text(path, json.dumps(record, indent=1, sort_keys=True) + "\n")


def _read_record(path: Path) -> dict[str, object] | None:
    """None if there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
