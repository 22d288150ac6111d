"""What is to be done with a recording, from what was found and what is stored: each change by itself."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.io.bids import Recording
from extract.io.events import Annotations
from extract.planning.account import describe_gone, describe_plan
from extract.planning.plan import Action, Found, Policy, SubjectPlan, plan_subject
from store import Event, RecordingInfo
from store.layout import FeatureMoments
from store.reader import StoreFile
from store.schema import LeftOut, Source
from tests.helpers import stores

SOURCE = Source(100, 7, "signal", "events", "01", "error", witnessed=True)
INFO = stores.recording(0, 8)
NAME = INFO.name


def stored(
    *infos: RecordingInfo, sources: Mapping[str, Source] | None = None, left_out: tuple[LeftOut, ...] = ()
) -> StoreFile:
    return StoreFile(
        spec=stores.SPEC,
        subject="01",
        person="01",
        provenance={},
        recordings=infos,
        hashes=("",) * len(infos),
        labels=np.zeros(8, np.uint8),
        moments=FeatureMoments.zeros(3, 5),
        dataset="Siena",
        sources={info.name: SOURCE for info in infos} if sources is None else sources,
        left_out=left_out,
        participant={"age": "3"},
        path=Path("sub-01.h5"),
        checksum="",
        offset=0,
        file_state=(0, 0, 0),
    )


def found(
    name: str = NAME,
    *,
    source: Source | None = SOURCE,
    events: tuple[Event, ...] | None = None,
    duration_s: float = 8.0,
    problem: str | None = None,
    is_fetched: bool = True,
) -> Found:
    recording = Recording(name, Path("a.edf"), Path("a.tsv"), "01", "01", is_fetched=is_fetched)
    annotations = None if events is None else Annotations(events, "", "other")
    return Found(recording, source, annotations, duration_s, problem)


def plan(
    *items: Found, file: StoreFile | None = None, policy: Policy | None = None, participant: str = "3"
) -> SubjectPlan:
    return plan_subject("01", items, file, policy or Policy(), "Siena", {"age": participant})


def only(subject: SubjectPlan) -> tuple[Action, str]:
    (step,) = subject.steps
    return step.action, step.reason


def test_what_has_not_changed_stays() -> None:
    subject = plan(found(), file=stored(INFO))
    assert only(subject) == (Action.KEEP, "")
    assert not subject.differs
    assert describe_plan(subject, done=True) == ""


@pytest.mark.parametrize(
    ("change", "action", "reason"),
    [
        ({"signal_sha256": "other"}, Action.ENCODE, "signal changed"),
        ({"signal_bytes": 101}, Action.ENCODE, "signal changed"),
        ({"signal_mtime_ns": 8}, Action.KEEP, ""),
        ({"missing": "zero"}, Action.KEEP, ""),  # nothing is missing
        ({"events_sha256": "other"}, Action.RELABEL, "events changed"),
        ({"events_sha256": None}, Action.RELABEL, "events file removed"),
        ({"person": "anna"}, Action.RELABEL, "person 01 is anna now"),
        ({"person": "anna", "events_sha256": "x"}, Action.RELABEL, "events changed, person 01 is anna now"),
        ({"signal_sha256": "other", "events_sha256": "other"}, Action.ENCODE, "signal changed"),
    ],
)
def test_each_change(change: dict[str, Any], action: Action, reason: str) -> None:
    subject = plan(found(source=replace(SOURCE, **change)), file=stored(INFO))
    assert only(subject) == (action, reason)
    assert subject.differs == (action is not Action.KEEP)


def test_gaps_belong_to_the_policy() -> None:
    gaps = replace(INFO, channel_mask=(True, False, True))
    file = stored(gaps, sources={NAME: replace(SOURCE, missing="zero")})
    assert only(plan(found(), file=file, policy=Policy(missing="zero"))) == (Action.KEEP, "")
    assert only(plan(found(), file=file)) == (Action.ENCODE, "missing channels: zero when stored, error now")
    assert only(plan(found(), file=stored(gaps, sources={})))[0] is Action.ENCODE  # version 1


def test_without_fingerprints_what_can_be_compared_is() -> None:
    event = Event(1.0, 2.0, "sz")
    first_version = stored(replace(INFO, events=(event,)), sources={})
    kept = plan(found(events=(event,)), file=first_version)
    assert only(kept) == (Action.KEEP, "")
    assert kept.file_reasons == ("fingerprints added, as compared now",)
    assert kept.differs
    assert only(plan(found(events=()), file=first_version)) == (Action.RELABEL, "events changed")
    assert only(plan(found(events=(event,), duration_s=9.0), file=first_version)) == (
        Action.ENCODE,
        "signal changed",
    )
    assert only(plan(found(events=(event,), duration_s=0.0), file=first_version)) == (Action.KEEP, "")


def test_a_signal_that_is_not_fetched_counts_as_the_stored_one() -> None:
    source = replace(SOURCE, events_sha256="other")
    assert only(plan(found(source=source, is_fetched=False), file=stored(INFO))) == (
        Action.RELABEL,
        "events changed",
    )


def test_new_gone_and_unusable_recordings() -> None:
    other = replace(INFO, name="sub-01_gone")
    items = [found(), found("sub-01_new", source=None), found("sub-01_odd", problem="flat")]
    subject = plan(*items, file=stored(INFO, other))
    assert [(step.name, step.action) for step in subject.steps] == [
        ("sub-01_gone", Action.KEEP_GONE),
        ("sub-01_new", Action.ENCODE),
        ("sub-01_odd", Action.LEAVE_OUT),
        (NAME, Action.KEEP),
    ]
    assert subject.is_blocked
    assert describe_gone(subject).startswith("sub-01: keeps 1 recording gone from the data set (sub-01_gone)")
    gone = [replace(INFO, name=f"sub-01_run-{number}") for number in range(5)]
    assert "5 recordings gone from the data set (sub-01_run-0, sub-01_run-1, sub-01_run-2 and 2 more);" in (
        describe_gone(plan(file=stored(*gone)))
    )
    subject = plan(*items, file=stored(INFO, other), policy=Policy(skip_unusable=True, prune=True))
    assert not subject.is_blocked
    assert subject.left_out == (LeftOut("sub-01_odd", "flat"),)
    assert describe_plan(subject, done=False) == (
        "sub-01: prune 1 recording (gone from the data set); encode 1 recording (new)"
    )


def test_what_was_left_out_before_is_tried_again_and_differs_not() -> None:
    file = stored(INFO, left_out=(LeftOut("sub-01_odd", "flat"), LeftOut("sub-01_far", "not fetched")))
    items = [found(), found("sub-01_odd", source=None), found("sub-01_far", problem="not fetched")]
    subject = plan(*items, file=file, policy=Policy(skip_unusable=True))
    assert subject.select(Action.ENCODE)[0].reason == "left out before"
    assert not subject.differs
    changed = replace(items[2], problem="a pointer")
    assert plan(items[0], items[1], changed, file=file, policy=Policy(skip_unusable=True)).differs


def test_what_changes_beside_recordings() -> None:
    subject = plan(found(), file=stored(INFO), participant="4")
    assert subject.file_reasons == ("participants.tsv changed",)
    assert describe_plan(subject, done=True) == "sub-01: updated (participants.tsv changed)"
    renamed = plan_subject("01", [found()], stored(INFO), Policy(), "CHB-MIT", {"age": "3"})
    assert renamed.file_reasons == ("data set is called CHB-MIT",)
    assert plan_subject("01", [found()], stored(INFO), Policy(), "", {"age": "3"}).file_reasons == ()
