"""Summarise an extraction: the result for every recording found, and what the user has to know."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from extract.io.bids import DataSet
from extract.planning.account import Account
from extract.planning.paths import published_path
from extract.planning.plan import Action, Step
from extract.planning.subject import Subject, stem_of
from store.reader import StoreFile, open_file, require_one_store
from store.runtime.errors import StoreError
from store.schema import LeftOut, events_without_label


@dataclass
class Outcomes:
    """What has become of the recordings of one extraction so far, by name."""

    encoded: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)  # encoded now or earlier
    errors: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)  # meanwhile, so that their subjects wait
    seconds: int = 0
    rewritten: set[str] = field(default_factory=set)  # subjects


@dataclass(frozen=True)
class Summary:
    """What an extraction did, or with ``check_only`` would do."""

    account: Account
    subjects: tuple[str, ...]  # in the store, as the data set is now
    waiting: tuple[str, ...]  # for other shards
    encoded_hours: float
    failures: tuple[LeftOut, ...]  # recordings, and files of the store by their path, that have to be mended
    is_skippable: bool  # whether subjects could be published without some of them
    stems: Mapping[str, str]  # path of a recording's files within the data set, without their endings, by name
    notes: tuple[str, ...]  # what labels do not show
    differs: bool  # whether the store differed from the data set
    refusal: str | None = None  # why no command opens the store as it is
    warnings: tuple[str, ...] = ()  # of what was done and may not have been meant


def summarise(
    data: DataSet,
    subjects: Sequence[Subject],
    store: Path,
    outcomes: Outcomes,
    *,
    skip_unusable: bool,
    is_sharded: bool,
    done: bool,
) -> Summary:
    """Sum up an extraction, or with ``done`` False what is to be done."""
    states: dict[str, list[str]] = {}
    ignored = {LeftOut(str(item.path.relative_to(data.path)), item.reason): item for item in data.ignored}
    stray = [] if skip_unusable else [entry for entry, item in ignored.items() if item.is_stray]
    left_out, skippable, failures = list(ignored), list(stray), list[LeftOut]()
    complete: list[str] = []
    waiting: list[str] = []
    notes: list[str] = []
    for subject in subjects:
        wrong = dict(_find_wrong(subject, outcomes, is_sharded=is_sharded, done=done))
        entries = [LeftOut(name, reason) for name, reason in wrong.items()]
        left_out += entries
        changed = [entry for entry in entries if entry.name in outcomes.changed]
        if subject.error:
            path = published_path(store, subject.name)
            failures.append(LeftOut(str(path), subject.error.removeprefix(f"{path}: ")))
        elif not skip_unusable:
            skippable += [entry for entry in entries if entry not in changed]
        failures += changed
        for step in subject.plan.steps:
            if step.name not in wrong:
                states.setdefault(_classify(step, subject, outcomes, done=done), []).append(step.name)
        if skip_unusable and done and _keeps_unusable(subject, wrong):
            reason = (
                "none of the subject's recordings can be used now, so the file stays as it was; fix one, or "
                "remove the file"
            )
            failures.append(LeftOut(str(published_path(store, subject.name)), reason))
        file = _find_file(subject, store, outcomes)
        if file is not None and _holds_all(file, subject, wrong) and (skip_unusable or not wrong) and not changed:
            complete.append(subject.name)
            notes += _note_labels(file)
        elif is_sharded and not wrong and outcomes.complete & {step.name for step in subject.plan.steps}:
            waiting.append(subject.name)
    named: Mapping[str, tuple[str, ...]] = {state: tuple(names) for state, names in states.items() if state}
    return Summary(
        Account(left_out=tuple(left_out), **named),
        tuple(complete),
        tuple(waiting),
        outcomes.seconds / 3600,
        (*skippable, *failures),
        bool(skippable),
        {recording.name: stem_of(recording, data) for recording in data.recordings},
        tuple(notes),
        bool(stray) or any(subject.plan.differs for subject in subjects),
    )


def explain_refusal(store: Path, subjects: Sequence[Subject], changing: Collection[str] = ()) -> str | None:
    """Say why no command opens a store, damaged files apart; None if nothing is wrong, or there is no file.

    Parameters
    ----------
    store
    subjects
        Those whose file has been opened, which is not done again.
    changing
        Subjects whose file is about to change, which are passed over.
    """
    opened = {subject.stored.path: subject.stored for subject in subjects if subject.stored is not None}
    files = []
    for path in sorted(store.glob("sub-*.h5")):
        file = opened.get(path)
        if path.stem.removeprefix("sub-") not in changing:
            with suppress(StoreError):  # of a damaged file, which is said elsewhere
                files.append(file if file is not None and file.is_current() else open_file(path))
    try:
        require_one_store(files)
    except StoreError as error:
        return str(error)
    return None


def explain_emptiness(store: Path, summary: Summary) -> str | None:
    """Say that no recording can be used; None if one can, if failures say it, or if the store has a subject."""
    is_left_out = len(summary.account.left_out) == summary.account.found
    if summary.failures or not is_left_out or any(store.glob("sub-*.h5")):
        return None
    return f"{store}: no subject, since no recording of the data set can be used; mend one"


def _keeps_unusable(subject: Subject, wrong: Collection[str]) -> bool:
    """Whether the store keeps a subject none of whose recordings can be used any more, nor are gone."""
    is_all = bool(subject.found) and all(item.recording.name in wrong for item in subject.found)
    return subject.stored is not None and is_all and not subject.plan.select(Action.KEEP_GONE)


def _find_wrong(
    subject: Subject, outcomes: Outcomes, *, is_sharded: bool, done: bool
) -> Iterator[tuple[str, str]]:
    """Names of recordings that were found and are not in the store as they are now, with the reason."""
    is_blocked = subject.plan.is_blocked or any(step.name in outcomes.errors for step in subject.plan.steps)
    for step in subject.plan.steps:
        if step.action is Action.LEAVE_OUT:
            yield step.name, step.reason
        elif step.name in outcomes.errors:
            yield step.name, outcomes.errors[step.name]
        elif step.action is Action.RELABEL and done and is_blocked and subject.name not in outcomes.rewritten:
            yield step.name, f"{step.reason}, but its subject waits for a recording that cannot be used"


def _classify(step: Step, subject: Subject, outcomes: Outcomes, *, done: bool) -> str:
    """Name the count of an account that a recording belongs to; empty for one that the data set does not have."""
    if step.action is Action.KEEP:
        return "up_to_date"
    if step.action is Action.RELABEL:
        return "relabelled" if not done or subject.name in outcomes.rewritten else "for_other_shards"
    if step.action is Action.ENCODE:
        if not done or step.name in outcomes.encoded:
            return "encoded"
        return "up_to_date" if step.name in outcomes.complete else "for_other_shards"
    return ""


def _find_file(subject: Subject, store: Path, outcomes: Outcomes) -> StoreFile | None:
    """The file of a subject as it is now; None if there is none that can be read."""
    if not subject.plan.select(Action.ENCODE) and subject.name not in outcomes.rewritten:
        return subject.stored
    path = published_path(store, subject.name)
    with suppress(StoreError):
        return open_file(path) if path.exists() else None
    return None


def _holds_all(file: StoreFile, subject: Subject, wrong: Collection[str]) -> bool:
    """Whether a file holds every recording that was found, but those that are wrong."""
    held = {info.name for info in file.recordings}
    return all(item.recording.name in held or item.recording.name in wrong for item in subject.found)


def _note_labels(file: StoreFile) -> Iterator[str]:
    """Say which events label no second, and which recordings have no labels."""
    for info in file.recordings:
        labels = file.labels[info.first_second : info.first_second + info.seconds]
        for event in events_without_label(info.events, labels):
            yield (
                f"{info.name}: the seizure at {event.onset_s:.2f} s ({event.duration_s:.2f} s) covers more than "
                "half of no second, so it labels none and counts only in event scores"
            )
        if not info.labelled:
            yield f"{info.name}: no events file; not scored, only its time in alarm is reported"
