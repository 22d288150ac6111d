"""Find the EEG recordings of a BIDS data set, and account for every file that looks like one."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import mne_bids.config

from extract.io.annex import explain_absent_content
from extract.io.participants import Participants, read_participants
from extract.io.signal_files import explain_absent_signal
from extract.io.tables import read_content
from store.runtime.errors import UserError
from store.runtime.plurals import list_names
from store.runtime.walk import walk

EXTENSIONS = tuple(mne_bids.config.allowed_extensions_eeg)
_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")
# of EEG that is not read here: it is named, not passed over
_FOREIGN = (".cnt", ".mff", ".nwb", ".fif", ".mat", ".rec", ".trc", ".e", ".nk", ".h5", ".hdf5")
# endings of BIDS names of other signals
_NO_EEG = ("ecg", "emg", "eog", "physio", "stim", "beh", "ieeg", "meg", "mov", "motion", "nirs", "eyetrack")
# folders of what is no recording, and of other signals
_NO_RECORDINGS = ("derivatives", "sourcedata", "code", "stimuli")
_NO_EEG_FOLDERS = ("anat", "beh", "dwi", "emg", "fmap", "func", "ieeg", "meg", "motion", "nirs", "perf", "pet")
_DEEPEST = 6  # folders below a subject
_DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Recording:
    """One EEG file of a BIDS data set and where its seizures are annotated."""

    name: str  # file name without _eeg and suffix
    path: Path
    events_path: Path
    subject: str
    person: str
    problem: str | None = None  # why it cannot be used, as far as its name and kind tell
    is_fetched: bool = True  # False where only the name of one of its files is there


@dataclass(frozen=True)
class Ignored:
    """A file that looks like a recording but does not count as one of a subject."""

    path: Path
    subject: str
    reason: str
    is_stray: bool = False  # a recording, maybe, of a subject that its place does not tell


@dataclass(frozen=True)
class DataSet:
    """What was found in the folder of a BIDS data set."""

    path: Path
    name: str  # by its dataset_description.json, else the folder's
    is_named: bool  # by its dataset_description.json
    recordings: tuple[Recording, ...]  # sorted by name
    ignored: tuple[Ignored, ...]
    participants: Participants
    misnamed: tuple[Recording, ...] = ()  # cannot be used for their name or place; called by their path

    @cached_property
    def by_subject(self) -> dict[str, tuple[Recording, ...]]:
        """Recordings of each subject, those that are misnamed too, subjects sorted."""
        grouped: dict[str, list[Recording]] = {}
        for recording in self.recordings + self.misnamed:
            grouped.setdefault(recording.subject, []).append(recording)
        return {subject: tuple(grouped[subject]) for subject in sorted(grouped)}

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects with recordings, sorted."""
        return tuple(self.by_subject)


def find_recordings(bids: Path, subjects: Sequence[str] | None = None) -> list[Recording]:
    """EEG recordings of a BIDS data set, sorted by name; see `find_data_set`."""
    return list(find_data_set(bids, subjects).recordings)


def find_data_set(bids: Path, subjects: Sequence[str] | None = None) -> DataSet:
    """Find all EEG recordings of a BIDS data set, those that cannot be used with the reason.

    The folders are walked here and not by `mne_bids.find_matching_paths`, which stops at the first file name that
    it cannot parse, passes over ``.EDF`` and files that have not been fetched, and follows loops of links.

    Parameters
    ----------
    bids : Path
        Folder that holds ``sub-*``.
    subjects : sequence of str, optional
        Only these, written ``01`` or ``sub-01``; all by default.

    Raises
    ------
    UserError
        If there is no such folder, it holds no EEG, or lacks a subject, or its tables cannot be read.
    """
    if not bids.is_dir():
        what = "a file" if bids.exists() else "no such folder"
        raise UserError(f"{bids}: {what}; give the folder of a BIDS data set")
    files = [file for file in walk(bids, partial(_is_entered, bids)) if _is_listed(file, bids)]
    if all(file.parent == bids for file in files):
        raise UserError(f"{bids}: {_explain_no_subject(bids)}")
    selected = None if subjects is None else {subject.removeprefix("sub-") for subject in subjects}
    participants = read_participants(bids)
    selected_files = [file for file in files if selected is None or _subject_of(file, bids) in selected]
    recordings, misnamed, ignored = _sort_out(selected_files, bids, participants)
    present = {recording.subject for recording in [*recordings, *misnamed]}
    if absent := sorted((selected or set()) - present):
        everyone = sorted({_subject_of(file, bids) for file in files})
        raise UserError(f"{bids}: no EEG of subject {list_names(absent)}; subjects there: {list_names(everyone)}")
    name, is_named = _read_name(bids)
    return DataSet(bids, name, is_named, tuple(recordings), tuple(ignored), participants, tuple(misnamed))


def _explain_no_subject(folder: Path) -> str:
    """Say that a folder holds no subject with EEG, and which one to give if it lies in a data set."""
    data_set = next((parent for parent in folder.parents if (parent / _DESCRIPTION).is_file()), None)
    if data_set is not None:
        return f"lies within the data set {data_set}; give that folder"
    return (
        f"no EEG in this folder; a BIDS data set has sub-*/[ses-*/]eeg/*_eeg with one of {', '.join(EXTENSIONS)}"
    )


def _sort_out(
    files: Sequence[Path], bids: Path, participants: Participants
) -> tuple[list[Recording], list[Recording], list[Ignored]]:
    """Make recordings of files, those with usual names first; two files of one recording count once."""
    by_entities: dict[frozenset[str], list[Path]] = {}
    misnamed, ignored, odd = [], [], []
    for file in files:
        if reason := _explain_lost_folder(file):
            misnamed.append(_to_misnamed(file, bids, participants, reason))
            continue
        if reason := _explain_odd_name(file, bids):
            odd.append((file, reason))
            continue
        same = frozenset(part for part in _name_of(file).split("_") if not part.startswith("desc-"))
        by_entities.setdefault(same, []).append(file)
    usual = [file for same_files in by_entities.values() for file in same_files]
    for file, reason in odd:
        is_stray, folders = file.parent == bids, file.relative_to(bids).parts[1:-1]
        is_other = not _may_be_recording(file, usual) or {*_NO_RECORDINGS, *_NO_EEG_FOLDERS}.intersection(folders)
        if is_stray or is_other:
            ignored.append(Ignored(file, _subject_of(file, bids), reason, is_stray))
        else:
            misnamed.append(_to_misnamed(file, bids, participants, reason))
    recordings = []
    for same_files in by_entities.values():
        # the original first, then what can be read, then by name
        first, *others = sorted(same_files, key=lambda file: ("_desc-" in file.name, _packing(file), str(file)))
        problem = None
        for other in others:
            reason, is_copy = _explain_other(first, other)
            problem = problem if is_copy else f"the same recording as {other.name}; remove one of them"
            ignored.append(Ignored(other, _subject_of(other, bids), reason))
        recordings.append(_to_recording(first, bids, participants, problem))
    return sorted(recordings, key=lambda recording: recording.name), misnamed, ignored


def _may_be_recording(file: Path, usual: Sequence[Path]) -> bool:
    """Whether a file with an odd name may be a recording, not a copy of one beside it or a link to one."""
    stem = os.path.splitext(_unpacked(file.name))[0]
    is_copy = any(other.parent == file.parent and f"{_name_of(other)}_eeg" in stem for other in usual)
    is_link = os.path.realpath(file) in {os.path.realpath(other) for other in usual if other.name == file.name}
    return not (is_copy or is_link)


def _explain_other(first: Path, other: Path) -> tuple[str, bool]:
    """Say why another file of a recording is ignored, and whether it is a copy of the first or made from it."""
    if "_desc-" in other.name:
        return f"made from {first.name} or from the same EEG, which counts once", True
    if _packing(other) and not _packing(first):
        return f"a packed copy of {first.name}", True
    return f"the same recording as {first.name}; remove one of them", False


def _to_recording(path: Path, bids: Path, participants: Participants, problem: str | None) -> Recording:
    name, subject = _name_of(path), _subject_of(path, bids)
    return Recording(
        name,
        path,
        path.with_name(f"{name}_events.tsv"),
        subject,
        participants.person(subject),
        problem or _explain_format(path),
        is_fetched=explain_absent_signal(path) is None,
    )


def _to_misnamed(path: Path, bids: Path, participants: Participants, problem: str) -> Recording:
    """Make a recording that cannot be used, called by its path: its own name may be that of another."""
    recording = _to_recording(path, bids, participants, problem)
    return replace(recording, name=str(path.relative_to(bids)))


def _is_entered(bids: Path, folder: Path) -> bool:
    """Whether recordings are looked for in a folder."""
    parts = folder.relative_to(bids).parts
    is_deep = len(parts) > _DEEPEST or "eeg" in parts[:-1]
    return _is_of_subject(parts) and not (is_deep or folder.name.startswith(".") or _looks_like_eeg(folder))


def _is_listed(path: Path, bids: Path) -> bool:
    """Whether a file, or a folder that is not entered, is a recording or has to be named."""
    if not _is_of_subject(path.relative_to(bids).parts):
        return False
    return _looks_like_eeg(path) or _explain_lost_folder(path) is not None


def _is_of_subject(parts: Sequence[str]) -> bool:
    return parts[0].lower().startswith("sub-")


def _looks_like_eeg(path: Path) -> bool:
    name = _unpacked(path.name.lower())
    stem, extension = os.path.splitext(name)
    if name.startswith(".") or stem.rpartition("_")[2] in _NO_EEG:
        return False
    if path.parent.name != "eeg":
        return extension in EXTENSIONS and stem.endswith("_eeg")
    return extension in EXTENSIONS or (extension in _FOREIGN and stem.endswith("_eeg"))


def _explain_odd_name(path: Path, bids: Path) -> str | None:
    """Say why a file's name is not that of a BIDS recording; None if it is."""
    stem = os.path.splitext(_unpacked(path.name))[0]
    folders = path.relative_to(bids).parts[:-1]
    first, *entities = stem.removesuffix("_eeg").split("_")
    if not folders or folders[-1] != "eeg":
        return "is not in a folder called eeg; move it there"
    if not folders[0].startswith("sub-"):
        return f"its folder is called {folders[0]}; rename it to {folders[0].lower()}"
    if not stem.endswith("_eeg"):
        return "its name does not end in _eeg; rename it, or remove it"
    if not first.startswith("sub-") or not all(_is_entity(part) for part in (first, *entities)):
        return "its name is not a BIDS name (sub-01_ses-01_task-x_run-01_eeg); rename it, or remove it"
    sessions = [folder for folder in folders if folder.startswith("ses-")]
    named = [part for part in entities if part.startswith("ses-")]
    if first != folders[0] or (sessions and named and sessions != named):
        return f"its name says {'_'.join([first, *named])}, its folder {'/'.join(folders[:-1])}; move or rename it"
    return None


def _explain_lost_folder(path: Path) -> str | None:
    """Say that what ought to be a folder of recordings is a link to nothing."""
    is_folder = path.name == "eeg" or (path.name.startswith(("sub-", "ses-")) and "_" not in path.name)
    return explain_absent_content(path) if is_folder and not path.suffix else None


def _is_entity(part: str) -> bool:
    """Whether a part of a name is an entity.

    >>> [_is_entity(part) for part in ("ses-01", "Copy of sub-01", "task-x copy", "run", "task-Z\u00fcrich")]
    [True, False, False, False, True]
    """
    key, _, value = part.partition("-")
    return key.isalnum() and bool(value) and part.isprintable() and not any(c.isspace() for c in part)


def _explain_format(path: Path) -> str | None:
    """Say why a recording cannot be read, as far as its name and its content's absence tell."""
    if reason := explain_absent_signal(path):
        return reason
    if packing := _packing(path):
        tool = "gunzip" if packing == ".gz" else "unpack"
        return f"packed as {packing}, which no reader of EEG reads; {tool} it"
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        return f"format {extension} is not read here; export it as EDF"
    return None if path.is_file() else "is not a file (a folder, a pipe or a device); put the recording there"


def _packing(path: Path) -> str:
    return next((ending for ending in _PACKED if path.name.lower().endswith(ending)), "")


def _unpacked(name: str) -> str:
    return next((name[: -len(ending)] for ending in _PACKED if name.lower().endswith(ending)), name)


def _name_of(path: Path) -> str:
    return os.path.splitext(_unpacked(path.name))[0].removesuffix("_eeg")


def _subject_of(path: Path, bids: Path) -> str:
    return path.relative_to(bids).parts[0][len("sub-") :]  # in any letter case


def _read_name(bids: Path) -> tuple[str, bool]:
    """Name of a data set, and whether it has one of its own."""
    path = bids / _DESCRIPTION
    if reason := explain_absent_content(path):
        raise UserError(f"{path}: {reason}")
    if path.is_file():
        try:
            description = json.loads(read_content(path).decode("utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path}: not a JSON file of UTF-8 text ({error}); correct it") from error
        name = description.get("Name") if isinstance(description, dict) else None
        if isinstance(name, str) and name.strip():
            return " ".join(name.split()), True
    return bids.resolve().name, False
