"""One subject: what the data set has of it, what the store has, and the plan that follows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from extract.io.bids import DataSet, Recording
from extract.planning.paths import published_path
from extract.planning.plan import Action, Found, Policy, SubjectPlan, plan_subject
from extract.planning.survey import survey
from store.interop.dataset_names import same_dataset
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

    def look_at_all(self, is_whole: bool) -> Iterator[Subject]:
        """Look at every subject of the data set, and at those that the store has and the data set has no more.

        Parameters
        ----------
        is_whole
            Whether the data set was searched for all subjects.

        Raises
        ------
        UserError
            If the store holds a subject of that name of another data set.
        """
        for name in self.data.subjects:
            yield self.look_at(name)
        if not is_whole:
            return
        for path in sorted(self.store.glob("sub-*.h5")):
            name = path.stem.removeprefix("sub-")
            if name not in self.data.by_subject:
                try:
                    stored = open_file(path)
                except StoreError:
                    continue  # of no subject of this data set
                if stored.dataset and same_dataset(stored.dataset, self.data.name):
                    plan = plan_subject(name, (), stored, self.policy, "", stored.participant)
                    yield Subject(name, (), stored, plan, stored.dataset, dict(stored.participant))

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
            found = tuple(Found(recording, problem=str(error)) for recording in recordings)
            plan = plan_subject(name, found, None, self.policy)
            return Subject(name, found, None, plan, data.name, participant, str(error))
        for _ in range(2):
            found = tuple(self._survey(recording, stored) for recording in recordings)
            is_kept = stored is not None and stored.dataset and not data.is_named
            dataset = stored.dataset if stored is not None and is_kept else data.name
            plan = plan_subject(name, found, stored, self.policy, dataset, participant)
            if stored is None or not _is_of_another(stored, data, plan):
                break
            if not self.force:
                raise UserError(
                    f"{path}: holds sub-{name} of {stored.dataset}, {data.path} is {data.name} and its EEG "
                    "differs; give another --store, or replace it with --force"
                )
            stored = None
        return Subject(name, found, stored, plan, dataset, participant)

    def is_as_seen(self, subject: Subject) -> bool:
        """Whether the store still has the file of a subject that was looked at, or still none."""
        if subject.stored is None:
            return not published_path(self.store, subject.name).exists()
        return subject.stored.is_current()

    def _survey(self, recording: Recording, stored: StoreFile | None) -> Found:
        found = survey(recording, stored, self.policy.missing, self.unlabelled)
        return replace(found, problem=shorten(found.problem, self.data)) if found.problem else found


def shorten(text: str, data: DataSet) -> str:
    """Name files within the data set, as the store keeps them."""
    return re.sub(rf"(?<![^\s'\"(]){re.escape(str(data.path))}/", "", text)


def _is_of_another(stored: StoreFile, data: DataSet, plan: SubjectPlan) -> bool:
    """Whether a file is of another data set: it says so, and its signals are others."""
    if not stored.dataset or same_dataset(stored.dataset, data.name):
        return False
    names = {info.name for info in stored.recordings}
    steps = [step for step in plan.steps if step.name in names]
    return all(step.action is Action.KEEP_GONE for step in steps) or any(
        step.action is Action.ENCODE for step in steps
    )
