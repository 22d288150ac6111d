"""Encode recordings, and publish each subject as soon as all of its recordings are there."""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial

from tqdm import tqdm

from extract.encode_recording import (
    RecordingResult,
    encode_recording,
    encode_recordings,
)
from extract.io.bids import Recording
from extract.planning.account import describe_plan
from extract.planning.command import ExtractCommand
from extract.planning.decision import Decision, Verdict, decide
from extract.planning.extraction import Extraction
from extract.planning.paths import left_out_path, part_path
from extract.planning.plan import Action
from extract.planning.publish import join_subject, remove_parts, rewrite_subject, write_as_it_is
from extract.planning.spec import require_same_spec
from extract.planning.stored_recording import is_part
from extract.planning.subject import Subject, shorten
from store import FeatureSpec
from store.runtime.atomic import write_text
from store.runtime.parallel import run_tasks
from store.schema import count_seconds, count_windows

_NONE_USABLE = "none of its recordings can be used"


def relabel(work: Extraction, subject: Subject) -> None:
    """Write a subject's file anew, features as they are, where its plan says so."""
    if subject.stored is None or subject.error or subject.plan.is_blocked:
        return
    if subject.plan.is_rewritten:
        subject, decision = write_as_it_is(work.source, subject, _rewrite)
        _note_changes(work, subject, decision)
        if decision.verdict is Verdict.WAIT:
            return
        work.outcomes.rewritten.add(subject.name)
        work.say(describe_plan(subject.plan, done=True))
    remove_parts(work.command.store, subject.name)


def _rewrite(subject: Subject) -> Decision:
    decision = decide(subject.plan, (), {})
    if decision.verdict is Verdict.REWRITE and not rewrite_subject(subject, decision.left_out):
        return Decision(Verdict.WAIT, reason=_NONE_USABLE)
    return decision


def encode(work: Extraction, recordings: Sequence[Recording], spec: FeatureSpec) -> None:
    """Encode recordings, and publish each subject as soon as all of its own are there."""
    by_name, outcomes = {subject.name: subject for subject in work.subjects}, work.outcomes
    missing = Counter(recording.subject for recording in recordings)
    with closing(_encode_with_bar(work, recordings, spec)) as results:
        for result in results:
            outcomes.seconds += result.seconds
            _note_result(work, result)
            subject = result.recording.subject
            missing[subject] -= 1
            if not missing[subject]:
                _publish_if_complete(work, by_name[subject], spec)


def _note_result(work: Extraction, result: RecordingResult) -> None:
    recording, outcomes = result.recording, work.outcomes
    if result.error is None:
        outcomes.complete.add(recording.name)
        outcomes.encoded |= {recording.name} if result.windows else set()
        return
    outcomes.errors[recording.name] = reason = shorten(result.error, work.source.data)
    if work.command.skip_unusable:  # for other shards
        write_text(left_out_path(work.command.store, recording.subject, recording.name), reason)


def _publish_if_complete(work: Extraction, subject: Subject, spec: FeatureSpec) -> None:
    """Publish a subject if each recording is there: of this extraction, or of others such as the other shards."""
    if subject.error:
        return
    unusable = _read_unusable(work, subject)
    complete = _list_complete(work, subject, unusable)
    if decide(subject.plan, complete, unusable).verdict is Verdict.WAIT:
        return
    subject = work.source.look_at(subject.name)  # another extraction may have published it
    publish = partial(_publish, work, spec, complete, unusable)
    subject, decision = write_as_it_is(work.source, subject, publish)
    _note_changes(work, subject, decision)
    if decision.verdict is not Verdict.WAIT:
        work.outcomes.rewritten.add(subject.name)
        remove_parts(work.command.store, subject.name)
        work.say(describe_plan(subject.plan, done=True, encoded=decision.encoded))


def _publish(
    work: Extraction, spec: FeatureSpec, known: Collection[str], unusable: Mapping[str, str], subject: Subject
) -> Decision:
    """Publish a subject as it was looked at now, unless something of it has changed so that it waits."""
    complete = {r.name for r in subject.select(Action.ENCODE) if _has_part(r, known, work.command)}
    decision = decide(subject.plan, complete, unusable)
    if decision.verdict is Verdict.REWRITE and not rewrite_subject(subject, decision.left_out):
        return Decision(Verdict.WAIT, reason=_NONE_USABLE)
    if decision.verdict is Verdict.PUBLISH:
        require_same_spec(work.command.store, spec)
        join_subject(work.command.store, subject, decision.encoded, decision.left_out)
    return decision


def _note_changes(work: Extraction, subject: Subject, decision: Decision) -> None:
    """Note which recordings of a subject cannot be used, or are to be encoded, since they changed meanwhile."""
    outcomes = work.outcomes
    for step in subject.plan.select(Action.LEAVE_OUT):
        outcomes.errors.setdefault(step.name, step.reason)
    for name in decision.missing:
        outcomes.changed.add(name)
        outcomes.errors[name] = "changed during the extraction; run the same command again"


def _list_complete(work: Extraction, subject: Subject, unusable: Collection[str]) -> set[str]:
    """Names of recordings that were encoded: in this extraction, or in another."""
    complete, command = work.outcomes.complete, work.command
    others = [r for r in subject.select(Action.ENCODE) if r.name not in complete and r.name not in unusable]
    if not all(part_path(command.store, r.subject, r.name).exists() for r in others):
        return complete  # the subject waits anyway, and reading all parts takes long
    return complete | {recording.name for recording in others if is_part(recording, command)}


def _has_part(recording: Recording, known: Collection[str], command: ExtractCommand) -> bool:
    """Whether a recording has a good part; those of known recordings are not read again."""
    is_there = part_path(command.store, recording.subject, recording.name).exists()
    return is_there and (recording.name in known or is_part(recording, command))


def _read_unusable(work: Extraction, subject: Subject) -> dict[str, str]:
    """Why recordings were tried and are to be left out, by name."""
    others = [r for r in subject.select(Action.ENCODE) if r.name not in work.outcomes.complete]
    reasons = {recording.name: _read_left_out(work, recording) for recording in others}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _read_left_out(work: Extraction, recording: Recording) -> str | None:
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
    work: Extraction, recordings: Sequence[Recording], spec: FeatureSpec
) -> Generator[RecordingResult, None, None]:
    """Encode recordings, showing windows a second and hours of EEG."""
    windows = {
        recording: count_windows(count_seconds(duration_s), spec.window_s, spec.stride_s)
        for recording, duration_s in work.durations_s.items()
    }
    total, failed = sum(windows[recording] for recording in recordings), 0

    def show(count: int) -> None:
        hours, total_hours = ((n * spec.stride_s) / 3600 for n in (bar.n + count, total))
        progress = f"{hours:.2f} of {total_hours:.2f} h of EEG"
        bar.set_postfix_str(f"{progress}, {failed} failed" if failed else progress, refresh=False)
        bar.update(count)

    with (
        tqdm(total=total, unit=" windows", disable=None) as bar,
        closing(_encode_all(recordings, work.command, show)) as results,
    ):
        for result in results:
            failed += result.error is not None
            total -= windows[result.recording] - result.windows  # what was there already, or failed
            bar.total = total
            yield result


def _encode_all(
    recordings: Sequence[Recording], command: ExtractCommand, progress: Callable[[int], object]
) -> Generator[RecordingResult, None, None]:
    if command.alone:
        yield from encode_recordings(recordings, command, progress)
        return
    for _, result in run_tasks(partial(encode_recording, settings=command), recordings, command, command.device):
        progress(result.windows)
        yield result
