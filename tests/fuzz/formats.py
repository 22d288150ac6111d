"""BrainVision and EEGLAB recordings: any of their files changes; extract, detect and codec are of one mind."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.io import savemat

from eval.detect import main as detect
from extract.codec import main as codec
from extract.io.montage import CHANNELS
from tests.fuzz import base
from tests.fuzz.base import Entry, below, run_extract, write_data_set
from tests.fuzz.edits import FileEdit, file_edits, fractions
from tests.fuzz.oracle import problems, read_store
from tests.fuzz.sandbox import Finding, Outcome, run
from tests.helpers.eeg import RATE_HZ, noise_uv

ENTRY = Entry("01", "01", 0)
FILES = {"vhdr": ("vhdr", "eeg", "vmrk"), "set": ("set",), "set and fdt": ("set", "fdt")}
VALUES = (
    *("", "0", "-1", "1", "18", "19", "1e9", "nan", "x", "1,5", "1.5", "99999999999", "INT_16", "IEEE_FLOAT_64"),
    *("VECTORIZED", "ASCII", "../../outside", "pipe", "/dev/zero", "gone.eeg", "FP1-F3,,1,K", "FP1-F3,,1,V", "é"),
    *("FP1-F3,,0,µV", "FP1-F3,,nan,µV", "FP1-F3,,1e30,µV", "x,,1,µV", ",,,", "[Coordinates]", "UTF-16", "latin1"),
)
FIELDS: dict[str, tuple[Any, ...]] = {
    "nbchan": (0, -1, 17, 19, 10**9, 2.5, np.nan, "x", []),
    "pnts": (0, -1, 1, 287, 289, 10**12, np.nan, "x", []),
    "srate": (0, -1, 1, 1e9, np.nan, np.inf, "x", [], 63.5),
    "trials": (0, 2, -1, "x", []),
    "chanlocs": ([], "x", 0, np.nan),
    "event": ("x", 0, np.nan, {"type": "a", "latency": np.nan}, {"type": "a", "latency": 1e30}, {"latency": -1.0}),
    "data": ("gone.fdt", "../../outside", "/dev/zero", 0, [], np.zeros((2, 3, 4)), np.zeros(5), b"x"),
    "times": ("x", [], 0),
}


@dataclass(frozen=True)
class FormatEdit:
    """A file of the recording changes, or one of its fields."""

    name: str  # of the file, by its suffix
    file: FileEdit | None
    at: float  # which line or field
    value: int

    def add_field(self, fields: dict[str, Any]) -> None:
        """Note a field of EEGLAB that is yet to be written."""
        if not self.file and self.name == "set":
            name = list(FIELDS)[int(self.at * len(FIELDS))]
            values = (None, *FIELDS[name])
            fields[name] = values[self.value % len(values)]

    def apply(self, path: Path) -> None:
        """Edit a file, if it is still one."""
        if self.file and path.is_file():
            self.file.apply(path)
        elif path.is_file() and self.name in ("vhdr", "vmrk"):
            lines = path.read_bytes().splitlines()
            if lines:
                number = int(self.at * len(lines))
                key, equals, _ = lines[number].partition(b"=")
                lines[number] = key + equals + VALUES[self.value % len(VALUES)].encode()
            path.write_bytes(b"\n".join(lines))


@dataclass(frozen=True)
class FormatCase:
    """Edits of one recording, and how missing channels are taken."""

    form: str
    edits: tuple[FormatEdit, ...]
    missing: str
    late: bool


@st.composite
def cases(draw: st.DrawFn) -> FormatCase:
    """None, one or two edits."""
    form = draw(st.sampled_from(sorted(FILES)))
    edit = st.builds(
        FormatEdit, st.sampled_from(FILES[form]), st.none() | file_edits, fractions, st.integers(0, 99)
    )
    edits = draw(st.lists(edit, min_size=draw(st.sampled_from([0, 1, 1, 1, 1, 1])), max_size=2))
    return FormatCase(form, tuple(edits), draw(st.sampled_from(["error", "zero"])), draw(st.booleans()))


def check(case: FormatCase, box: Path) -> None:
    """Extract, detect and code; all must be of one mind."""
    write_data_set(box / "bids", (ENTRY, Entry("02", "01", 0)))
    ENTRY.path(box / "bids").unlink()
    (box / "outside").write_bytes(bytes(1 << 14))
    paths = {suffix: ENTRY.path(box / "bids", f"_eeg.{suffix}") for suffix in FILES[case.form]}
    main_path = paths[FILES[case.form][0]]
    write_recording(paths, {})
    if case.late and (first := run_extract(box)).status != 0:
        raise Finding("extract: refuses a sound recording", first.text)
    fields: dict[str, Any] = {}
    for edit in case.edits:
        edit.add_field(fields)
    if fields:
        write_recording(paths, fields)
    for edit in case.edits:
        edit.apply(paths[edit.name])
    outcome = run_extract(box, "--missing", case.missing)
    if outcome.status == 2:
        raise Finding("extract: one broken file stops all", outcome.text)
    stored = read_store(box / "store")
    if Entry("02", "01", 0).stem not in stored:
        raise Finding("extract: an untouched subject is not stored", outcome.text)
    if outcome.status == 0 and main_path.is_file():
        if wrong := problems(box / "store" / "sub-01.h5"):
            raise Finding(f"extract: stores {wrong[0]}", outcome.text)
        _judge_length(case, paths, stored[ENTRY.stem].duration_s, outcome)
    elif outcome.status != 0 and ENTRY.stem not in outcome.err:
        raise Finding("extract: a failed recording is not named", outcome.text)
    if not case.edits and outcome.status != 0:
        raise Finding("extract: refuses a sound recording", outcome.text)
    if main_path.is_file():
        _others(case, box, main_path, outcome)


def _judge_length(case: FormatCase, paths: dict[str, Path], duration_s: float, outcome: Outcome) -> None:
    """The length is that of the samples, where the header is as it was and the size says it."""
    if {edit.name for edit in case.edits} <= {"eeg", "vmrk"} and "eeg" in paths:
        length_s = paths["eeg"].stat().st_size / (4 * len(CHANNELS) * RATE_HZ)
        if not math.isclose(duration_s, length_s):
            detail = f"{duration_s} {length_s}\n{outcome.text}"
            raise Finding("extract: another length than that of the samples", detail)


def _others(case: FormatCase, box: Path, path: Path, extracted: Outcome) -> None:
    """Detect in the recording and code it."""
    (box / "out").mkdir()
    (box / "tiny.safetensors").write_bytes(base.checkpoint_bytes())
    run_folder, out = base.finished_run() / "run", box / "out"
    more = ["--run", run_folder, "--missing", case.missing, "--device", "cpu"]
    detected = run(detect, "eval.detect", [path, out / "events.tsv", *more], box, below("out"))
    more = ["--weights", box / "tiny.safetensors", "--missing", case.missing]
    coded = run(codec, "extract.codec", [path, out / "out.edf", *more], box, below("out"))
    for name, outcome in (("eval.detect", detected), ("extract.codec", coded)):
        is_absent = "has not been fetched" in outcome.err  # which a store that has the features needs not
        if (outcome.status == 0) != (extracted.status == 0) and not (is_absent and case.late):
            raise Finding(f"{name}: takes what extract refuses, or the reverse", extracted.text + outcome.text)


def write_recording(paths: dict[str, Path], fields: dict[str, Any]) -> None:
    """A recording of noise; ``fields`` replace those of EEGLAB, None removes one."""
    signal_uv = noise_uv(ENTRY.seconds, ENTRY.seed).astype("<f4")
    if "vhdr" in paths:
        _write_brainvision(paths, signal_uv)
        return
    channels = np.zeros(len(CHANNELS), [("labels", object)])
    channels["labels"] = CHANNELS
    sizes = {"nbchan": len(signal_uv), "pnts": signal_uv.shape[1], "srate": float(RATE_HZ), "trials": 1}
    eeg: dict[str, Any] = {"setname": "x", **sizes, "xmin": 0.0, "xmax": ENTRY.seconds, "chanlocs": channels}
    eeg |= {"event": [], "epoch": [], "times": [], "data": signal_uv}
    if "fdt" in paths:
        eeg["data"] = paths["fdt"].name
        if not fields:
            paths["fdt"].write_bytes(signal_uv.T.tobytes())
    eeg = {name: value for name, value in (eeg | fields).items() if value is not None}
    savemat(paths["set"], {"EEG": eeg})


def _write_brainvision(paths: dict[str, Path], signal_uv: Any) -> None:
    lines = [f"Ch{number}={name},,1,µV" for number, name in enumerate(CHANNELS, 1)]
    text = [
        *("Brain Vision Data Exchange Header File Version 1.0", "[Common Infos]", "Codepage=UTF-8"),
        *(f"DataFile={paths['eeg'].name}", f"MarkerFile={paths['vmrk'].name}", "DataFormat=BINARY"),
        *("DataOrientation=MULTIPLEXED", f"NumberOfChannels={len(CHANNELS)}"),
        *(f"SamplingInterval={1e6 / RATE_HZ:g}", "[Binary Infos]", "BinaryFormat=IEEE_FLOAT_32"),
        *("[Channel Infos]", *lines),
    ]
    paths["vhdr"].write_text("\n".join(text), encoding="utf-8")
    markers = ["Brain Vision Data Exchange Marker File, Version 1.0", "[Common Infos]", "Codepage=UTF-8"]
    markers += [f"DataFile={paths['eeg'].name}", "[Marker Infos]", "Mk1=New Segment,,1,1,0,20260102030405000000"]
    paths["vmrk"].write_text("\n".join([*markers, "Mk2=Stimulus,S  1,50,1,0"]), encoding="utf-8")
    paths["eeg"].write_bytes(signal_uv.T.tobytes())
