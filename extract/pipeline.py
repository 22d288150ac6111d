"""Bring a store up to date with a data set, and account for every recording found."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zlib import crc32

from tqdm import tqdm

from extract.encode_recording import explain_unusable
from extract.io.bids import find_data_set
from extract.io.shards import parse_shard, split_by_duration
from extract.planning.account import describe_gone, describe_plan
from extract.planning.command import ExtractCommand
from extract.planning.extraction import Extraction
from extract.planning.paths import left_out_path, part_path
from extract.planning.persons import describe_move, find_moved, move
from extract.planning.plan import Action
from extract.planning.publish import list_gone_parts, remove_empty_folders, remove_parts
from extract.planning.renamed import find_renamed
from extract.planning.resolve import resolve_settings
from extract.planning.spec import find_readable, require_spec
from extract.planning.subject import Subject, SubjectSource, shorten
from extract.planning.summary import Summary, explain_emptiness
from extract.planning.warnings import find_warnings
from extract.publishing import encode, relabel
from store import FeatureSpec
from store.runtime.atomic import require_writable
from store.runtime.cli import to_one_line
from store.runtime.outputs import guard_folder
from store.runtime.plurals import count_noun


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
    is_new = not command.store.exists()
    try:
        return _extract(command, tell or _print)
    finally:
        if (is_new or command.prune) and not command.check_only and command.shard is None:
            remove_empty_folders(command.store)


def _extract(command: ExtractCommand, tell: Callable[[str], object]) -> Summary:
    command.check()
    command.check_codes()
    guard_folder(command.store, inputs=[command.bids], allowed_mark="sub-*.h5", apart=[command.bids])
    index, shards = parse_shard(command.shard, os.environ) if command.shard is not None else (0, 1)
    command = command if command.alone else _with_absolute_paths(command)
    data = find_data_set(command.bids, command.subject or None)
    source = SubjectSource(data, command.store, command.policy, command.unlabelled, command.force)
    source, subjects = _look_at_all(source, is_whole=not command.subject)
    work = Extraction(command, source, subjects, tell)
    moved = list(find_moved(source, subjects))
    if command.check_only:
        work.say(*(describe_move(file, person) for file, person in moved))
        work = _check(work)
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
            relabel(work, subject)
    if command.prune and not command.subject:
        gone = list_gone_parts(command.store, data.by_subject)
        remove_parts(command.store, *(name for name in gone if crc32(name.encode()) % shards == index))
    if spec is not None:
        if to_encode:  # what waits for no encoding is said before
            work.say(work.explain_refusal({recording.subject for recording in changed}) or "")
        encode(work, to_encode, spec)
    summary = work.summarise()
    refusal = work.explain_refusal() or explain_emptiness(command.store, summary)
    return replace(summary, refusal=refusal, warnings=() if refusal else tuple(find_warnings(work)))


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


def _check(work: Extraction) -> Extraction:
    """Say what would be done with each subject."""
    store = work.command.store
    if (stored := find_readable(store)) is not None:
        require_spec(store, _resolve(work, is_changed=False).command.only_encoder, is_encoded=False)
        work = replace(work, subjects=tuple(_try_again(work, subject, stored.spec) for subject in work.subjects))
    for subject in work.subjects:
        work.say(describe_plan(subject.plan, done=False), describe_gone(subject.plan))
    to_encode = [recording for subject in work.subjects for recording in subject.select(Action.ENCODE)]
    if parts := sum(part_path(store, each.subject, each.name).exists() for each in to_encode):
        work.say(f"of these, {count_noun(parts, 'recording')} encoded before, used again if nothing has changed")
    return work


def _try_again(work: Extraction, subject: Subject, spec: FeatureSpec) -> Subject:
    """The same subject, with those recordings left out that were before and still cannot be used."""
    reasons: dict[str, str] = {}
    for recording in subject.select(Action.ENCODE):
        has_note = left_out_path(work.command.store, recording.subject, recording.name).exists()
        was_tried = has_note or recording.name in subject.plan.former_left_out
        if was_tried and (reason := explain_unusable(recording, spec, work.command.missing)):
            reasons[recording.name] = shorten(reason, work.source.data)
    return replace(subject, plan=subject.plan.leave_out(reasons))


def _resolve(work: Extraction, is_changed: bool) -> Extraction:
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


def _print(line: str) -> None:
    tqdm.write(to_one_line(line))
