"""Decide what to do with each recording of a subject, from the data set and the store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from extract.io.bids import Recording
from extract.io.events import Annotations
from extract.io.fingerprints import is_same_signal
from store.reader import StoreFile
from store.schema import LeftOut, RecordingInfo, Source

DURATION_TOLERANCE_S = 1e-3


class Action(StrEnum):
    """What is to be done with a recording."""

    ENCODE = "encode"
    RELABEL = "relabel"
    KEEP = "keep"  # it is up to date
    LEAVE_OUT = "leave out"
    KEEP_GONE = "keep, gone"  # the data set does not have it any more
    PRUNE = "prune"


@dataclass(frozen=True)
class Policy:
    """What decides about recordings beside what they are."""

    missing: str = "error"
    skip_unusable: bool = False
    prune: bool = False


@dataclass(frozen=True)
class Found:
    """A recording of the data set as it is now."""

    recording: Recording
    source: Source | None = None  # None where it is not known yet: a new recording, or one not fetched
    annotations: Annotations | None = None  # None where the file is the one that is stored, or there is none
    duration_s: float = 0.0  # by the header, 0 where it does not tell
    problem: str | None = None  # why it cannot be used

    @property
    def is_labelled(self) -> bool:
        """Whether it has an events file."""
        return self.source is None or self.source.events_sha256 is not None


@dataclass(frozen=True)
class Step:
    """What is to be done with one recording, and why."""

    name: str
    action: Action
    reason: str = ""


@dataclass(frozen=True)
class SubjectPlan:
    """What is to be done with a subject."""

    subject: str
    steps: tuple[Step, ...]  # sorted by name
    file_reasons: tuple[str, ...] = ()  # what changes beside recordings
    former_left_out: Mapping[str, str] = field(default_factory=dict)  # reasons in the store, by name
    skip_unusable: bool = False
    is_stored: bool = True

    def select(self, *actions: Action) -> tuple[Step, ...]:
        """Steps with one of these actions."""
        return tuple(step for step in self.steps if step.action in actions)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Recordings that cannot be used, as far as is known before any is opened."""
        return tuple(LeftOut(step.name, step.reason) for step in self.select(Action.LEAVE_OUT))

    @property
    def is_blocked(self) -> bool:
        """Whether its file stays as it is, since a recording cannot be used."""
        return bool(self.left_out) and not self.skip_unusable

    @property
    def is_rewritten(self) -> bool:
        """Whether its file is written anew, whatever becomes of what is encoded."""
        return bool(
            self.select(Action.RELABEL, Action.PRUNE)
            or self.file_reasons
            or (self.is_stored and not self.is_blocked and self.has_new_left_out(self.left_out))
        )

    @property
    def differs(self) -> bool:
        """Whether an extraction would have to do anything, or could not."""
        return bool(self.select(Action.ENCODE)) or self.is_blocked or self.is_rewritten

    def leave_out(self, reasons: Mapping[str, str]) -> "SubjectPlan":
        """The same plan where recordings to encode turned out to be unusable, for the reasons given by name."""
        steps = [
            Step(step.name, Action.LEAVE_OUT, reasons[step.name]) if step.name in reasons else step
            for step in self.steps
        ]
        return replace(self, steps=tuple(steps))

    def has_new_left_out(self, left_out: Sequence[LeftOut]) -> bool:
        """Whether other recordings are left out than the store says, or for other reasons."""
        retried = {step.name for step in self.select(Action.ENCODE)}
        before = {name: reason for name, reason in self.former_left_out.items() if name not in retried}
        return {recording.name: recording.reason for recording in left_out} != before


def plan_subject(
    subject: str,
    surveyed: Sequence[Found],
    stored: StoreFile | None,
    policy: Policy,
    dataset: str = "",
    participant: Mapping[str, str] | None = None,
    renamed: Collection[str] = (),
) -> SubjectPlan:
    """Plan what is to be done with a subject.

    Parameters
    ----------
    surveyed
        All its recordings that the data set has.
    stored
        Its file in the store, if there is one.
    dataset
        Name of the data set; empty where what is stored stays.
    participant
        The subject's columns of participants.tsv.
    renamed
        Names of recordings that are gone and that the data set has under another name.
    """
    infos = {info.name: info for info in stored.recordings} if stored else {}
    sources = stored.sources if stored else {}
    former = {recording.name: recording.reason for recording in stored.left_out} if stored else {}
    steps = [
        _plan_recording(item, infos.get(item.recording.name), sources.get(item.recording.name), former, policy)
        for item in surveyed
    ]
    for name in infos.keys() - {item.recording.name for item in surveyed}:
        action = Action.PRUNE if policy.prune or name in renamed else Action.KEEP_GONE
        reason = "renamed in the data set" if name in renamed else "gone from the data set"
        steps.append(Step(name, action, reason))
    reasons = _compare_file(stored, surveyed, dataset, participant or {}) if stored else ()
    ordered = tuple(sorted(steps, key=lambda step: step.name))
    return SubjectPlan(subject, ordered, reasons, former, policy.skip_unusable, stored is not None)


def explain_encoding(
    info: RecordingInfo, before: Source | None, now: Source | None, duration_s: float, missing: str
) -> str:
    """Say why a stored recording has to be encoded again; empty if it has not.

    Parameters
    ----------
    info, before
        The recording as stored, and its fingerprints if the store has them.
    now
        Its fingerprints now; None if its signal has not been fetched, which then counts as the one stored.
    duration_s
        Its length now, which tells a store without fingerprints; 0 if not known.
    """
    has_gaps = not all(info.channel_mask)
    stored_missing = before.missing if before else "zero"
    if has_gaps and missing != stored_missing:
        return f"missing channels: {stored_missing} when stored, {missing} now"
    if before is None:
        changed = abs(duration_s - info.duration_s) > DURATION_TOLERANCE_S
        return "signal changed" if duration_s and changed else ""
    if now is None:
        return ""
    if before.channels_sha256 != now.channels_sha256:
        return "channels.tsv changed"
    return "" if is_same_signal(before, now) else "signal changed"


def explain_relabelling(
    info: RecordingInfo, before: Source | None, now: Source, annotations: Annotations | None
) -> str:
    """Say why a stored recording has to be labelled again; empty if it has not.

    Parameters
    ----------
    info, before
        The recording as stored, and its fingerprints if the store has them.
    now
        Its fingerprints now.
    annotations
        What its events file says now; not needed where the fingerprints agree.
    """
    reasons = []
    if info.labelled != (now.events_sha256 is not None):
        reasons.append("events file removed" if info.labelled else "events file added")
    elif before is None:
        if annotations is not None and annotations.events != info.events:
            reasons.append("events changed")
    elif before.events_sha256 != now.events_sha256:
        reasons.append("events changed")
    if info.person != now.person:
        reasons.append(f"person {info.person} is {now.person} now")
    return ", ".join(reasons)


def _plan_recording(
    current: Found,
    info: RecordingInfo | None,
    before: Source | None,
    former: Mapping[str, str],
    policy: Policy,
) -> Step:
    name = current.recording.name
    if current.problem:
        return Step(name, Action.LEAVE_OUT, current.problem)
    if info is None:
        return Step(name, Action.ENCODE, "left out before" if name in former else "new")
    signal = current.source if current.recording.is_fetched else None
    if reason := explain_encoding(info, before, signal, current.duration_s, policy.missing):
        return Step(name, Action.ENCODE, reason)
    if current.source and (reason := explain_relabelling(info, before, current.source, current.annotations)):
        return Step(name, Action.RELABEL, reason)
    return Step(name, Action.KEEP)


def _compare_file(
    stored: StoreFile, surveyed: Sequence[Found], dataset: str, participant: Mapping[str, str]
) -> tuple[str, ...]:
    """Say what a file lacks beside the changes of its recordings."""
    reasons = []
    names = {info.name for info in stored.recordings}
    if any(
        item.source and item.recording.is_fetched and not item.problem
        for item in surveyed
        if item.recording.name in names - stored.sources.keys()
    ):
        reasons.append("fingerprints added, as compared now")
    if dataset and stored.dataset != dataset:
        reasons.append(f"data set is called {dataset}")
    if dict(stored.participant) != dict(participant):
        reasons.append("participants.tsv changed")
    return tuple(reasons)
