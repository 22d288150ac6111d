"""Draw and augment random training windows from recordings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from extract.braincodec.config import BrainCodecConfig
from extract.io.windows import resample
from store.interop.dataset_names import same_dataset
from store.runtime.errors import UserError
from store.runtime.options import describe_unknown
from store.runtime.plurals import list_names


class Person(NamedTuple):
    """One human: the same name in another data set is somebody else; see `is_same_person`."""

    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.name}"


def is_same_person(first: Person, second: Person) -> bool:
    """Whether two persons are one human: of one name, in data sets whose names mean the same.

    >>> is_same_person(Person("CHB-MIT seizure clips", "02"), Person("CHB-MIT Scalp EEG Database", "02"))
    True
    """
    return first.name == second.name and same_dataset(first.dataset, second.dataset)


@dataclass(frozen=True)
class TrainingSignal:
    """Microvolts ``(C, samples)`` float32 of channels of one recording."""

    person: Person
    sample_rate_hz: float
    signal_uv: Tensor


class WindowSampler:
    """Windows of random channels and starts, all cut at once from signals that lie on the device; see `shares`.

    Parameters
    ----------
    signals : sequence of TrainingSignal
        None shorter than a window.
    config : BrainCodecConfig
        Of the network that the windows are for.
    device : torch.device
        Where the windows are drawn.
    """

    def __init__(
        self, signals: Sequence[TrainingSignal], config: BrainCodecConfig, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self._samples = config.samples
        channels = torch.tensor([len(s.signal_uv) for s in signals])
        chances = (shares(signals) / channels).repeat_interleave(channels)
        lengths = torch.tensor([s.signal_uv.shape[1] for s in signals]).repeat_interleave(channels)
        windows = torch.tensor([round(config.window_s * s.sample_rate_hz) for s in signals])
        self._flat_uv = torch.cat([s.signal_uv.flatten() for s in signals]).to(self.device)
        self._chances, self._windows = chances.to(self.device), windows.repeat_interleave(channels).to(self.device)
        self._starts = (lengths - self._windows.cpu() + 1).to(self.device)
        self._offsets = (lengths.cumsum(0) - lengths).to(self.device)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Windows ``(count, 1, samples)`` float32, microvolts, resampled as `extract.io.windows.resample` does."""
        which = torch.multinomial(self._chances, count, replacement=True, generator=generator)
        chance = torch.rand(count, generator=generator, device=self.device, dtype=torch.float64)
        first = (chance * self._starts[which]).long()
        length = self._windows[which][:, None]
        position = torch.arange(self._samples, device=self.device) + 0.5
        position = (position * (length / self._samples) - 0.5).clamp(min=0)
        before = position.long()
        after = torch.minimum(before + 1, length - 1)
        start = (self._offsets[which] + first)[:, None]
        return torch.lerp(self._flat_uv[start + before], self._flat_uv[start + after], position - before)[:, None]


def shares(signals: Sequence[TrainingSignal]) -> Tensor:
    """Chance of each recording to be drawn, ``(recordings,)``, up to a factor.

    Data sets count by the root of how much EEG they have, channels times seconds, persons within a data set by
    the root of theirs, recordings of a person in proportion: none dominates.
    """
    amounts = torch.tensor([s.signal_uv.numel() / s.sample_rate_hz for s in signals])
    chances = amounts.clone()
    keys_of_levels: list[list[object]] = [[s.person for s in signals], [s.person.dataset for s in signals]]
    for keys in keys_of_levels:
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        index = torch.tensor([numbers[key] for key in keys])
        total, drawn = (torch.zeros(len(numbers)).index_add_(0, index, x) for x in (amounts, chances))
        chances = chances * (total.sqrt() / drawn)[index]
    return chances


def cut_windows(signal: TrainingSignal, config: BrainCodecConfig) -> Tensor:
    """All whole windows of a recording side by side, ``(windows * C, 1, samples)`` float32, microvolts."""
    samples = round(config.window_s * signal.sample_rate_hz)
    whole = signal.signal_uv.shape[1] // samples * samples
    rows_uv = signal.signal_uv[:, :whole].reshape(-1, samples)
    return torch.from_numpy(resample(rows_uv.numpy(), config.samples)).unsqueeze(1)


def augment(windows: Tensor, others: Tensor, generator: Generator) -> Tensor:
    """Mix, filter, scale, turn and reverse windows at random; all shapes ``(N, 1, samples)``.

    Each window keeps its share of chance: a third are mixed with another, a third filtered, half each
    scaled (half to twice), turned in polarity and reversed in time.
    """
    chances = torch.rand(8, len(windows), 1, 1, generator=generator, device=windows.device)
    x = windows + torch.where(chances[0] < 1 / 3, chances[1], 0.0) * others
    tilt = torch.where(chances[2] < 1 / 3, 0.3 * chances[3] - 0.1, 0.0)
    padded = F.pad(x, (1, 1), mode="replicate")
    x = x + tilt * (0.5 * (padded[..., 2:] + padded[..., :-2]) - x)
    x = x * torch.where(chances[4] < 1 / 2, 2.0 ** (2 * chances[5] - 1), 1.0)
    x = torch.where(chances[6] < 1 / 2, -x, x)
    return torch.where(chances[7] < 1 / 2, x.flip(-1), x)


def by_person(signals: Sequence[TrainingSignal]) -> Mapping[Person, list[TrainingSignal]]:
    """Recordings of each person, persons in order."""
    persons = sorted({signal.person for signal in signals})
    return {person: [s for s in signals if s.person == person] for person in persons}


def names_by_dataset(persons: Iterable[Person]) -> dict[str, list[str]]:
    """Names of persons by data set, both in order.

    >>> names_by_dataset([Person("b", "2"), Person("a", "2"), Person("b", "1")])
    {'a': ['2'], 'b': ['1', '2']}
    """
    ordered = sorted(set(persons))
    return {dataset: [p.name for p in ordered if p.dataset == dataset] for dataset, _ in ordered}


def spell_person(person: Person, folders: Mapping[str, str]) -> str:
    """A person as ``--hold-out`` takes it: by the folder of the data set, or by its name if it has no folder.

    Parameters
    ----------
    folders
        Name of the data set by name of its folder.

    >>> spell_person(Person("Long name", "01"), {"clips": "Long name"}), spell_person(Person("Other", "01"), {})
    ('clips/01', 'Other/01')
    """
    named = (folder for folder, dataset in folders.items() if dataset == person.dataset)
    return f"{next(named, person.dataset)}/{person.name}"


def find_persons(names: Sequence[str], persons: Collection[Person], folders: Mapping[str, str]) -> set[Person]:
    """Persons that are written ``PERSON``, where one data set has them, or ``DATASET/PERSON``.

    A person may also be written as ``sub-PERSON``.

    Parameters
    ----------
    folders
        Name of the data set by name of its folder; both may be written.

    Raises
    ------
    UserError
        If there is no such person, or several data sets have one.
    """
    selected = set()
    for name in names:
        dataset, _, person = name.rpartition("/")
        datasets = {dataset, folders.get(dataset, dataset)} if dataset else {p.dataset for p in persons}
        candidates = [p for p in persons if p.dataset in datasets]
        if not candidates:
            unknown = describe_unknown("data set", dataset, list(folders))
            raise UserError(f"--hold-out {name}: {unknown}; there: {list_names(sorted(folders))}")
        matches = [p for p in candidates if p.name == person]
        matches = matches or [p for p in candidates if p.name == person.removeprefix("sub-")]
        if not matches:
            candidate_names = list_names(sorted({p.name for p in candidates}))
            raise UserError(f"--hold-out: no EEG of person {name}; there: {candidate_names}")
        if len(matches) > 1:
            listed = " or ".join(spell_person(p, folders) for p in sorted(matches))
            raise UserError(f"--hold-out: {name} is a person of several data sets; write {listed}")
        selected.update(matches)
    return selected


def split(
    signals: Sequence[TrainingSignal], hold_out: Collection[Person], config: BrainCodecConfig, batch: int
) -> tuple[list[TrainingSignal], list[TrainingSignal]]:
    """Recordings to train on and those of the persons held out; recordings shorter than a window are left out.

    A person is held out of every data set whose name means the same; see `is_same_person`.

    Raises
    ------
    UserError
        If what is left is too little for a batch.
    """
    usable = [s for s in signals if s.signal_uv.shape[1] >= config.window_s * s.sample_rate_hz]
    apart = {s.person for s in usable if any(is_same_person(s.person, person) for person in hold_out)}
    rest = [signal for signal in usable if signal.person not in apart]
    windows = sum(len(s.signal_uv) * int(s.signal_uv.shape[1] / s.sample_rate_hz / config.window_s) for s in rest)
    if windows < batch:
        raise UserError(
            f"{windows} windows of {config.window_s} s to train on, a batch has {batch}; "
            "give more EEG or hold out fewer persons"
        )
    return rest, [signal for signal in usable if signal.person in apart]
