"""One subject: its recordings in the data set and in the store, and the resulting plan."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from extract.io.bids import DataSet, Recording
from extract.planning.paths import published_path
from extract.planning.plan import Action, Found, Policy, SubjectPlan, plan_subject
from extract.planning.signals import find_renamed_files
from extract.planning.survey import survey
from store.interop.dataset_names import same_name
from store.reader import StoreFile, open_file
from store.runtime.errors import StoreError, UserError


@dataclass(frozen=True)
class Subject:
    """What is known of a subject, and what is to be done with it."""

    name: str
    found: tuple[Found, ...]
    stored: StoreFile | None
    plan: SubjectPlan
    dataset: str  # name of the data set that its file gets
    participant: dict[str, str]
    error: str | None = None  # what is wrong with its file in the store

    def select(self, action: Action) -> list[Recording]:
        """Recordings with which this is to be done."""
        names = {step.name for step in self.plan.select(action)}
        return [item.recording for item in self.found if item.recording.name in names]


@dataclass(frozen=True)
class SubjectSource:
    """Where subjects are looked at, and what decides about their recordings."""

    data: DataSet
    store: Path
    policy: Policy
    unlabelled: bool  # whether recordings without events file are taken
    force: bool = False  # replace what the store holds of a subject of another data set
    renamed: frozenset[str] = frozenset()  # recordings that the data set has under other names

    def look_at_all(self, is_whole: bool) -> tuple[Subject, ...]:
        """Look at every subject of the data set, and at those that the store has and the data set has no more.

        Parameters
        ----------
        is_whole
            Whether the data set was searched for all subjects.

        Raises
        ------
        UserError
            If the store holds a subject or a person of that name of another data set.
        """
        subjects = tuple(self.look_at(name) for name in self.data.subjects)
        self._require_own_persons(subjects)
        if not is_whole:
            return subjects
        files = [file for file in self.list_files(subjects) if file.subject not in self.data.by_subject]
        return subjects + tuple(map(self._look_at_gone, files)) + tuple(self._list_damaged())

    def list_files(self, subjects: Sequence[Subject]) -> list[StoreFile]:
        """Files of the store that are of this data set, also under a name that it had.

        A former name is that of a file of these subjects. Whatever the name, a file is of this data set if these
        subjects have all of its signals.
        """
        stored = [s.stored for s in subjects if s.stored is not None and not _is_of_another(s, self.data)]
        names = {self.data.name, *(file.dataset for file in stored)}
        looked_at = {file.path for file in stored}
        others = [file for file in self._open_others() if file.path not in looked_at]
        unknown = [file for file in others if not any(same_name(file.dataset, name) for name in names)]
        surveyed = [item for subject in subjects for item in subject.found]
        foreign = {file.path for file in unknown} - {file.path for file in find_renamed_files(unknown, surveyed)}
        return stored + [file for file in others if file.path not in foreign]

    def list_foreign(self, subjects: Sequence[Subject]) -> list[StoreFile]:
        """Files of the store that are of other data sets."""
        ours = {file.path for file in self.list_files(subjects)}
        return [file for file in self._open_others() if file.path not in ours]

    def _require_own_persons(self, subjects: Sequence[Subject]) -> None:
        """Refuse a new subject whose person the store has of another data set: somebody else of that name."""
        new = [subject for subject in subjects if subject.stored is None and subject.found]
        others = {file.person: file for file in self.list_foreign(subjects)} if new else {}
        for subject in new:
            person = subject.found[0].recording.person
            if (other := others.get(person)) is not None:
                raise UserError(
                    f"{other.path}: holds person {person} of {other.dataset}, and sub-{subject.name} of "
                    f"{self.data.name} is a person of that name; give another --store, several train together"
                )

    def _open_others(self) -> Iterator[StoreFile]:
        """Files of the store that say their data set, but those of subjects that the data set has."""
        for path in self._other_paths():
            with suppress(StoreError):
                if (file := open_file(path)).dataset:
                    yield file

    def _list_damaged(self) -> Iterator[Subject]:
        """Subjects whose file cannot be opened, and that the data set does not have."""
        for path in self._other_paths():
            try:
                open_file(path)
            except StoreError as error:
                name = path.stem.removeprefix("sub-")
                plan = plan_subject(name, (), None, self.policy)
                yield Subject(name, (), None, plan, self.data.name, {}, str(error))

    def _other_paths(self) -> list[Path]:
        paths = sorted(self.store.glob("sub-*.h5"))
        return [path for path in paths if path.stem.removeprefix("sub-") not in self.data.by_subject]

    def _look_at_gone(self, stored: StoreFile) -> Subject:
        """Plan for a subject that the data set has no more."""
        name, dataset = stored.subject, self.data.name if self.data.is_named else stored.dataset
        participant = dict(self.data.participants.columns.get(name, stored.participant))
        plan = plan_subject(name, (), stored, self.policy, dataset, participant, self.renamed)
        return Subject(name, (), stored, plan, dataset, participant)

    def look_at(self, name: str) -> Subject:
        """Look at one subject of the data set.

        Raises
        ------
        UserError
            As `look_at_all`.
        """
        data = self.data
        recordings = data.by_subject.get(name, ())
        path, stored = published_path(self.store, name), None
        participant = dict(data.participants.columns.get(name, {}))
        try:
            stored = open_file(path) if path.exists() else None
        except StoreError as error:
            surveyed = tuple(Found(recording, problem=str(error)) for recording in recordings)
            plan = plan_subject(name, surveyed, None, self.policy)
            return Subject(name, surveyed, None, plan, data.name, participant, str(error))
        surveyed = tuple(self._survey(recording, stored) for recording in recordings)
        is_kept = stored is not None and stored.dataset and not data.is_named
        dataset = stored.dataset if stored is not None and is_kept else data.name
        plan = plan_subject(name, surveyed, stored, self.policy, dataset, participant, self.renamed)
        subject = Subject(name, surveyed, stored, plan, dataset, participant)
        if stored is None or not _is_of_another(subject, data):
            return subject
        if not self.force:
            raise UserError(
                f"{path}: holds sub-{name} of {stored.dataset}, {data.path} is {data.name} and its EEG "
                "differs; give another --store, or replace it with --force"
            )
        policy = replace(self.policy, prune=True)  # what the other data set has beside is not this subject's
        plan = plan_subject(name, surveyed, stored, policy, data.name, participant)
        return replace(subject, plan=plan, dataset=data.name)

    def is_as_seen(self, subject: Subject) -> bool:
        """Whether the store still has the file of a subject that was looked at, or still none."""
        if subject.stored is None:
            return not published_path(self.store, subject.name).exists()
        return subject.stored.is_current()

    def _survey(self, recording: Recording, stored: StoreFile | None) -> Found:
        current = survey(recording, stored, self.policy.missing, self.unlabelled)
        return replace(current, problem=shorten_problem(current, self.data)) if current.problem else current


def shorten_problem(current: Found, data: DataSet) -> str:
    """Why a recording cannot be used, files named within the data set; without its name where that is its path."""
    return shorten(current.problem or "", data).removeprefix(f"{current.recording.name}: ")


def shorten(text: str, data: DataSet) -> str:
    """Name files within the data set, as the store keeps them."""
    return re.sub(rf"(?<![^\s'\"(]){re.escape(str(data.path))}/", "", text)


def stem_of(recording: Recording, data: DataSet) -> str:
    """Path of a recording's files within the data set, without their endings."""
    return str(recording.events_path.relative_to(data.path)).removesuffix("_events.tsv")


def _is_of_another(subject: Subject, data: DataSet) -> bool:
    """Whether the file of a subject is of another data set: it says so, and its signals are others."""
    stored = subject.stored
    if stored is None or not stored.dataset or same_name(stored.dataset, data.name):
        return False
    names = {info.name for info in stored.recordings}
    actions = [step.action for step in subject.plan.steps if step.name in names]
    return Action.ENCODE in actions or not {Action.KEEP, Action.RELABEL, Action.LEAVE_OUT} & {*actions}
