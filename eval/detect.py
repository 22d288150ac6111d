"""``python -m eval.detect``: detect seizures in EEG files or live samples, without a store."""

if __name__ == "__main__":
    from braincodec_seizure import run_module

    raise SystemExit(run_module("eval.detect"))

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import tyro
from tqdm import tqdm

from eval.detection.detector import Detector, load_detector
from eval.detection.outputs import PROBABILITIES_HEADER, detector_files, guard_outputs, signal_files
from eval.detection.recordings import DetectionTask, find_tasks, is_finished, record_detector
from eval.detection.stream import detect_stream, latency_s
from eval.scoring.changed_heads import warn_of_changed_heads
from eval.scoring.events import HEADER, DetectedEvent, Detections
from extract.io.edf_header import SAMPLE_RATES_HZ
from extract.io.montage import from_spec
from extract.io.signal_checks import SCAN_S
from extract.io.stream import STANDARD_INPUT, ByteSource, SampleStream
from store.runtime.atomic import atomic_write, write_text
from store.runtime.cli import run as run_command
from store.runtime.cli import to_one_line
from store.runtime.commands import name_command
from store.runtime.errors import DiskFullError, UserError, from_os_error
from store.runtime.limits import require_within
from store.runtime.options import optional
from store.runtime.outputs import guard_folder
from store.runtime.plurals import count_noun, noun_with_names

_DESCRIPTION = """Detect seizures in EEG files, or in live samples, with the final head of a run.

Start with: --run, --missing zero if channels are missing, --probabilities for each second.

For a folder or several files, OUTPUT is a folder. It gets one events file per EEG file, in the same folder
structure as the input. A file that cannot be used is reported, and the others are processed. Run the same command
again to resume.

With - as INPUT, samples are read from standard input: float32, little-endian, microvolts, all channels of one
sample, then all channels of the next. Each event is printed when it has ended; OUTPUT, if given, is written at the
end. Latency: nothing is printed before the first minute has been checked. After that, an event is printed within
the encoder's window (4 s for braincodec) and half of the smoothing after its end; the command prints the sum."""
_PATHS = (
    "EDF, BDF, BrainVision or EEGLAB files with the electrodes of the run's montage, folders of them, or - for "
    "samples on standard input. The last path is the events file to write, in SzCORE's format, or the folder for "
    "those of several files; replaced if it is from this command. Missing folders are created."
)
_STREAM = "-"
_NAMED = 3  # files that failed for the same reason


@dataclass(frozen=True)
class DetectCommand:
    """The command line of ``python -m eval.detect``."""

    paths: Annotated[
        tyro.conf.Positional[tuple[str, ...]],  # a Path would drop the slash that names a folder
        tyro.conf.arg(metavar="INPUT ... OUTPUT", help=_PATHS, help_behavior_hint=""),
    ]
    run: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Scored run folder with a final head (trained with --fold final)."""
    missing: Literal["error", "zero"] = "error"
    """If a channel is missing: refuse the file, or replace the channel by zeros."""
    probabilities: Annotated[Path | None, optional("FILE.tsv|DIR")] = None
    """Also write the seizure probability of each second, as a table (for several files: into a folder)."""
    seed: Annotated[int | None, optional("SEED")] = None
    """In a run with several seeds, the seed of the head to use. (default: the first)"""
    encoder: Annotated[str | None, optional("ENCODER")] = None
    """The run's encoder, if it does not ship: its checkpoint, or package.module:factory."""
    head: Annotated[str | None, optional("HEAD")] = None
    """The run's head, if it does not ship: package.module:Name."""
    force: bool = False
    """Overwrite an output that this command did not write, or events of another detector."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """"cpu", "cuda", "cuda:1" and so on; "auto" uses a GPU if there is one."""
    sample_rate_hz: Annotated[float | None, optional("HZ")] = None
    """Sampling rate of the samples on standard input."""
    channel_names: Annotated[tuple[str, ...], optional("NAME ...")] = ()
    """Names of all channels on standard input, in order."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Paths to read."""
        return tuple(map(Path, self.paths[:1] if self.is_stream else self.paths[:-1]))

    @property
    def output(self) -> Path | None:
        """Path to write; optional for samples on standard input."""
        last = self.paths[-1] if len(self.paths) > 1 else None
        return None if last is None or (self.is_stream and last == _STREAM) else Path(last)

    @property
    def into_folder(self) -> bool:
        """Whether the output is a folder: of several files, or named as one, or there."""
        several = len(self.inputs) > 1 or self.inputs[0].is_dir()
        return several or self.paths[-1].endswith(("/", os.sep)) or Path(self.paths[-1]).is_dir()

    @property
    def is_stream(self) -> bool:
        """Whether samples are read from standard input."""
        return self.paths[:1] == (_STREAM,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m eval.detect``."""
    return run_command(
        detect,
        DetectCommand,
        argv,
        module="eval.detect",
        description=_DESCRIPTION,
        examples=[
            "night.edf night_seizures.tsv --run runs/chb-mit",
            "nights seizures --run runs/chb-mit",
            "- --run runs/chb-mit --sample-rate-hz 256 --channel-names FP1-F3 F3-C3 ...",
        ],
    )


def detect(command: DetectCommand) -> int:
    """Write the events of a recording, of many, or of samples as they come; give the status.

    Raises
    ------
    UserError
        If the run has no scored final fold, its encoder or head is not available, the EEG cannot be used, or an
        output would overwrite what this command did not write.
    """
    if command.is_stream:
        _detect_on_standard_input(command)
        return 0
    if command.output is None:
        raise UserError(f"INPUT and OUTPUT are required; see {name_command('eval.detect')} --help")
    if command.sample_rate_hz is not None or command.channel_names:
        raise UserError(
            "--sample-rate-hz and --channel-names are for samples on standard input; files contain theirs"
        )
    if not command.into_folder:
        task = DetectionTask(command.inputs[0], command.output, command.probabilities)
        _guard(task, command)
        print(_detect_in_file(task, _load(command), command.missing))
        print(f"Events: {to_one_line(command.output)}")
        return 0
    return _detect_in_files(command, command.output)


def _guard(task: DetectionTask, command: DetectCommand) -> None:
    """Refuse outputs that would overwrite what is read, or what a detector did not write."""
    inputs = [*signal_files(task.eeg), *detector_files(command.run, command.encoder)]
    guard_outputs(task.events, task.probabilities, inputs, command.force)


def _load(command: DetectCommand) -> Detector:
    detector = load_detector(command.run, command.seed, command.encoder, command.device, command.head)
    warn_of_changed_heads(command.run, [command.head])
    return detector


def _detect_in_file(task: DetectionTask, detector: Detector, missing: str, *, keep_bar: bool = True) -> str:
    """Write the outputs of a task; say in a line what was found."""
    from eval.report.timeline import clock  # here, since they load torch and mne-bids, which --help does not need
    from extract.io.recorded_channels import open_recording

    with open_recording(task.eeg, missing, from_spec(detector.spec)) as signal:
        probabilities = detector.predict(signal, keep_bar=keep_bar)
    events = detector.post.detect(probabilities, signal.duration_s)
    if task.probabilities is not None:
        rows = (f"{second}\t{value:.4f}\n" for second, value in enumerate(probabilities.tolist()))
        write_text(task.probabilities, PROBABILITIES_HEADER + "".join(rows))
    write_text(task.events, Detections(events, signal.duration_s, signal.start).to_tsv())
    return f"{to_one_line(task.eeg)}: {count_noun(len(events), 'seizure')} in {clock(signal.duration_s)}"


def _detect_in_files(command: DetectCommand, output: Path) -> int:
    """Write the events of many files; 1 if some could not be used."""
    folders = [path for path in command.inputs if path.is_dir()]
    data_sets = [folder for folder in folders if (folder / "dataset_description.json").is_file()]
    for folder in (output, command.probabilities):
        if folder is not None:
            if folder.is_file():
                raise UserError(f"{folder}: is a file; give a folder for several files")
            if folder.suffix == ".tsv" and not folder.is_dir():
                raise UserError(
                    f"{folder}: is named as a file; several inputs give a folder of tables, so name a folder"
                )
            guard_folder(folder, inputs=[*folders, command.run], allowed_mark="sub-*/", apart=data_sets)
    tasks = find_tasks(command.inputs, output, command.probabilities)
    detector = _load(command)
    record_detector(output, detector, command.missing, command.force)
    todo = [task for task in tasks if not is_finished(task, output)]
    failures: dict[str, list[Path]] = {}  # reason -> files
    with tqdm(total=len(todo), unit=" files", disable=None) as bar:
        for task in todo:
            try:
                _guard(task, command)
                for path in task.outputs:  # of an earlier file or detector
                    path.unlink(missing_ok=True)
                bar.write(_detect_in_file(task, detector, command.missing, keep_bar=False))
            except DiskFullError:
                raise
            except (UserError, OSError) as error:
                reason = _explain(task, error)
                if reason not in failures:
                    bar.write(f"failed: {to_one_line(task.eeg)}: {reason}", file=sys.stderr)
                failures.setdefault(reason, []).append(task.eeg)
            bar.update()
    for files in failures.values():
        if len(files) > 1:
            others = noun_with_names("more file", [path.name for path in files[1:]], _NAMED)
            print(to_one_line(f"failed as {files[0]}: {len(files) - 1} {others}"), file=sys.stderr)
    failed = sum(map(len, failures.values()))
    done = f", {len(tasks) - len(todo)} of them already done" if len(tasks) > len(todo) else ""
    print(f"{len(tasks) - failed} of {count_noun(len(tasks), 'file')}{done}. Events: {to_one_line(output)}")
    return 1 if failed else 0


def _explain(task: DetectionTask, error: UserError | OSError) -> str:
    """Why a file cannot be used, without its path, as one line."""
    known = from_os_error(error) if isinstance(error, OSError) else error
    if known is None:
        raise error
    return to_one_line(str(known).removeprefix(f"{task.eeg}: "))


def _detect_on_standard_input(command: DetectCommand) -> None:
    """Print events as they end, and write them all when the input has ended."""
    from eval.report.timeline import clock

    detector, stream = _open_stream(command)
    events: list[DetectedEvent] = []

    def report(event: DetectedEvent) -> None:
        events.append(event)
        print(event.to_row(), flush=True)

    print(HEADER, flush=True)
    with ExitStack() as stack:
        record = _open_table(command.probabilities, stack)
        detect_stream(detector, stream, report, record)
    detections = Detections(tuple(events), stream.duration_s, "")
    if not events:
        print(detections.to_tsv().splitlines()[1])
    if command.output is not None:
        write_text(command.output, detections.to_tsv())
    print(f"{STANDARD_INPUT}: {count_noun(len(events), 'seizure')} in {clock(stream.duration_s)}", file=sys.stderr)


def _open_stream(command: DetectCommand) -> tuple[Detector, SampleStream]:
    """Load the detector, say how late its events are, and take the first minute of the samples."""
    rate_hz = command.sample_rate_hz
    if rate_hz is None or not command.channel_names:
        raise UserError("--sample-rate-hz and --channel-names are required for samples on standard input")
    require_within("--sample-rate-hz", rate_hz, SAMPLE_RATES_HZ)
    if len(command.paths) > 2:
        raise UserError(f"- takes no other INPUT; got {command.paths[1]}")
    inputs = detector_files(command.run, command.encoder)
    guard_outputs(command.output, command.probabilities, inputs, command.force)
    source, detector = _open_standard_input(), _load(command)
    print(
        f"An event is printed at most {latency_s(detector, rate_hz):.1f} s after it has ended, "
        f"the first ones after {SCAN_S} s.",
        file=sys.stderr,
    )
    montage = from_spec(detector.spec)
    return detector, SampleStream(source, rate_hz, command.channel_names, command.missing, montage)


def _open_standard_input() -> ByteSource:
    if sys.stdin is None or sys.stdin.isatty():
        raise UserError(f"{STANDARD_INPUT}: there is none; pipe samples to this command")
    return cast(ByteSource, sys.stdin.buffer)  # its type lacks read1, which it has


def _open_table(path: Path | None, stack: ExitStack) -> Callable[[np.float32], object]:
    """What writes the probability of the next second into a table, which is there when the stack is left."""
    if path is None:
        return lambda probability: None
    file, seconds = stack.enter_context(atomic_write(path)), count()
    file.write(PROBABILITIES_HEADER.encode())
    return lambda probability: file.write(f"{next(seconds)}\t{probability:.4f}\n".encode())
