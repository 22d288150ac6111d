"""Find the EEG channels of each recording, and those that the recordings of a data set share."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from extract.io import edf_header as edf
from extract.io.annex import explain_absent_content
from extract.io.bids import Recording
from extract.io.channel_names import may_be_eeg
from extract.io.channels_table import find_channels_table, list_good_eeg
from extract.io.mne_samples import open_with_mne
from extract.io.montage import AS_RECORDED, Montage, as_recorded, clean_name, has_zeros
from extract.io.raw import EegFile, open_signal
from store.runtime.errors import UserError, os_errors
from store.runtime.plurals import count_noun, list_names

NO_TABLE = "none"
_MOST_NAMED = 8  # subjects in a line


def eeg_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Channels of a recording that are EEG and good: by its ``channels.tsv``, without one by their names.

    Parameters
    ----------
    path
        The recording, in a BIDS data set or not.
    names
        Of all channels of the file.

    Raises
    ------
    UserError
        If the table cannot be read, has no column for names or types, or does not name an EEG channel of the file.
    """
    table_path = find_channels_table(path)
    if table_path is None:
        return tuple(name for name in names if may_be_eeg(name))
    good = list_good_eeg(table_path)
    if not any(name.strip() in good for name in names):
        raise UserError(
            f"{table_path}: does not name a good EEG channel of {path.name}, which has {', '.join(names)}"
        )
    return tuple(name for name in names if name.strip() in good)


def hash_channels(path: Path) -> str:
    """sha256 of a recording's ``channels.tsv``; "none" without one."""
    table = find_channels_table(path)
    if table is None:
        return NO_TABLE
    with os_errors(table):
        return hashlib.sha256(table.read_bytes()).hexdigest()


def open_recording(path: Path, missing: str, montage: Montage) -> EegFile:
    """Open an EEG file as `open_signal` does; of a montage as recorded, without what `find_excluded` finds.

    Raises
    ------
    UserError
        As `open_signal`, or if the table cannot be used.
    """
    return open_signal(path, missing, montage, find_excluded(path) if montage.name == AS_RECORDED else ())


def find_excluded(path: Path) -> tuple[str, ...]:
    """Channels of a recording that its ``channels.tsv`` calls bad, or not EEG; none without one."""
    if find_channels_table(path) is None:
        return ()
    names = read_names(path)
    return tuple(set(names) - set(eeg_names(path, names)))


def find_shared_montage(recordings: Sequence[Recording], take_common: bool) -> tuple[Montage, list[str]]:
    """The montage that takes the EEG channels of recordings as they were recorded.

    Recordings that have not been fetched or cannot be read, or whose ``channels.tsv`` cannot be used, are passed
    over: opening them says why.

    Parameters
    ----------
    take_common
        Take the channels that all have, where recordings differ.

    Returns
    -------
    montage
    table : list of str
        Who has what, a line each, where recordings differ.

    Raises
    ------
    UserError
        If they differ and only equal ones will do, or have none in common; the message names who has what. If
        none can be read.
    """
    by_name, reasons = _read_all(recordings)
    groups: dict[frozenset[str], list[Recording]] = {}
    for recording in recordings:
        if recording.name in by_name:
            groups.setdefault(frozenset(by_name[recording.name]), []).append(recording)
    if not groups:
        raise UserError(f"montage as-recorded: no recording can be read; the first: {reasons[0]}")
    common = frozenset.intersection(*groups)
    order = next(iter(by_name.values()))
    montage = as_recorded([name for key, name in order.items() if key in common])
    if len(groups) == 1:
        return montage, []
    spelling = {key: name for channels in by_name.values() for key, name in channels.items()}
    table = list(_describe_groups(groups, common, spelling))
    if not common:
        raise UserError(
            f"recordings have no channel in common: {'; '.join(table)}; give a table of derivations by "
            "--montage, or encode those that agree with --subject"
        )
    if not take_common:
        raise UserError(
            f"recordings differ in their channels: {'; '.join(table)}; --channels common takes what all have, or "
            "encode those that agree with --subject"
        )
    return montage, table


def find_other_channels(recordings: Sequence[Recording], montage: Montage) -> set[str]:
    """Good EEG channels of recordings that a montage as recorded does not have, in capitals."""
    by_name, _ = _read_all(recordings)
    return {key for channels in by_name.values() for key in channels} - {name.upper() for name in montage.channels}


def _read_all(recordings: Sequence[Recording]) -> tuple[dict[str, Mapping[str, str]], list[str]]:
    """EEG channels of each recording that can be read, spelling by upper-case name; why the others cannot."""
    by_name: dict[str, Mapping[str, str]] = {}
    reasons = []
    for recording in recordings:
        try:
            by_name[recording.name] = _read_eeg_names(recording)
        except (UserError, OSError) as error:
            reasons.append(str(error))
    return by_name, reasons


def _read_eeg_names(recording: Recording) -> dict[str, str]:
    if reason := recording.problem or explain_absent_content(recording.path):
        raise UserError(f"{recording.path}: {reason}")
    names = read_names(recording.path)
    zeros = has_zeros(names)
    cleaned = (clean_name(name, zeros) for name in eeg_names(recording.path, names))
    return {name.upper(): name for name in cleaned}


def read_names(path: Path) -> tuple[str, ...]:
    """Names of the channels of an EEG file, without its annotations."""
    if path.suffix.lower() in edf.SAMPLE_BYTES:
        return tuple(name for name in edf.read_header(path).names if name not in edf.ANNOTATIONS)
    samples = open_with_mne(path)
    samples.close()
    return samples.names


def _describe_groups(
    groups: Mapping[frozenset[str], Sequence[Recording]], common: frozenset[str], spelling: Mapping[str, str]
) -> Iterator[str]:
    if common:
        yield f"all have {', '.join(sorted(spelling[key] for key in common))}"
    for channels, recordings in groups.items():
        more = ", ".join(sorted(spelling[key] for key in channels - common))
        subjects = sorted({recording.subject for recording in recordings})
        who = f"sub-{list_names(subjects, _MOST_NAMED)} ({count_noun(len(recordings), 'recording')})"
        yield f"{who} {'also ' if common and more else ''}{more or 'has no others'}"
