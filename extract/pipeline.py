"""Bring a store up to date with a data set, and account for every recording found."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, cast
from zlib import crc32

import tyro
from tqdm import tqdm

from extract.encode_recording import (
    RecordingResult,
    encode_recording,
    encode_recordings,
    is_part,
)
from extract.io.bids import Recording, find_data_set
from extract.io.shards import parse_shard, split_by_duration
from extract.planning.account import describe_gone, describe_plan
from extract.planning.encode_settings import EncodeSettings
from extract.planning.paths import left_out_path, part_path
from extract.planning.persons import describe_move, find_moved, move
from extract.planning.plan import Action, Policy
from extract.planning.publish import join_subject, remove_parts, rewrite_subject, write_as_it_is
from extract.planning.renamed import find_renamed
from extract.planning.resolve import resolve_settings
from extract.planning.spec import find_readable, require_same_spec, require_spec
from extract.planning.subject import Subject, SubjectSource, shorten
from extract.planning.summary import Outcomes, Summary, explain_emptiness, explain_refusal, summarise
from store import FeatureSpec
from store.runtime.atomic import require_writable, write_text
from store.runtime.cli import to_one_line
from store.runtime.options import optional
from store.runtime.outputs import guard_folder
from store.runtime.parallel import WorkerSettings, run_tasks
from store.schema import LeftOut, count_seconds, count_windows


@dataclass(frozen=True, kw_only=True)
class _DataAndStore:
    """Input and output; first in the help."""

    bids: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the BIDS data set."""
    store: Annotated[Path, tyro.conf.arg(metavar="STORE")]
    """Folder of the store, created if needed."""
    subject: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="SUBJECT ...", help_behavior_hint="(default: all)")
    ] = ()
    """Subjects to extract, such as 01 02."""


@dataclass(frozen=True, kw_only=True)
class ExtractCommand(WorkerSettings, EncodeSettings, _DataAndStore):
    """The command line of ``python -m extract``."""

    skip_unusable: bool = False
    """Publish subjects without their unusable recordings; the store records which and why."""
    check_only: Annotated[bool, tyro.conf.arg(name="check")] = False
    """Only say what would be done; the exit status is 1 if anything would change."""
    prune: bool = False
    """Remove from the store what is gone from the data set."""
    force: bool = False
    """Replace subjects of another data set that have the same names."""
    shard: Annotated[str | None, optional("I/N")] = None
    """Encode one share of the recordings in this job, such as 1/8; "slurm" reads it from the job array."""

    @property
    def policy(self) -> Policy:
        """Options that decide what happens to a recording."""
        return Policy(missing=self.missing, skip_unusable=self.skip_unusable, prune=self.prune)


@dataclass(frozen=True)
class _Extraction:
    """State of one extraction: its inputs, and the results so far."""

    command: ExtractCommand
    source: SubjectSource
    subjects: tuple[Subject, ...]
    tell: Callable[[str], object]
    outcomes: Outcomes = field(default_factory=Outcomes)

    @cached_property
    def durations_s(self) -> dict[Recording, float]:
        """Duration of each recording found, from its header."""
        return {item.recording: item.duration_s for subject in self.subjects for item in subject.found}

    def say(self, *lines: str) -> None:
        """Pass on lines that are not empty."""
        for line in filter(None, lines):
            self.tell(line)

    def summarise(self) -> Summary:
        """Summarise the extraction."""
        return summarise(
            self.source.data,
            self.subjects,
            self.command.store,
            self.outcomes,
            skip_unusable=self.command.skip_unusable,
            is_sharded=self.command.shard is not None,
            done=not self.command.check_only,
        )

    def explain_refusal(self, changing: Collection[str] = ()) -> str | None:
        """Say why no command opens the store; `changing` are subjects to pass over."""
        return explain_refusal(self.command.store, self.subjects, changing)


def extract(command: ExtractCommand, tell: Callable[[str], object] | None = None) -> Summary:
    """Bring a store up to date with a data set: encode what changed, relabel where only labels changed.

    A subject is published in one replace when all of its recordings are encoded. ``tell`` receives one line for
    each subject; by default the line is printed.

    Raises
    ------
    UserError
        If there is no such data set, subject, encoder or shard, the settings do not go together, the disk is
        full, or a cluster does not answer.
    StoreError
        If the store holds features of another spec.
    """
    command.check()
    command.check_codes()
    guard_folder(command.store, inputs=[command.bids], own="sub-*.h5", apart=[command.bids])
    index, shards = parse_shard(command.shard, os.environ) if command.shard is not None else (0, 1)
    command = command if command.alone else _with_absolute_paths(command)
    data = find_data_set(command.bids, command.subject or None)
    source = SubjectSource(data, command.store, command.policy, command.unlabelled, command.force)
    source, subjects = _look_at_all(source, is_whole=not command.subject)
    work = _Extraction(command, source, subjects, tell or _print)
    moved = list(find_moved(source, subjects))
    if command.check_only:
        work.say(*(describe_move(file, person) for file, person in moved))
        _tell_plan(work)
        summary = work.summarise()
        changing = {file.subject for file, _ in moved} | {s.name for s in work.subjects if s.plan.differs}
        refusal = work.explain_refusal(changing) or explain_emptiness(command.store, summary)
        return replace(summary, differs=summary.differs or bool(moved or refusal), refusal=refusal)
    durations_s = [work.durations_s[recording] for recording in data.recordings]
    ours = {data.recordings[number] for number in split_by_duration(durations_s, index, shards)}
    changed = [recording for subject in work.subjects for recording in subject.select(Action.ENCODE)]
    to_encode = [recording for recording in changed if recording in ours]
    work = _resolve(work, is_changed=bool(changed))
    command = work.command
    spec = require_spec(command.store, command.only_encoder, is_encoded=bool(to_encode))
    if spec is not None and command.backend != "loky":  # machines of another kind would choose another precision
        work = replace(work, command=replace(command, precision=cast(Any, spec.precision)))  # a str in a spec
    if to_encode or command.store.exists():  # else nothing is written
        require_writable(command.store)
    for file, person in moved:
        if crc32(file.subject.encode()) % shards == index:
            move(file, person)
            work.say(describe_move(file, person))
    if moved:
        work = replace(work, subjects=source.look_at_all(is_whole=not command.subject))
    for subject in work.subjects:
        work.say(describe_gone(subject.plan))
        if crc32(subject.name.encode()) % shards == index and not subject.plan.select(Action.ENCODE):
            _relabel(work, subject)
    if spec is not None:
        if to_encode:  # what waits for no encoding is said before
            work.say(work.explain_refusal({recording.subject for recording in changed}) or "")
        _encode(work, to_encode, spec)
    summary = work.summarise()
    refusal = work.explain_refusal() or explain_emptiness(command.store, summary)
    return replace(summary, refusal=refusal)


def _look_at_all(source: SubjectSource, is_whole: bool) -> tuple[SubjectSource, tuple[Subject, ...]]:
    """All subjects, and the source that knows which of their recordings were renamed."""
    subjects = source.look_at_all(is_whole)
    if renamed := find_renamed(subjects):
        source = replace(source, renamed=renamed)
        subjects = source.look_at_all(is_whole)
    return source, subjects


def _with_absolute_paths(command: ExtractCommand) -> ExtractCommand:
    """The same command for workers, which may be in another folder."""
    encoder = Path(command.encoder)
    return replace(
        command,
        bids=command.bids.absolute(),
        store=command.store.absolute(),
        encoder=str(encoder.absolute()) if encoder.is_file() else command.encoder,
    )


def _tell_plan(work: _Extraction) -> None:
    """Say what would be done with each subject."""
    store = work.command.store
    if find_readable(store) is not None:
        require_spec(store, _resolve(work, is_changed=False).command.only_encoder, is_encoded=False)
    for subject in work.subjects:
        work.say(describe_plan(subject.plan, done=False), describe_gone(subject.plan))


def _resolve(work: _Extraction, is_changed: bool) -> _Extraction:
    """The same extraction, with what its recordings or its store decide of the encoder's settings."""
    command, stored = work.command, find_readable(work.command.store)
    command = replace(command, weights_sha256=stored.spec.weights_sha256 if stored else "")
    resolved = resolve_settings(
        command.only_encoder,
        work.source.data,
        stored.spec if stored else None,
        is_whole=not command.subject,
        is_changed=is_changed,
        take_common=command.which_channels == "common",
        tell=work.say,
    )
    return replace(work, command=replace(command, resolved=resolved.resolved, low_passed=resolved.low_passed))


def _relabel(work: _Extraction, subject: Subject) -> None:
    """Write a subject's file anew, features as they are, where its plan says so."""
    if subject.stored is None or subject.error or subject.plan.is_blocked:
        return
    if subject.plan.is_rewritten:

        def rewrite(subject: Subject) -> bool:
            is_left = subject.plan.is_rewritten and not subject.plan.select(Action.ENCODE)
            return is_left and rewrite_subject(subject, subject.plan.left_out)

        subject, is_done = write_as_it_is(work.source, subject, rewrite)
        if not is_done:
            return
        work.outcomes.rewritten.add(subject.name)
        work.say(describe_plan(subject.plan, done=True))
    remove_parts(work.command.store, subject.name)


def _encode(work: _Extraction, recordings: Sequence[Recording], spec: FeatureSpec) -> None:
    """Encode recordings, and publish each subject as soon as all of its own are there."""
    by_name, outcomes = {subject.name: subject for subject in work.subjects}, work.outcomes
    missing = Counter(recording.subject for recording in recordings)
    with closing(_encode_with_bar(work, recordings, spec)) as results:
        for result in results:
            recording = result.recording
            outcomes.seconds += result.seconds
            if result.error is None:
                outcomes.complete.add(recording.name)
                outcomes.encoded |= {recording.name} if result.windows else set()
            else:
                outcomes.errors[recording.name] = reason = shorten(result.error, work.source.data)
                if work.command.skip_unusable:  # for other shards
                    write_text(left_out_path(work.command.store, recording.subject, recording.name), reason)
            missing[recording.subject] -= 1
            if not missing[recording.subject]:
                _publish_if_complete(work, by_name[recording.subject], spec)


def _publish_if_complete(work: _Extraction, subject: Subject, spec: FeatureSpec) -> None:
    """Publish a subject if each recording is there: of this extraction, or of others such as the other shards."""
    command = work.command
    if subject.plan.is_blocked or subject.error:
        return
    others = [r for r in subject.select(Action.ENCODE) if r.name not in work.outcomes.complete]
    unusable = [LeftOut(r.name, reason) for r in others if (reason := _read_left_out(work, r)) is not None]
    skipped = {recording.name for recording in unusable}
    others = [recording for recording in others if recording.name not in skipped]
    if not all(part_path(command.store, r.subject, r.name).exists() for r in others):
        return
    if not all(is_part(recording, command) for recording in others):
        return

    def encoded(subject: Subject) -> list[str]:
        return [recording.name for recording in subject.select(Action.ENCODE) if recording.name not in skipped]

    def publish(subject: Subject) -> bool:
        left_out = [*subject.plan.left_out, *unusable]
        if names := encoded(subject):
            require_same_spec(command.store, spec)
            join_subject(command.store, subject, names, left_out)
            return True
        are_new = subject.plan.former_left_out != {recording.name: recording.reason for recording in left_out}
        return not (subject.plan.is_rewritten or are_new) or rewrite_subject(subject, left_out)

    subject = work.source.look_at(subject.name)  # another extraction may have published it
    subject, is_done = write_as_it_is(work.source, subject, publish)
    if is_done:
        work.outcomes.rewritten.add(subject.name)
        remove_parts(command.store, subject.name)
        work.say(describe_plan(subject.plan, done=True, encoded=encoded(subject)))


def _read_left_out(work: _Extraction, recording: Recording) -> str | None:
    """Say why a recording is to be left out; None if it is not, or this or another shard has not tried it."""
    if not work.command.skip_unusable:
        return None
    if recording.name in work.outcomes.errors:
        return work.outcomes.errors[recording.name]
    if is_part(recording, work.command):  # mended since
        return None
    try:
        return left_out_path(work.command.store, recording.subject, recording.name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _encode_with_bar(
    work: _Extraction, recordings: Sequence[Recording], spec: FeatureSpec
) -> Generator[RecordingResult, None, None]:
    """Encode recordings, showing windows a second and hours of EEG."""
    windows = {
        recording: count_windows(count_seconds(duration_s), spec.window_s, spec.stride_s)
        for recording, duration_s in work.durations_s.items()
    }
    total, failed = sum(windows[recording] for recording in recordings), 0
    with tqdm(total=total, unit=" windows", disable=None) as bar:

        def show(count: int) -> None:
            hours, total_hours = ((n * spec.stride_s) / 3600 for n in (bar.n + count, total))
            progress = f"{hours:.2f} of {total_hours:.2f} h of EEG"
            bar.set_postfix_str(f"{progress}, {failed} failed" if failed else progress, refresh=False)
            bar.update(count)

        for result in _encode_all(recordings, work.command, show):
            failed += result.error is not None
            total -= windows[result.recording] - result.windows  # what was there already, or failed
            bar.total = total
            yield result


def _encode_all(
    recordings: Sequence[Recording], command: ExtractCommand, progress: Callable[[int], object]
) -> Iterator[RecordingResult]:
    if command.alone:
        yield from encode_recordings(recordings, command, progress)
        return
    for _, result in run_tasks(partial(encode_recording, settings=command), recordings, command, command.device):
        progress(result.windows)
        yield result


def _print(line: str) -> None:
    tqdm.write(to_one_line(line))
