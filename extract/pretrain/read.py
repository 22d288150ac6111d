"""Read the EEG of BIDS data sets into memory, one channel at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from extract.io.bids import Recording, find_data_set
from extract.io.eeg_channels import read_eeg_channels
from extract.planning.account import describe_reasons
from extract.planning.subject import shorten, stem_of
from extract.pretrain.channels import judge_channels
from extract.pretrain.data import Person, TrainingSignal
from store.runtime.errors import UserError
from store.runtime.plurals import count_noun
from store.schema import LeftOut


@dataclass
class TrainingEeg:
    """What was read, and what was left out."""

    signals: list[TrainingSignal] = field(default_factory=list)
    persons: set[Person] = field(default_factory=set)  # of all recordings, used or not
    folders: dict[str, str] = field(default_factory=dict)  # name of the data set by name of its folder
    channels: int = 0  # that are used, of all recordings
    left_out: Counter[str] = field(default_factory=Counter)  # channels, by reason
    unusable: list[LeftOut] = field(default_factory=list)  # recordings, called by folder and name
    stems: dict[str, str] = field(default_factory=dict)  # path of a recording's files without their endings

    def describe(self) -> str:
        """One line for people: what is used and what is not."""
        hours = sum(s.signal_uv.numel() / s.sample_rate_hz for s in self.signals) / 3600
        persons = len({s.person for s in self.signals})
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))
        channels = count_noun(self.left_out.total(), "channel")
        return (
            f"{count_noun(self.channels, 'EEG channel')} of {count_noun(persons, 'person')}, "
            f"{hours:.1f} channel-hours; left out: {count_noun(len(self.unusable), 'recording')}, "
            f"and {channels} of the others{f' ({reasons})' if reasons else ''}"
        )

    def describe_unusable(self) -> list[str]:
        """Say which recordings are left out and why, those of one reason together."""
        return [f"left out: {line}" for line in describe_reasons(self.unusable, self.stems)]


def read_eeg(folders: Sequence[Path], sample_rate_hz: float) -> TrainingEeg:
    """All EEG channels of BIDS data sets, low-passed where their rate is above that of the network.

    Recordings that cannot be read or are misnamed, and channels that are not worth training on, are left out and
    counted.

    Raises
    ------
    UserError
        If a folder is no BIDS data set with EEG or is given twice, or two folders of different data sets share a
        name.
    """
    _require_distinct(folders)
    eeg = TrainingEeg()
    for folder in folders:
        data_set = find_data_set(folder)
        name = folder.resolve().name
        if eeg.folders.setdefault(name, data_set.name) != data_set.name:
            raise UserError(f"--bids: two folders are called {name}; rename one, since --hold-out names them")
        eeg.stems |= {
            f"{name}/{recording.name}": stem_of(recording, data_set) for recording in data_set.recordings
        }
        for recording in data_set.recordings + data_set.misnamed:
            eeg.persons.add(Person(data_set.name, recording.person))
            try:
                _add(eeg, data_set.name, recording, sample_rate_hz)
            except UserError as error:
                reason = shorten(str(error), data_set).removeprefix(f"{recording.name}: ")
                eeg.unusable.append(LeftOut(f"{name}/{recording.name}", reason))
    return eeg


def _require_distinct(folders: Sequence[Path]) -> None:
    by_path: dict[Path, Path] = {}
    for folder in folders:
        other = by_path.setdefault(folder.resolve(), folder)
        if other is not folder:
            same = "" if str(folder) == str(other) else f", also as {other}"
            raise UserError(f"--bids: {folder} is given twice{same}; name each data set once")


def _add(eeg: TrainingEeg, dataset: str, recording: Recording, sample_rate_hz: float) -> None:
    if recording.problem:
        raise UserError(f"{recording.path}: {recording.problem}")
    for group in read_eeg_channels(recording.path, sample_rate_hz):
        reasons = judge_channels(group.signal_uv)
        eeg.left_out.update(reason for reason in reasons if reason)
        if kept := [row for row, reason in enumerate(reasons) if reason is None]:
            eeg.channels += len(kept)
            signal_uv = torch.from_numpy(group.signal_uv[kept])
            eeg.signals.append(TrainingSignal(Person(dataset, recording.person), group.sample_rate_hz, signal_uv))
